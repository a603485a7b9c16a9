package cdc

import (
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Transaction is one committed transaction in a Log, kept once however many streams read it. It is immutable and
// may be opened from any goroutine, by any number of readers at once. The garbage collector frees it after the
// log and the last reader have let go of it.
type Transaction interface {
	// Size is the memory that the transaction holds, in bytes. It is asked for once.
	Size() int64
	// Open returns a reader at the first change, of those changes that selection accepts.
	Open(selection *Selection) Reader
}

// Reader reads the changes of one transaction in execution order. It is used by one goroutine.
type Reader interface {
	// Next reads the next change into change, whose fields are zero but for Before and After: these are empty
	// slices, and values appended to them go where the caller wants them. A side that the operation does not
	// have is set to nil. Last is left alone. Next returns io.EOF after the last change; any other error ends
	// the stream with it.
	Next(change *api.Change) error
	// Close releases the reader. It does not affect the transaction.
	Close()
}

// gap is a transaction whose changes were lost: it ends each stream that gets to it.
type gap struct{ err error }

func (g gap) Size() int64            { return 0 }
func (g gap) Open(*Selection) Reader { return g }
func (g gap) Next(*api.Change) error { return g.err }
func (g gap) Close()                 {}
