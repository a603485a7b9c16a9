package test

import (
	"sync/atomic"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/lua/engine"
)

// deadline is the producer of a channel that gets a value when a time has passed. It is closed by the coroutine that
// waits for it, and when the process ends.
type deadline struct {
	timer  *time.Timer
	passed atomic.Bool
	ready  chan struct{}
	remove func() // takes it off the process's end
}

func newDeadline(L *lua.LState, after time.Duration) *deadline {
	d := &deadline{ready: make(chan struct{}, 1)}
	d.timer = time.AfterFunc(after, func() {
		d.passed.Store(true)
		d.ready <- struct{}{}
	})
	d.remove = engine.FromState(L).OnEnd(func() { d.timer.Stop() })
	return d
}

// Poll implements engine.Producer.
func (d *deadline) Poll(*lua.LState) (v lua.LValue, open, ready bool) {
	return lua.LTrue, true, d.passed.Load()
}

// Ready implements engine.Producer.
func (d *deadline) Ready() <-chan struct{} { return d.ready }

// Close implements engine.Producer.
func (d *deadline) Close() {
	d.timer.Stop()
	d.remove()
}
