package postgres

import (
	"net"
	"sync"
	"time"
)

// alarm wakes the goroutine that waits for the server.
type alarm struct {
	mu sync.Mutex
	// conn is what it waits for, nil if it does not; rung means that it must not wait.
	conn net.Conn
	rung bool
}

// attach makes ring interrupt the reading of conn; nil ends that.
func (a *alarm) attach(conn net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conn, a.rung = conn, false
}

// ring interrupts the goroutine, now or when it waits next.
func (a *alarm) ring() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rung = true
	if a.conn != nil {
		_ = a.conn.SetReadDeadline(time.Unix(1, 0)) // a connection that is closed does not make anybody wait
	}
}

// set makes the waiting end at deadline, unless it was rung for: then it returns false.
func (a *alarm) set(deadline time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rung {
		a.rung = false
		return false
	}
	_ = a.conn.SetReadDeadline(deadline) // reading will fail, too
	return true
}
