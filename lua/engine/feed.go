package engine

import (
	lua "github.com/yuin/gopher-lua"
)

// Feed is a producer outside Lua that scripts read through a receive-only channel. Poll and Ready are called with
// the lock of the process held.
type Feed interface {
	// Poll returns the next value if there is one (ready); open is false at the end, after which Poll goes on
	// reporting the end. It must not block.
	Poll(L *lua.LState) (v lua.LValue, open, ready bool)
	// Ready returns a channel that gets a value when Poll may have something new, the end included; one value
	// is enough however many coroutines wait. It must not be closed.
	Ready() <-chan struct{}
	// Close releases the producer. It is called, at most once, when Poll has reported the end, and must not wait
	// for anybody then, or when the process has ended; other ways to end the producer are its own matter.
	Close()
}

// NewFeed returns the channel that reads from feed. feed is closed when the process ends, unless it has reported its
// own end before.
func NewFeed(L *lua.LState, feed Feed) lua.LValue {
	ch := &Channel{feed: feed}
	ch.release = FromState(L).OnEnd(feed.Close)
	return ch.value(L)
}

// NewDetachedFeed returns the channel that reads from feed, which the process does not hold on to: a feed that has
// something to release registers it with OnEnd itself.
func NewDetachedFeed(L *lua.LState, feed Feed) lua.LValue {
	ch := &Channel{feed: feed, release: func() {}}
	return ch.value(L)
}

// pollFeed is the receive operation of a channel that reads from a feed.
func (ch *Channel) pollFeed(L *lua.LState) (v lua.LValue, ok, ready bool) {
	if ch.closed {
		return lua.LNil, false, true
	}
	v, open, ready := ch.feed.Poll(L)
	if !ready {
		return nil, false, false
	}
	if !open {
		ch.closed = true
		ch.release()
		ch.feed.Close()
		return lua.LNil, false, true
	}
	return v, true, true
}

// pass wakes the next coroutine that waits for the feed, since the one that leaves may have taken the token that Ready
// has given for both.
func (ch *Channel) pass() {
	if first := ch.receivers.Front(); first != nil {
		pl, _ := first.Value.(*place)
		pl.waiter.nudge()
	}
}
