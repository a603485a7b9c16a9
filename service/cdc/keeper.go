package cdc

import (
	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/unit"
)

const (
	// The keeper drops what all streams have read at least each time that this part of the log's bound was appended.
	patrolsPerLog = 16
	// The keeper drops at most this many transactions before it lets the writer have the lock.
	dropsPerTurn = 256
)

// keep does for the streams what Append must not do: it wakes those that wait, ends those that fell behind, and
// drops what all have read.
func (l *Log) keep() {
	var called []*cursor
	for {
		select {
		case <-l.stop:
			return
		case <-l.alarm:
		}
		called = l.callAll(called)
		behind, read := l.patrol()
		for _, c := range behind {
			c.owner.end(c.gone)
		}
		for l.drop(read) {
		}
	}
}

// callAll wakes the streams that wait for the next transaction. It uses list as the new list of waiting cursors
// and returns the old one, empty.
func (l *Log) callAll(list []*cursor) []*cursor {
	l.mu.Lock()
	called := l.waiting
	l.waiting = list
	l.round++
	l.mu.Unlock()
	for _, c := range called {
		notify(c.wake)
	}
	clear(called)
	return called[:0]
}

// patrol removes the streams that fell behind and returns them, along with the index of the oldest transaction
// that somebody has yet to read.
func (l *Log) patrol() (behind []*cursor, read uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total < l.patrolAt {
		return nil, 0
	}
	read = l.ring.next
	l.patrolAt = l.total + max(1, int64(l.settings.Bytes)/patrolsPerLog)
	for _, c := range l.cursors {
		end := c.end.Load()
		if end != notReading && l.total-end > c.limit {
			c.gone = l.fellBehind(c)
			behind = append(behind, c)
			continue
		}
		read = min(read, c.at.Load())
		if end != notReading {
			l.patrolAt = min(l.patrolAt, end+c.limit+1)
		}
	}
	for _, c := range behind {
		l.remove(c)
	}
	return behind, read
}

// drop drops some of the transactions before index read, and reports whether there are more.
func (l *Log) drop(read uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range dropsPerTurn {
		if l.ring.first >= min(read, l.ring.next) {
			return false
		}
		l.pop()
	}
	return true
}

// fellBehind returns the error that ends the stream of c. l.mu must be held.
func (l *Log) fellBehind(c *cursor) error {
	return errs.New(errs.Unavailable, "stream fell behind: %s in %d transactions unread, limit %s; "+
		"read faster, raise max_bytes, or resubscribe with snapshot = true",
		unit.Size(l.total-c.start.Load()), l.ring.next-c.at.Load(), unit.Size(c.limit))
}
