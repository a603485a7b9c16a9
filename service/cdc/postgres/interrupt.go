package postgres

import (
	"net"
	"sync"
	"time"
)

// interrupter interrupts the goroutine that reads from the server.
type interrupter struct {
	mu sync.Mutex
	// conn is what it reads from, nil if it does not; interrupted means that it must not wait.
	conn        net.Conn
	interrupted bool
}

// attach makes interrupt end the reading of conn; nil ends that.
func (i *interrupter) attach(conn net.Conn) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.conn, i.interrupted = conn, false
}

// interrupt interrupts the goroutine, now or when it waits next.
func (i *interrupter) interrupt() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.interrupted = true
	if i.conn != nil {
		_ = i.conn.SetReadDeadline(time.Unix(1, 0)) // reading a closed connection does not wait
	}
}

// setDeadline makes the waiting end at deadline, unless it was interrupted: then it returns false.
func (i *interrupter) setDeadline(deadline time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.interrupted {
		i.interrupted = false
		return false
	}
	_ = i.conn.SetReadDeadline(deadline) // reading will fail, too
	return true
}
