package engine

import (
	lua "github.com/yuin/gopher-lua"
)

// Cancellation tells functions of a module that the process was asked to end. A process that has one is not terminated
// when it is asked.
type Cancellation struct {
	mail  *mailbox
	ready chan struct{}
}

// Cancellation returns a new one; Close gives it up.
func (p *Process) Cancellation() *Cancellation { return p.mail.watch() }

// Asked returns a channel that is closed when the process was asked to end.
func (c *Cancellation) Asked() <-chan struct{} { return c.mail.asked }

// Poll implements Producer: nothing comes, until the end.
func (c *Cancellation) Poll(*lua.LState) (v lua.LValue, open, ready bool) {
	select {
	case <-c.mail.asked:
		return lua.LNil, false, true
	default:
		return nil, true, false
	}
}

// Ready implements Producer.
func (c *Cancellation) Ready() <-chan struct{} { return c.ready }

// Close implements Producer. It is idempotent.
func (c *Cancellation) Close() { c.mail.unwatch(c) }

func (m *mailbox) watch() *Cancellation {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &Cancellation{mail: m, ready: make(chan struct{}, 1)}
	m.watching[c] = struct{}{}
	return c
}

func (m *mailbox) unwatch(c *Cancellation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.watching, c)
}

// tellWatching makes known that the process was asked to end. m.mu must be held.
func (m *mailbox) tellWatching() {
	select {
	case <-m.asked:
	default:
		close(m.asked)
	}
	for c := range m.watching {
		select {
		case c.ready <- struct{}{}:
		default:
		}
	}
}
