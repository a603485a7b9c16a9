package engine

import (
	"container/list"
	"context"
	"reflect"

	lua "github.com/yuin/gopher-lua"
)

// Case is one operation on a channel that a coroutine is prepared to make.
type Case struct {
	channel *Channel
	sends   bool
	value   lua.LValue
}

// waiter is a blocked coroutine. Its fields are guarded by the lock of the process; woken may be used without.
type waiter struct {
	woken  chan struct{} // holds one token
	places []*place
	// done is set by the coroutine that completes one of the cases; then index, value and ok are the outcome.
	done  bool
	index int
	value lua.LValue
	ok    bool
}

// place is the position of a waiter in the queue of one channel.
type place struct {
	waiter  *waiter
	index   int
	on      *Case
	queue   *list.List
	element *list.Element // nil when the place is not in the queue
}

func (pl *place) value() lua.LValue { return pl.on.value }

// complete ends the wait with this case.
func (pl *place) complete(v lua.LValue, ok bool) {
	w := pl.waiter
	w.done, w.index, w.value, w.ok = true, pl.index, v, ok
	w.wake()
}

// wake wakes the coroutine, which looks whether it can go on.
func (w *waiter) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// outcome is the operation that was made: the case, and for a receive the value; ok is false if the channel has ended.
type outcome struct {
	index int
	value lua.LValue
	ok    bool
}

// try makes the first operation that is possible now, beginning with the case at start.
func try(L *lua.LState, cases []*Case, start int) (outcome, bool) {
	for i := range cases {
		index := (start + i) % len(cases)
		c := cases[index]
		if c.sends {
			if ready, err := c.channel.send(c.value); ready {
				return outcome{index, lua.LNil, err == nil}, true
			}
			continue
		}
		if v, ok, ready := c.channel.receive(L); ready {
			return outcome{index, v, ok}, true
		}
	}
	return outcome{}, false
}

// wait blocks the coroutine of L until one of the cases, none of which is possible now, was made. The error is
// Canceled when the process was terminated.
func (p *Process) wait(L *lua.LState, cases []*Case) (outcome, error) {
	if err := p.Err(); err != nil {
		return outcome{}, err
	}
	w := &waiter{woken: make(chan struct{}, 1)}
	ready := w.enter(cases)
	defer w.leave()
	for {
		p.park(L, w, ready)
		if w.done {
			return outcome{w.index, w.value, w.ok}, nil
		}
		if err := p.Err(); err != nil {
			return outcome{}, err
		}
		if out, ok := pollProducers(L, cases); ok {
			return out, nil
		}
	}
}

func pollProducers(L *lua.LState, cases []*Case) (outcome, bool) {
	for i, c := range cases {
		if c.channel.producer == nil || c.sends {
			continue
		}
		if v, ok, ready := c.channel.receive(L); ready {
			return outcome{i, v, ok}, true
		}
	}
	return outcome{}, false
}

// enter queues w on all channels and returns the ready channels of the producers among them.
func (w *waiter) enter(cases []*Case) []<-chan struct{} {
	var ready []<-chan struct{}
	w.places = make([]*place, len(cases))
	for i, c := range cases {
		queue := &c.channel.receivers
		if c.sends {
			queue = &c.channel.senders
		}
		pl := &place{waiter: w, index: i, on: c, queue: queue}
		pl.element = queue.PushBack(pl)
		w.places[i] = pl
		if c.channel.producer != nil && !c.sends {
			ready = append(ready, c.channel.producer.Ready())
		}
	}
	return ready
}

// leave takes w off all queues.
func (w *waiter) leave() {
	for _, pl := range w.places {
		if pl.element != nil {
			pl.queue.Remove(pl.element)
			pl.element = nil
		}
		if pl.on.channel.producer != nil {
			pl.on.channel.pass()
		}
	}
}

// park sleeps without the lock until something may have happened.
func (p *Process) park(L *lua.LState, w *waiter, ready []<-chan struct{}) {
	p.mu.Unlock()
	defer p.relock(L)
	var r [4]<-chan struct{} // a nil channel is never ready
	if copy(r[:], ready) < len(ready) {
		parkMany(p.ctx, w, ready)
		return
	}
	select {
	case <-w.woken:
	case <-p.ctx.Done():
	case <-r[0]:
	case <-r[1]:
	case <-r[2]:
	case <-r[3]:
	}
}

func parkMany(ctx context.Context, w *waiter, ready []<-chan struct{}) {
	cases := make([]reflect.SelectCase, 0, len(ready)+2)
	add := func(ch any) {
		cases = append(cases, reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(ch)})
	}
	add(w.woken)
	add(ctx.Done())
	for _, ch := range ready {
		add(ch)
	}
	reflect.Select(cases)
}
