package cdc

import (
	"errors"
	"slices"
)

// cursor is where a stream is in the log. The fields below limit are guarded by the log's mu.
type cursor struct {
	owner *Stream
	// wake receives a value when the log may have something new for a stream that waits.
	wake chan struct{}
	// limit is how many bytes there may be behind the transaction that is read, or read next.
	limit int64

	// at is the index of that transaction.
	at uint64
	// start is the log's total before it, end after it. end is known while it is being read.
	start, end int64
	reading    bool
	// listed is the round of Log.waiting in which the cursor was last listed.
	listed uint64
	// countedAt is the at, plus one, with which the cursor was last counted in Log.caughtUp.
	countedAt uint64
	// gone is why the cursor is no longer in the log, if its stream does not know yet.
	gone error
}

// join makes c see what is appended from now on.
func (l *Log) join(c *cursor) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed != nil {
		return l.closed
	}
	c.at, c.start = l.ring.next, l.total
	l.cursors = append(l.cursors, c)
	l.streams.Store(int32(len(l.cursors))) //nolint:gosec // bounded by subscriptions.max_subscriptions
	l.countCaughtUp(c)
	return nil
}

// leave forgets c. It is idempotent.
func (l *Log) leave(c *cursor) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(c)
	l.sweep()
}

// errCaughtUp says that a stream has read the whole log.
var errCaughtUp = errors.New("caught up")

// next moves c on and returns the transaction it is at now. If there is none yet it returns errCaughtUp, and the
// cursor's wake receives a value when it is worth trying again. Other errors say why the stream must end.
func (l *Log) next(c *cursor) (Transaction, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.reading {
		c.reading, c.at, c.start = false, c.at+1, c.end
	}
	switch {
	case c.gone != nil:
		return nil, c.gone
	case l.closed != nil:
		return nil, l.closed
	case c.at == l.ring.next:
		l.await(c)
		return nil, errCaughtUp
	case c.at < l.ring.first:
		return nil, l.fellBehind(c)
	default:
		return l.take(c)
	}
}

// take returns the transaction that c is at, which is in the ring. l.mu must be held.
func (l *Log) take(c *cursor) (Transaction, error) {
	tx, end := l.ring.at(c.at).tx, l.ring.at(c.at).end
	if l.total-end > c.limit {
		return nil, l.fellBehind(c)
	}
	c.end, c.reading = end, true
	l.patrolAt = min(l.patrolAt, end+c.limit+1)
	if len(l.cursors) == 1 {
		for l.ring.first <= c.at {
			l.pop()
		}
	}
	return tx, nil
}

// await lists c as waiting for the next transaction. l.mu must be held.
func (l *Log) await(c *cursor) {
	if c.listed != l.round {
		c.listed = l.round
		l.waiting = append(l.waiting, c)
	}
	l.countCaughtUp(c)
	l.sweep()
}

// countCaughtUp counts c, which has read the newest transaction. l.mu must be held.
func (l *Log) countCaughtUp(c *cursor) {
	if c.countedAt != c.at+1 {
		c.countedAt = c.at + 1
		l.caughtUp++
	}
}

// remove forgets c, if it is still known. l.mu must be held.
func (l *Log) remove(c *cursor) {
	i := slices.Index(l.cursors, c)
	if i < 0 {
		return
	}
	l.cursors = cut(l.cursors, i)
	l.streams.Store(int32(len(l.cursors))) //nolint:gosec // bounded by subscriptions.max_subscriptions
	if c.countedAt == l.ring.next+1 {
		l.caughtUp--
	}
	if c.listed == l.round {
		l.waiting = cut(l.waiting, slices.Index(l.waiting, c))
	}
}

// cut removes an element of a list whose order does not matter.
func cut(list []*cursor, i int) []*cursor {
	last := len(list) - 1
	list[i], list[last] = list[last], nil
	return list[:last]
}

// sweep empties the ring if all streams have read all of it. l.mu must be held.
func (l *Log) sweep() {
	if l.caughtUp < len(l.cursors) {
		return
	}
	if l.ring.len() > minRing {
		l.ring = ring{first: l.ring.next, next: l.ring.next}
		l.dropped = l.total
	}
	for l.ring.len() > 0 {
		l.pop()
	}
}

// pop drops the oldest transaction. l.mu must be held.
func (l *Log) pop() {
	l.dropped = l.ring.at(l.ring.first).end
	l.ring.pop()
}
