package engine

import (
	"container/list"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
)

// Channel carries values between the coroutines of one process, or from a Producer into the process. Its state is
// guarded by the lock of the process. A channel on which no coroutine can ever send blocks its receivers until they are
// cancelled.
type Channel struct {
	capacity int
	items    list.List // buffered values
	closed   bool
	// senders and receivers hold the places of blocked coroutines, first come first served.
	senders, receivers list.List

	producer Producer // nil for channels made by scripts
	release  func()

	// self and receiveCase are the Lua values that stand for the channel.
	self, receiveCase *lua.LUserData
}

// errClosed and errReceiveOnly are why a send fails.
var (
	errClosed      = errs.New(errs.Invalid, "channel: send: the channel is closed")
	errReceiveOnly = errs.New(errs.Invalid, "channel: send: the channel can only be received from")
)

// NewChannel returns a channel that buffers capacity values; with 0 a send waits for its receiver.
func NewChannel(L *lua.LState, capacity int) lua.LValue {
	return (&Channel{capacity: capacity}).value(L)
}

func (ch *Channel) value(L *lua.LState) lua.LValue {
	p := FromState(L)
	ch.self = &lua.LUserData{Value: ch, Env: L.Env, Metatable: p.channelType}
	ch.receiveCase = &lua.LUserData{Value: &Case{channel: ch}, Env: L.Env, Metatable: p.caseType}
	return ch.self
}

// CheckChannel returns argument n, or raises an argument error if it is not a channel.
func CheckChannel(L *lua.LState, n int) *Channel {
	if ud, ok := L.Get(n).(*lua.LUserData); ok {
		if ch, ok := ud.Value.(*Channel); ok {
			return ch
		}
	}
	L.ArgError(n, fmt.Sprintf("channel expected, got %s", L.Get(n).Type()))
	return nil
}

// receive takes a value without waiting. ok is false when the channel has ended, ready when the operation is done.
func (ch *Channel) receive(L *lua.LState) (v lua.LValue, ok, ready bool) {
	if ch.producer != nil {
		return ch.pollProducer(L)
	}
	if first := ch.items.Front(); first != nil {
		v, _ = ch.items.Remove(first).(lua.LValue)
		if sender := next(&ch.senders); sender != nil {
			ch.items.PushBack(sender.value())
			sender.complete(lua.LNil, true)
		}
		return v, true, true
	}
	if sender := next(&ch.senders); sender != nil {
		v = sender.value()
		sender.complete(lua.LNil, true)
		return v, true, true
	}
	if ch.closed {
		return lua.LNil, false, true
	}
	return nil, false, false
}

// send gives v away without waiting; ready tells whether it was taken or refused with err.
func (ch *Channel) send(v lua.LValue) (ready bool, err error) {
	switch {
	case ch.producer != nil:
		return true, errReceiveOnly
	case ch.closed:
		return true, errClosed
	}
	if receiver := next(&ch.receivers); receiver != nil {
		receiver.complete(v, true)
		return true, nil
	}
	if ch.items.Len() < ch.capacity {
		ch.items.PushBack(v)
		return true, nil
	}
	return false, nil
}

// close ends the channel: what is buffered can still be received, blocked coroutines wake up.
func (ch *Channel) close() error {
	if ch.producer != nil {
		return errs.New(errs.Invalid, "channel: close: only its producer can close this channel")
	}
	ch.closed = true
	for receiver := next(&ch.receivers); receiver != nil; receiver = next(&ch.receivers) {
		receiver.complete(lua.LNil, false)
	}
	for sender := next(&ch.senders); sender != nil; sender = next(&ch.senders) {
		sender.complete(lua.LNil, false)
	}
	return nil
}

// next returns the first place whose coroutine is still waiting, and forgets it.
func next(places *list.List) *place {
	for first := places.Front(); first != nil; first = places.Front() {
		pl, _ := places.Remove(first).(*place)
		pl.element = nil
		if !pl.waiter.done {
			return pl
		}
	}
	return nil
}
