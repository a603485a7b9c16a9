package cdc

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"
)

const (
	// A stream takes up to this many transactions at a time, which together are no larger than maxTaken unless it
	// is only one: the fewer its visits to the log, the less it is in the writer's way.
	takenAtOnce = 32
	maxTaken    = 64 << 10
	// notReading is the end of a transaction that is not being read.
	notReading = math.MaxInt64
)

// cursor is where a stream is in the log.
type cursor struct {
	owner *Stream
	// wake receives a value when the log may have something new for a stream that waits.
	wake chan struct{}
	// limit is how many bytes there may be behind the transaction that is read, or read next.
	limit int64

	// at is the index of that transaction, start the log's total before it. end is the total after it while it is
	// being read, else notReading. Only the stream's goroutine changes them.
	at         atomic.Uint64
	start, end atomic.Int64
	// taken belongs to the stream's goroutine: transactions that it reads without going to the log, the next of
	// them at index used.
	taken []slot
	used  int

	// These are guarded by the log's mu.

	// listed is the round of Log.waiting in which the cursor was last listed.
	listed uint64
	// countedAt is the at, plus one, with which the cursor was last counted in Log.caughtUp.
	countedAt uint64
	// gone is why the cursor is no longer in the log, if its stream does not know yet.
	gone error
}

// finish moves c behind the transaction that was read.
func (c *cursor) finish() {
	if end := c.end.Load(); end != notReading {
		c.start.Store(end)
		c.end.Store(notReading)
		c.at.Add(1)
	}
}

// begin returns the next of the transactions taken, or nil.
func (c *cursor) begin() Transaction {
	if c.used == len(c.taken) {
		return nil
	}
	s := c.taken[c.used]
	c.taken[c.used] = slot{}
	c.used++
	c.end.Store(s.end)
	return s.tx
}

// join makes c see what is appended from now on.
func (l *Log) join(c *cursor) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed != nil {
		return l.closed
	}
	c.at.Store(l.ring.next)
	c.start.Store(l.total)
	c.end.Store(notReading)
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
	c.finish()
	if tx := c.begin(); tx != nil {
		return tx, nil
	}
	if err := l.take(c); err != nil {
		return nil, err
	}
	return c.begin(), nil
}

// take takes transactions for c from the log.
func (l *Log) take(c *cursor) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := c.at.Load()
	switch {
	case c.gone != nil:
		return c.gone
	case l.closed != nil:
		return l.closed
	case at == l.ring.next:
		l.await(c)
		return errCaughtUp
	case at < l.ring.first, l.total-l.ring.at(at).end > c.limit:
		return l.fellBehind(c)
	}
	l.patrolAt = min(l.patrolAt, l.ring.at(at).end+c.limit+1)
	start := c.start.Load()
	c.taken, c.used = c.taken[:0], 0
	for i := at; i < l.ring.next && len(c.taken) < takenAtOnce; i++ {
		s := *l.ring.at(i)
		if i > at && s.end-start > maxTaken {
			break
		}
		c.taken = append(c.taken, s)
	}
	if len(l.cursors) == 1 {
		for l.ring.first < at+uint64(len(c.taken)) {
			l.pop()
		}
	}
	return nil
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
	if at := c.at.Load(); c.countedAt != at+1 {
		c.countedAt = at + 1
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
