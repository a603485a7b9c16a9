package cdc

import (
	"errors"
	"sync"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// Backlog keeps transactions for a stream that cannot read them yet, first in, first out, where they need no memory.
// It is used by one goroutine at a time.
type Backlog interface {
	// Push adds a transaction, unless there is nothing in it for the stream.
	Push(tx Transaction) (kept bool, err error)
	// Pop removes the oldest transaction and returns it, or nil.
	Pop() (Transaction, error)
	// Close releases what the backlog holds.
	Close()
}

// MaxBacklog is how far a stream may fall behind that has a backlog and does not say.
const MaxBacklog = unit.GiB

// drain moves what is appended while a stream reads its snapshot from the log to a backlog, so that the log can let go of
// it. It has a goroutine, which the stream's own starts, ends and waits for; in the meantime that one is the user of the
// cursor.
type drain struct {
	stream     *Stream
	limit      int64
	halting    sync.Once
	stop, done chan struct{}

	mu      sync.Mutex
	backlog Backlog
	// unread counts what is in the backlog, in bytes; largest is the largest transaction since it was last empty.
	unread, largest int64
	count           uint64
}

func newDrain(s *Stream, backlog Backlog, limit unit.Size) *drain {
	return &drain{
		stream: s, backlog: backlog, limit: int64(limit), stop: make(chan struct{}), done: make(chan struct{}),
	}
}

// run drains until halt.
func (d *drain) run() {
	defer close(d.done)
	d.stream.log.setLazy(&d.stream.cursor, true)
	defer d.stream.log.setLazy(&d.stream.cursor, false)
	for {
		if err := d.step(); err != nil {
			if !errors.Is(err, errStopped) {
				d.stream.end(endingOf(err))
			}
			return
		}
	}
}

// step moves one transaction or waits for one.
func (d *drain) step() error {
	select {
	case <-d.stop:
		return errStopped
	default:
	}
	c := &d.stream.cursor
	tx, err := d.stream.log.next(c)
	switch {
	case err == nil:
		return d.push(tx)
	case !errors.Is(err, errCaughtUp):
		return err
	}
	select {
	case <-c.wake:
		return nil
	case <-d.stop:
		return errStopped
	}
}

func (d *drain) push(tx Transaction) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept, err := d.backlog.Push(tx)
	if err != nil {
		return d.stream.about("keep what was committed during the snapshot", err)
	}
	if !kept {
		return nil
	}
	size := tx.Size()
	d.count++
	d.unread += size
	d.largest = max(d.largest, size)
	d.stream.backlog.Store(d.unread)
	// As in the log, a single transaction beyond the limit does not end the stream.
	if d.unread-d.largest > d.limit {
		return lagging(d.unread, d.count, d.limit)
	}
	return nil
}

// pop returns the oldest transaction of the backlog, nil if it is empty.
func (d *drain) pop() (Transaction, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	tx, err := d.backlog.Pop()
	if tx == nil {
		d.count, d.unread, d.largest = 0, 0, 0
	} else {
		d.count--
		d.unread -= tx.Size()
	}
	d.stream.backlog.Store(d.unread)
	return tx, err
}

// halt ends the goroutine. The cursor is where it has left it.
func (d *drain) halt() {
	d.halting.Do(func() { close(d.stop) })
	<-d.done
}

// close ends the goroutine and releases the backlog.
func (d *drain) close() {
	d.halt()
	d.backlog.Close()
}

// deliverBacklog delivers what was committed while the snapshot was read, and while that is delivered, and so on. Then
// the stream reads the log itself.
func (p *pump) deliverBacklog(d *drain) error {
	halted := false
	for {
		tx, err := d.pop()
		switch {
		case err != nil:
			return p.stream.about("read what was committed during the snapshot", err)
		case tx != nil:
			if err := p.deliver(tx); err != nil {
				return err
			}
		case halted:
			return nil
		default:
			d.halt()
			halted = true
		}
	}
}

// endingOf returns how a stream ends because of err.
func endingOf(err error) *ending {
	if e, known := errors.AsType[*ending](err); known {
		return e
	}
	return &ending{api.EndLost, err}
}

// lagging returns the ending of a stream that is too far behind.
func lagging(unread int64, transactions uint64, limit int64) *ending {
	return &ending{api.EndLag, errs.New(errs.Unavailable, "stream fell behind: %s in %d transactions unread, limit %s; "+
		"read faster, raise max_bytes, or resubscribe with snapshot = true", unit.Size(unread), transactions, unit.Size(limit))}
}
