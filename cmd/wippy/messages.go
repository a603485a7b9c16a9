package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// messagesLimit bounds the text that waits for a reader.
	messagesLimit = 1 << 20
	// messagesPatience is how long the writer of a line waits for it to be written, so that lines of the log and what
	// processes print come in their order, and how long the program waits at its end after a signal.
	messagesPatience = 100 * time.Millisecond
	messagesFarewell = time.Second
)

// messages are what the program has to say on stderr: its log and why it ends. If stderr is a pipe that is full, because
// what should read it does not, lines wait in memory, and those for which there is no room are dropped and counted.
// Nothing that runs waits for a reader, so that nothing is held up that must stop.
type messages struct {
	to io.Writer
	// notice tells that lines were dropped.
	notice func(dropped int) string

	mu      sync.Mutex
	waiting []message
	size    int
	dropped int
	// stalled says that a line was not written in time: until all are, nothing waits for its own.
	stalled bool
	busy    bool // the goroutine that writes runs
}

type message struct {
	text    []byte
	written chan struct{}
}

func newMessages(to io.Writer) *messages { return &messages{to: to, notice: droppedLine} }

func droppedLine(dropped int) string {
	return fmt.Sprintf("wippy: %s dropped here, because stderr was not read\n", count(dropped, "line was", "lines were"))
}

func droppedJSON(dropped int) string {
	return fmt.Sprintf(`{"time":%q,"level":"WARN","msg":"lines were dropped here, because stderr was not read","lines":%d}`+"\n",
		time.Now().Format(time.RFC3339Nano), dropped)
}

// Write implements io.Writer. It does not fail.
func (m *messages) Write(text []byte) (int, error) {
	written, stalled := m.enqueue(text)
	if written == nil || stalled {
		return len(text), nil
	}
	timer := time.NewTimer(messagesPatience)
	defer timer.Stop()
	select {
	case <-written:
	case <-timer.C:
		m.mu.Lock()
		m.stalled = len(m.waiting) > 0 || m.busy
		m.mu.Unlock()
	}
	return len(text), nil
}

// enqueue returns a channel that is closed when the text is written, nil if it was dropped.
func (m *messages) enqueue(text []byte) (written chan struct{}, stalled bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) > 0 && m.size+len(text) > messagesLimit {
		m.dropped++
		return nil, true
	}
	written = make(chan struct{})
	m.push(append([]byte(nil), text...), written)
	return written, m.stalled
}

// push adds a text; m.mu must be held.
func (m *messages) push(text []byte, written chan struct{}) {
	m.waiting = append(m.waiting, message{text, written})
	m.size += len(text)
	if !m.busy {
		m.busy = true
		go m.write()
	}
}

// write writes what waits, and ends when there is nothing left.
func (m *messages) write() {
	for {
		next, ok := m.next()
		if !ok {
			return
		}
		if len(next.text) > 0 {
			_, _ = m.to.Write(next.text) // there is nowhere to tell of it
		}
		close(next.written)
	}
}

// next takes the oldest text. What was dropped is told after the last of those before.
func (m *messages) next() (message, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) == 0 && m.dropped > 0 {
		text := m.notice(m.dropped)
		m.dropped = 0
		return message{[]byte(text), make(chan struct{})}, true
	}
	if len(m.waiting) == 0 {
		m.waiting, m.busy, m.stalled = nil, false, false
		return message{}, false
	}
	first := m.waiting[0]
	m.waiting = m.waiting[1:]
	m.size -= len(first.text)
	return first, true
}

// flush waits until everything is written. When ctx is done, because the program was told to end, it waits for a moment
// only.
func (m *messages) flush(ctx context.Context) {
	m.mu.Lock()
	if !m.busy {
		m.mu.Unlock()
		return
	}
	if m.dropped > 0 {
		m.push([]byte(m.notice(m.dropped)), make(chan struct{}))
		m.dropped = 0
	}
	last := make(chan struct{})
	m.push(nil, last)
	m.mu.Unlock()
	select {
	case <-last:
		return
	case <-ctx.Done():
	}
	timer := time.NewTimer(messagesFarewell)
	defer timer.Stop()
	select {
	case <-last:
	case <-timer.C:
	}
}
