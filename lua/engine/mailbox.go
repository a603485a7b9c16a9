package engine

import (
	"slices"
	"sync"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
)

// MailboxSize is how many messages may wait in the inbox of a process, and in each of its topics. A send to a full one
// is refused with an Unavailable error; nothing is dropped.
const MailboxSize = 1024

// message is what a process gets from another one.
type message struct {
	topic   string
	from    process.PID
	payload any
}

// event tells a process of something that happens to it or to a process that it has spawned.
type event struct {
	kind string      // eventCancel or eventExit
	from process.PID // who asks, "" for the runtime, or who has ended
	// deadline is when a process that was asked to end is terminated; zero if it never is.
	deadline time.Time
	exit     process.Exit // how from has ended
}

const (
	eventCancel = "pid.cancel"
	eventExit   = "pid.exit"
)

// mailbox holds what others have sent to a process. Senders reach it without the lock of the process.
type mailbox struct {
	mu     sync.Mutex
	closed bool
	inbox  queue
	topics map[string]*queue
	events queue
	// listening is set when the process reads its events. Before, only the newest MailboxSize ends are kept.
	listening bool
	// asked is closed when the process was asked to end while something listened; watching are those that wait for
	// that.
	asked    chan struct{}
	watching map[*Cancellation]struct{}
}

// queue is a Producer of messages or events; mu is the mailbox's.
type queue struct {
	mu    *sync.Mutex
	items []any
	ready chan struct{}
	toLua func(L *lua.LState, item any) lua.LValue
}

func newQueue(mu *sync.Mutex, toLua func(L *lua.LState, item any) lua.LValue) queue {
	return queue{mu: mu, ready: make(chan struct{}, 1), toLua: toLua}
}

func (m *mailbox) init() {
	m.inbox = newQueue(&m.mu, messageToLua)
	m.events = newQueue(&m.mu, eventToLua)
	m.topics = map[string]*queue{}
	m.asked, m.watching = make(chan struct{}), make(map[*Cancellation]struct{})
}

// Poll implements Producer.
func (q *queue) Poll(L *lua.LState) (v lua.LValue, open, ready bool) {
	q.mu.Lock()
	if len(q.items) == 0 {
		q.mu.Unlock()
		return nil, true, false
	}
	item := q.items[0]
	q.items[0] = nil
	q.items = q.items[1:]
	q.mu.Unlock()
	return q.toLua(L, item), true, true
}

// Ready implements Producer.
func (q *queue) Ready() <-chan struct{} { return q.ready }

// Close implements Producer. What is left is collected with the process.
func (q *queue) Close() {}

// push appends items and wakes the reader; q.mu must be held.
func (q *queue) push(items ...any) {
	q.items = append(q.items, items...)
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// deliver puts all messages into the queue of their topic or, if the process does not listen to it, into the inbox; all
// or none.
func (m *mailbox) deliver(to process.PID, topic string, messages []any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return unknownProcess("send", to)
	}
	q, name := m.topics[topic], "topic "+topic
	if q == nil {
		q, name = &m.inbox, "inbox"
	}
	if len(q.items)+len(messages) > MailboxSize {
		return errs.New(errs.Unavailable, "lua: send %q: its %s is full (%d messages); send again when it has read some", to, name, len(q.items))
	}
	q.push(messages...)
	return nil
}

// cancel delivers a request to end. It reports false if the process does not listen to events.
func (m *mailbox) cancel(from process.PID, deadline time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.listening && len(m.watching) == 0 {
		return false
	}
	m.tellWatching()
	if !m.listening {
		return true
	}
	asked := slices.ContainsFunc(m.events.items, func(item any) bool {
		ev, _ := item.(*event)
		return ev.kind == eventCancel
	})
	if !asked { // a request that was not read yet is enough
		m.events.push(&event{kind: eventCancel, from: from, deadline: deadline})
	}
	return true
}

// exited delivers the end of a child.
func (m *mailbox) exited(exit process.Exit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if !m.listening && len(m.events.items) >= MailboxSize {
		m.events.items = m.events.items[1:]
	}
	m.events.push(&event{kind: eventExit, from: exit.PID, exit: exit})
}

// full reports whether a process that listens to its events has left too many unread to get another child.
func (m *mailbox) full() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.listening && len(m.events.items) >= MailboxSize
}

func (m *mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.inbox.items, m.events.items, m.topics = nil, nil, nil
}

// topic makes the queue of a topic, which takes over what waits in the inbox for it.
func (m *mailbox) topic(name string) *queue {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := newQueue(&m.mu, payloadToLua)
	m.topics[name] = &q
	m.inbox.items = slices.DeleteFunc(m.inbox.items, func(item any) bool {
		msg, _ := item.(*message)
		if msg.topic != name {
			return false
		}
		q.push(item)
		return true
	})
	return &q
}

func (m *mailbox) listen() *queue {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listening = true
	return &m.events
}
