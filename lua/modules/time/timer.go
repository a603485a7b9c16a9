package time

import (
	"fmt"
	"sync"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/lua/engine"
)

// alarm is a timer or a ticker, and the producer of its channel. The channel holds one tick; a ticker whose tick was
// not read skips the next ones. A process that ends stops its alarms.
type alarm struct {
	process *engine.Process
	period  time.Duration // 0 for a timer
	channel lua.LValue
	ready   chan struct{}

	mu     sync.Mutex
	timer  *time.Timer // nil while nothing is going to happen
	next   time.Time
	run    int // counts starts: a timer that fired before it was stopped finds another number
	due    time.Time
	remove func() // takes the alarm off the process's end
}

func newAlarm(L *lua.LState, d, period time.Duration) *alarm {
	a := &alarm{process: engine.FromState(L), period: period, ready: make(chan struct{}, 1)}
	a.channel = engine.NewDetachedProducerChannel(L, a)
	a.start(d)
	return a
}

// start makes a stopped alarm go off after d.
func (a *alarm) start(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	run := a.run
	a.next = time.Now().Add(d)
	a.timer = time.AfterFunc(d, func() { a.fire(run) })
	a.remove = a.process.OnEnd(a.Close)
}

// stop keeps the alarm from going off, drops a tick that was not read, and reports whether it was going to go off.
func (a *alarm) stop() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.run++
	a.due = time.Time{}
	if a.timer == nil {
		return false
	}
	a.timer.Stop()
	a.timer = nil
	a.remove()
	return true
}

func (a *alarm) fire(run int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if run != a.run {
		return
	}
	if a.due.IsZero() {
		a.due = time.Now()
	}
	if a.period == 0 {
		a.timer = nil
		a.remove()
	} else {
		a.next = a.next.Add(a.period)
		a.timer.Reset(max(0, time.Until(a.next)))
	}
	select {
	case a.ready <- struct{}{}:
	default:
	}
}

// Poll implements engine.Producer.
func (a *alarm) Poll(L *lua.LState) (v lua.LValue, open, ready bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.due.IsZero() {
		return nil, true, false
	}
	v = timeValue(L, a.due)
	a.due = time.Time{}
	return v, true, true
}

// Ready implements engine.Producer.
func (a *alarm) Ready() <-chan struct{} { return a.ready }

// Close implements engine.Producer.
func (a *alarm) Close() { a.stop() }

// after is time.after(d): a channel that gets the time once, when d has passed.
func after(L *lua.LState) int {
	d := durationArg(L, 1)
	L.Push(newAlarm(L, d, 0).channel)
	return 1
}

// newTimer is time.timer(d).
func newTimer(L *lua.LState) int {
	d := durationArg(L, 1)
	L.Push(value(L, timerType, newAlarm(L, d, 0)))
	return 1
}

// newTicker is time.ticker(d).
func newTicker(L *lua.LState) int {
	d := periodArg(L, 1)
	L.Push(value(L, timerType, newAlarm(L, d, d)))
	return 1
}

func periodArg(L *lua.LState, n int) time.Duration {
	d := durationArg(L, n)
	if d <= 0 {
		L.ArgError(n, fmt.Sprintf("a ticker needs a period of more than 0, not %s", d))
	}
	return d
}

func timerChannel(L *lua.LState) int {
	L.Push(self[*alarm](L, 1, timerType).channel)
	return 1
}

// timerStop returns whether the timer was going to go off.
func timerStop(L *lua.LState) int {
	L.Push(lua.LBool(self[*alarm](L, 1, timerType).stop()))
	return 1
}

// timerReset starts the timer or ticker again, with another duration or period.
func timerReset(L *lua.LState) int {
	a := self[*alarm](L, 1, timerType)
	read := durationArg
	if a.period > 0 {
		read = periodArg
	}
	d := read(L, 2)
	was := a.stop()
	if a.period > 0 {
		a.period = d
	}
	a.start(d)
	L.Push(lua.LBool(was))
	return 1
}
