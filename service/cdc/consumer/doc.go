// Package consumer keeps the positions that the named consumers of one source have acknowledged: where the next stream
// of each begins, and behind which the source must keep everything.
package consumer
