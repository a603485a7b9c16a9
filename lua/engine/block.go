package engine

import (
	"context"
	"errors"
	"runtime"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
)

// FromState returns the process that runs L, which may be any of its threads.
func FromState(L *lua.LState) *Process {
	h, ok := L.Context().(*cancelContext)
	if !ok {
		panic("engine: this Lua state belongs to no process")
	}
	return h.process
}

// Block calls f with the lock of L's process released, so that other coroutines of the process run meanwhile. f gets
// the context of the process and must return soon after it is done; it must not touch L. When the process has been
// terminated the error is Canceled.
func Block[T any](L *lua.LState, f func(ctx context.Context) (T, error)) (T, error) {
	p := FromState(L)
	if err := p.Err(); err != nil {
		var zero T
		return zero, err
	}
	v, err := unlocked(p, L, f)
	if err != nil && errors.Is(err, context.Canceled) && p.Err() != nil {
		err = p.Err()
	}
	return v, err
}

func unlocked[T any](p *Process, L *lua.LState, f func(ctx context.Context) (T, error)) (T, error) {
	p.mu.Unlock()
	defer p.relock(L) // also when f panics: gopher-lua recovers and goes on running Lua code
	return f(p.ctx)
}

// Err returns why the process was terminated, as a Canceled error, nil while it may run.
func (p *Process) Err() error {
	if !p.cancellation.canceled.Load() {
		return nil
	}
	cause := *p.cause.Load()
	if errs.Is(cause, errs.Canceled) {
		return cause
	}
	return errs.New(errs.Canceled, "lua: process %q: a coroutine has failed", p.ID())
}

// lock takes the process's lock and lets running coroutines know that another goroutine waits for it.
func (p *Process) lock() {
	if p.mu.TryLock() {
		return
	}
	p.waiting.Add(1)
	p.mu.Lock()
	p.waiting.Add(-1)
}

func (p *Process) relock(L *lua.LState) {
	p.lock()
	L.G.CurrentThread = L
}

// turnLength is how many calls a coroutine makes without blocking before it lets others run.
const turnLength = 64

// yield lets other coroutines of the process run now and then. A call that could have blocked but found its value
// ready makes it, so that a coroutine that never has to wait does not starve the others.
func (p *Process) yield(L *lua.LState) {
	if p.waiting.Load() == 0 {
		return
	}
	if p.turn++; p.turn < turnLength {
		return
	}
	p.turn = 0
	p.mu.Unlock()
	runtime.Gosched()
	p.relock(L)
}
