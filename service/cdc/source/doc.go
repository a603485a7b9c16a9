// Package source is the life of a source of changes, the same for every engine: declared, starting, running, faulted or stopped.
// It opens streams, keeps the checkpoint and tells what a source is doing; an engine captures.
package source
