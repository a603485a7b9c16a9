package test

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"sync/atomic"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

const (
	// caseTimeout is how long a case may take unless it is told otherwise.
	caseTimeout = time.Minute
	// busyGrace is how long a case that has not ended in time may keep the lock of the process, without which no
	// coroutine can look where it is.
	busyGrace = time.Second
)

// limit ends the process if a part of a suite has not ended in time. To end that part alone is not safe: what it waits
// for, holds or has spawned would get into the cases after it.
//
// A coroutine waits for the time to pass, since it can look where the part is. If the part computes without end that
// coroutine never gets its turn, and a second timer, which needs none, ends the process.
type limit struct {
	process *engine.Process
	base    base
	name    string
	timeout time.Duration
	sum     string // what is printed after the failure

	decided atomic.Bool   // set by what is first: the end of the part, or one of those who end the process
	over    chan struct{} // closed when it has done what was decided
	inTime  bool          // valid when over is closed
	force   *time.Timer
	remove  func() // takes it off the process's end
}

// base is what a part runs on: a thread, of whose stack the lowest levels are below the part.
type base struct {
	stack *lua.LState
	depth int
}

// baseOf is the base of what the running function of L calls.
func baseOf(L *lua.LState) base { return base{L, depth(L)} }

// newLimit watches the part that runs on base from now on.
func (s *suite) newLimit(L *lua.LState, base base, name string, timeout time.Duration) *limit {
	l := &limit{
		process: engine.FromState(L), base: base, name: name, timeout: timeout,
		sum: sum(s.passed, s.failed+1) + "; what follows was not run", over: make(chan struct{}),
	}
	l.force = time.AfterFunc(min(timeout, math.MaxInt64-busyGrace)+busyGrace, func() { l.end(nil) })
	l.remove = l.process.OnEnd(func() { l.stop() })
	L.Push(s.spawn)
	L.Push(L.NewFunction(l.watch))
	L.Call(1, 0)
	return l
}

// watch is the coroutine that ends the process when the time has passed.
func (l *limit) watch(L *lua.LState) int {
	passed, err := engine.Block(L, func(ctx context.Context) (bool, error) {
		timer := time.NewTimer(l.timeout)
		defer timer.Stop()
		select {
		case <-timer.C:
			return true, nil
		case <-l.over:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	})
	if passed && err == nil {
		l.force.Stop()
		l.end(l.base.places())
	}
	return 0
}

// end prints that the part has not ended, and where it is if that is known, and ends the process. It does nothing if
// the part has ended meanwhile.
func (l *limit) end(places []string) {
	if !l.decided.CompareAndSwap(false, true) {
		return
	}
	defer close(l.over)
	text := failed(l.name, located("it has not ended after "+short(l.timeout), places))
	if terminal, ok := l.process.Terminal(); ok {
		io.WriteString(terminal.Stdout, text+"\n"+l.sum+"\n") //nolint:errcheck // the process ends in any case
	}
	// It fails only if the process has ended.
	_ = l.process.Terminate(l.process.PID())
}

// stop ends the watch and reports whether the part has ended in time; if not the process has been ended.
func (l *limit) stop() bool {
	if !l.decided.CompareAndSwap(false, true) {
		<-l.over
		return l.inTime
	}
	l.inTime = true
	l.force.Stop()
	l.remove()
	close(l.over)
	return true
}

// timeoutOption reads the timeout in the options that are argument n, if there is any.
func timeoutOption(L *lua.LState, n int, otherwise time.Duration) time.Duration {
	timeout := otherwise
	err := option.Decode(L.Get(n), option.Field{Key: "timeout", Set: func(v lua.LValue) (err error) {
		if timeout, err = durationOf(v); err == nil && timeout <= 0 {
			err = errs.New(errs.Invalid, "is %s, must be more than 0", timeout)
		}
		return err
	}})
	if err != nil {
		L.ArgError(n, err.Error())
	}
	return timeout
}

// depth is how many levels the stack of L has.
func depth(L *lua.LState) int {
	n := 0
	for _, ok := L.GetStack(n); ok; _, ok = L.GetStack(n) {
		n++
	}
	return n
}

// places returns the file:line of the Lua functions of the part, the innermost first.
func (b base) places() []string {
	L := b.stack
	var places []string
	for level := range depth(L) - b.depth {
		// A level that a tail call has left has no place.
		frame, ok := L.GetStack(level)
		if _, err := L.GetInfo("S", frame, lua.LNil); !ok || err != nil || frame.What == "main" {
			continue
		}
		if place := strings.TrimSuffix(L.Where(level), ":"); place != "[G]" {
			places = append(places, place)
		}
	}
	return places
}

// short writes a duration without the zeros at its end, and 60s, which is the default, as it is documented.
func short(d time.Duration) string {
	if d == caseTimeout {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
