// Package cdc keeps what a source has committed in one bounded log and lets any number of streams read it, each
// at its own pace and none at the writer's expense.
//
// An engine's source makes one Log per run and appends each committed transaction to it, on the goroutine of the
// writer. A Stream is a cursor on the log with a goroutine that pulls, filters and decodes ahead of its reader. A
// stream that falls too far behind is ended with an error. Catalog knows all sources of one engine, running or
// not, and is what scripts and Go code inspect and subscribe to.
//
// See DESIGN.md for why it is built this way.
package cdc
