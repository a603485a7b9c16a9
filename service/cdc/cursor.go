package cdc

import (
	"errors"
	"math"
	"sync/atomic"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// notReading is the end of a transaction that is not being read.
const notReading = math.MaxInt64

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

	// held is set while the stream reads its snapshot and cannot read the log.
	held atomic.Bool

	// group is that of the streams with the same selection.
	group *group

	// These are guarded by the log's mu.

	// round is that in which the cursor was last listed as waiting, if it has not gone on since.
	round *round
	// lazy is set while a drain reads the log, which is in no hurry: it dozes until much has come together.
	lazy, dozes bool
	// gone is why the cursor is no longer in the log, if its stream does not know yet.
	gone *ending
}

// place is a position in the log: the index of a transaction and the log's total before it.
type place struct {
	at    uint64
	start int64
}

// skipTo moves c forward, over transactions that have nothing for its stream.
func (c *cursor) skipTo(p place) {
	if p.at > c.at.Load() {
		c.at.Store(p.at)
		c.start.Store(p.start)
	}
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
	c.skipTo(c.place())
	if !c.waits() {
		c.round = nil
	}
	l.wake(c)
	at := c.at.Load()
	switch {
	case c.gone != nil:
		return c.gone
	case l.closed != nil:
		return &ending{api.EndSource, l.closed}
	case at == l.ring.next && c.lazy:
		l.doze(c)
		return errCaughtUp
	case at == l.ring.next:
		l.await(c)
		return errCaughtUp
	case at < l.ring.first, l.total-l.ring.at(at).end > c.limit:
		return l.fellBehind(c)
	}
	l.patrolAt = min(l.patrolAt, l.ring.at(at).end+c.limit+1)
	c.taken, c.used = l.ring.from(at, c.start.Load(), c.taken[:0]), 0
	if len(l.cursors) == 1 {
		for l.ring.first < at+uint64(len(c.taken)) {
			l.pop()
		}
	}
	return nil
}
