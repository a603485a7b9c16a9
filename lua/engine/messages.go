package engine

import (
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
)

// Inbox returns the channel of messages whose topic the process does not listen to.
func (p *Process) Inbox(L *lua.LState) lua.LValue {
	if p.inbox == nil {
		p.inbox = NewDetachedProducerChannel(L, &p.mail.inbox)
	}
	return p.inbox
}

// Events returns the channel of events. A process that has called it is asked to end by an event.
func (p *Process) Events(L *lua.LState) lua.LValue {
	if p.events == nil {
		p.events = NewDetachedProducerChannel(L, p.mail.listen())
	}
	return p.events
}

// Listen returns the channel of the payloads sent to topic, beginning with those that wait in the inbox.
func (p *Process) Listen(L *lua.LState, topic string) lua.LValue {
	ch, ok := p.listeners[topic]
	if !ok {
		ch = NewDetachedProducerChannel(L, p.mail.topic(topic))
		p.listeners[topic] = ch
	}
	return ch
}

// Send delivers each payload as a message of its own, in order, all or none; without payloads it delivers one that
// carries nil. The payloads must be copies (see FromLua). Errors: NotFound, and Unavailable when the receiver has
// MailboxSize messages to read.
func (p *Process) Send(to process.PID, topic string, payloads ...any) error {
	receiver := p.engine.running(to)
	if receiver == nil {
		return unknownProcess("send", to)
	}
	if len(payloads) == 0 {
		payloads = []any{nil}
	}
	messages := make([]any, len(payloads))
	for i, payload := range payloads {
		messages[i] = &message{topic: topic, from: p.pid, payload: payload}
	}
	return receiver.mail.deliver(to, topic, messages)
}

// Spawn starts a process whose end is told to this one. A process that listens to its events and leaves MailboxSize of
// them unread gets no more children (Unavailable).
func (p *Process) Spawn(s process.Spawn) (process.PID, error) {
	if p.mail.full() {
		return "", errs.New(errs.Unavailable, "lua: spawn %q: %d events of %s are unread; read process.events() first", s.Process, MailboxSize, p.pid)
	}
	s.Parent = p.pid
	return p.engine.Spawn(p.ctx, s)
}

// Cancel asks the process to to end within timeout, after which it is terminated, and does not wait for it.
func (p *Process) Cancel(to process.PID, timeout time.Duration) error {
	target := p.engine.running(to)
	if target == nil {
		return unknownProcess("cancel", to)
	}
	target.ask(p.pid, time.Now().Add(timeout))
	timer := time.AfterFunc(timeout, func() { target.terminate(target.terminated()) })
	target.OnEnd(func() { timer.Stop() })
	return nil
}

// Terminate ends the process to at its next instruction and does not wait for it.
func (p *Process) Terminate(to process.PID) error {
	target := p.engine.running(to)
	if target == nil {
		return unknownProcess("terminate", to)
	}
	target.terminate(target.terminated())
	return nil
}

func messageToLua(L *lua.LState, item any) lua.LValue {
	m, _ := item.(*message)
	tb := L.CreateTable(0, 3)
	tb.RawSetString("topic", lua.LString(m.topic))
	tb.RawSetString("from", lua.LString(m.from))
	tb.RawSetString("payload", copied(L, m.payload))
	return tb
}

func payloadToLua(L *lua.LState, item any) lua.LValue {
	m, _ := item.(*message)
	return copied(L, m.payload)
}

func eventToLua(L *lua.LState, item any) lua.LValue {
	ev, _ := item.(*event)
	tb := L.CreateTable(0, 4)
	tb.RawSetString("kind", lua.LString(ev.kind))
	tb.RawSetString("from", lua.LString(ev.from))
	if !ev.deadline.IsZero() {
		tb.RawSetString("deadline", lua.LNumber(float64(ev.deadline.UnixNano())/float64(time.Second)))
	}
	if ev.kind == eventExit {
		tb.RawSetString("result", copied(L, ev.exit.Value))
		tb.RawSetString("error", ErrorValue(L, ev.exit.Err))
	}
	return tb
}

// copied turns a value that came from FromLua back. It cannot fail for those; an error would be delivered in the
// place of the value.
func copied(L *lua.LState, v any) lua.LValue {
	lv, err := ToLua(L, v)
	if err != nil {
		return ErrorValue(L, err)
	}
	return lv
}
