// Package stream lets readers have the changes of one run of a source: those in its log, and in front of them a snapshot if
// they ask for one.
//
// A stream has no goroutine while it reads the log: its reader decodes, on its own goroutine, straight from a segment into a
// change, so that nothing is decoded before it is read. A snapshot, which waits for a disk or a server, has one while it lasts.
package stream
