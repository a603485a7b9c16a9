package engine

import (
	lua "github.com/yuin/gopher-lua"
)

// Producer is the Go side of a channel that scripts can only receive from. Poll and Ready are called with
// the lock of the process held.
type Producer interface {
	// Poll returns the next value if there is one (ready); open is false at the end, after which Poll goes on
	// reporting the end. It must not block.
	Poll(L *lua.LState) (v lua.LValue, open, ready bool)
	// Ready returns a channel that gets a value when Poll may have something new, the end included; one value
	// is enough however many coroutines wait. It must not be closed.
	Ready() <-chan struct{}
	// Close releases the producer. It is called, at most once: when Poll has reported the end, and then it must not
	// block, or when the process has ended; other ways to end the producer are its own matter.
	Close()
}

// NewProducerChannel returns the channel that reads from producer, which is closed when the process ends, unless it has
// reported its own end before.
func NewProducerChannel(L *lua.LState, producer Producer) lua.LValue {
	ch := &Channel{producer: producer}
	ch.release = FromState(L).OnEnd(producer.Close)
	return ch.value(L)
}

// NewDetachedProducerChannel returns the channel that reads from producer, which the process does not hold on to: a
// producer that has something to release registers it with OnEnd itself.
func NewDetachedProducerChannel(L *lua.LState, producer Producer) lua.LValue {
	ch := &Channel{producer: producer, release: func() {}}
	return ch.value(L)
}

// pollProducer is the receive operation of a channel that reads from a producer.
func (ch *Channel) pollProducer(L *lua.LState) (v lua.LValue, ok, ready bool) {
	if ch.closed {
		return lua.LNil, false, true
	}
	v, open, ready := ch.producer.Poll(L)
	if !ready {
		return nil, false, false
	}
	if !open {
		ch.closed = true
		ch.release()
		ch.producer.Close()
		return lua.LNil, false, true
	}
	return v, true, true
}

// pass wakes the next coroutine that waits for the producer, since the one that leaves may have taken the token that
// Ready has given for both.
func (ch *Channel) pass() {
	if first := ch.receivers.Front(); first != nil {
		pl, _ := first.Value.(*place)
		pl.waiter.wake()
	}
}
