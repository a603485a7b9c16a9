package engine

import (
	"errors"
	"sync/atomic"
	"time"
)

// halt is the context of all Lua threads of one process. gopher-lua asks for Done before every instruction and then
// selects on it; a nil channel, which this context returns while the process may run, makes that select cheap. It
// also leads from a Lua thread to its process.
type halt struct {
	process *Process
	halted  atomic.Bool
	closed  chan struct{}
}

var errHalted = errors.New("process was terminated")

func newHalt(p *Process) *halt {
	h := &halt{process: p, closed: make(chan struct{})}
	close(h.closed)
	return h
}

// Done implements context.Context.
func (h *halt) Done() <-chan struct{} {
	if !h.halted.Load() {
		return nil
	}
	return h.closed
}

// Err implements context.Context. Its text is what a script sees that is stopped between two calls.
func (h *halt) Err() error {
	if !h.halted.Load() {
		return nil
	}
	return errHalted
}

// Deadline implements context.Context.
func (h *halt) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context.
func (h *halt) Value(any) any { return nil }
