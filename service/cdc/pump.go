package cdc

import (
	"errors"
	"io"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// A reader that waits gets half a buffer as soon as it is there, so that the other half can be filled while the
// reader wakes up. Of a large buffer it gets this many changes.
const burst = 64

// pump is the goroutine of a stream: it moves changes from the log into the stream's buffer.
type pump struct {
	stream *Stream
	slabs  slabs
	// fill holds decoded changes that were not offered to the reader yet, offered is how many were last time.
	// Together they are the buffer.
	fill    []*api.Change
	offered int
	// scanning means that it reads the snapshot.
	scanning bool
}

// run pumps until the stream must end, and says why unless that is known. The snapshot, if there is one, comes first.
func (p *pump) run(snapshot *scan) {
	var err error
	if snapshot != nil {
		err = p.prelude(snapshot)
	}
	for err == nil {
		err = p.step()
	}
	p.stream.end(endingOf(err))
}

// step delivers the next transaction of the log, or waits for one.
func (p *pump) step() error {
	s := p.stream
	tx, err := s.log.next(&s.cursor)
	switch {
	case err == nil:
		return p.deliver(tx)
	case errors.Is(err, errCaughtUp):
		return p.idle()
	default:
		return err
	}
}

// errStopped says that the stream has been ended already.
var errStopped = errors.New("stopped")

// deliver decodes one transaction.
func (p *pump) deliver(tx Transaction) error {
	r := tx.Open(p.stream.selection)
	defer r.Close()
	_, err := p.read(r)
	if err != nil {
		return p.unreadable(err)
	}
	return nil
}

// read moves all changes of a transaction or a snapshot into the buffer and returns how many there were. It is one
// change ahead, because only then is it known which one is the last.
func (p *pump) read(from interface{ Next(c *api.Change) error }) (n int, err error) {
	var ahead *api.Change
	for ; ; n++ {
		c := p.slabs.change()
		err := from.Next(c)
		switch {
		case errors.Is(err, io.EOF):
			if ahead == nil {
				return n, nil
			}
			ahead.Last = true
			if !p.scanning {
				p.stream.queued.Store(ahead.Transaction.Sequence)
			}
			return n, p.add(ahead)
		case err != nil:
			return n, err
		}
		p.slabs.keep(c)
		if ahead != nil {
			if err := p.add(ahead); err != nil {
				return n, err
			}
		}
		ahead = c
	}
}

// add puts a change into the buffer and waits for room if there is none.
func (p *pump) add(c *api.Change) error {
	s := p.stream
	for len(p.fill)+p.offered >= s.opts.Buffer {
		if err := p.makeRoom(); err != nil {
			return err
		}
	}
	p.fill = append(p.fill, c)
	if p.scanning {
		s.log.settings.Counters.snapshotRows.Add(1)
	}
	if len(p.fill) >= min(burst, (s.opts.Buffer+1)/2) && s.vacant.Load() {
		p.offer()
	}
	if s.ended.Load() {
		return errStopped
	}
	return nil
}

// makeRoom waits until the reader has taken what was offered, and offers the rest.
func (p *pump) makeRoom() error {
	s := p.stream
	if s.vacant.Load() {
		p.offer()
		return nil
	}
	select {
	case <-s.room:
		return nil
	case <-s.stop:
		return errStopped
	}
}

// offer offers the reader what is in fill, if it can take it.
func (p *pump) offer() {
	if spare, ok := p.stream.offer(p.fill); ok {
		p.fill, p.offered = spare, len(p.fill)
	}
}

// idle offers what there is and waits until the log has more.
func (p *pump) idle() error {
	s := p.stream
	p.slabs.rest()
	if s.ticket.behind {
		s.log.admission.caughtUp(&s.ticket)
	}
	var room chan struct{}
	if len(p.fill) > 0 {
		p.offer()
	}
	if len(p.fill) > 0 {
		room = s.room
	}
	select {
	case <-s.cursor.wake:
	case <-room:
	case <-s.stop:
		return errStopped
	}
	return nil
}

// unreadable returns the error that ends the stream when a transaction cannot be read.
func (p *pump) unreadable(err error) error {
	if _, classified := errors.AsType[*errs.Error](err); !classified && !errors.Is(err, errStopped) {
		err = errs.New(errs.Unavailable, "cdc: source %q: read a transaction: %w; resubscribe", p.stream.log.settings.Source, err)
	}
	return err
}
