package engine

import (
	"errors"
	"sync/atomic"
	"time"
)

// cancelContext is the context of all Lua threads of one process. gopher-lua asks for Done before every instruction and
// then selects on it; a nil channel, which this context returns while the process may run, makes that select cheap. It
// also leads from a Lua thread to its process.
type cancelContext struct {
	process  *Process
	canceled atomic.Bool
	closed   chan struct{}
}

var errTerminated = errors.New("process was terminated")

func newCancelContext(p *Process) *cancelContext {
	c := &cancelContext{process: p, closed: make(chan struct{})}
	close(c.closed)
	return c
}

// Done implements context.Context.
func (c *cancelContext) Done() <-chan struct{} {
	if !c.canceled.Load() {
		return nil
	}
	return c.closed
}

// Err implements context.Context. Its text is what a script sees that is stopped between two calls.
func (c *cancelContext) Err() error {
	if !c.canceled.Load() {
		return nil
	}
	return errTerminated
}

// Deadline implements context.Context.
func (c *cancelContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value implements context.Context.
func (c *cancelContext) Value(any) any { return nil }
