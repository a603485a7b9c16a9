package log

import (
	"errors"
	"io"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Store keeps what was appended to a log beyond the log's memory, and over restarts. A transaction is in the store before it is
// appended. Methods may be called from any goroutine.
type Store interface {
	// Read returns what follows a sequence. The error is an api.GapError if that is no longer there.
	Read(after uint64) (Replay, error)
}

// Replay reads a store. It is used by one goroutine at a time.
type Replay interface {
	// Next returns the next transaction, io.EOF if there is none by now. Any other error ends the reader: a gap, as an api.GapError, in
	// its place. What it returns is good for ever; Spilled is the caller's.
	Next() (*Transaction, error)
	// Through returns the sequence up to which there is nothing more.
	Through() uint64
	Close()
}

// replaying is what a reader that reads the store has of its own. It belongs to the goroutine that reads.
type replaying struct {
	from Replay
	// next is a transaction that was read and not put into a segment yet.
	next *Transaction
	// sequence is the newest that was read. Once the reader has joined the log, what is behind fence is read there.
	sequence, fence uint64
	joined          bool
}

// replay makes a reader begin in the store, behind a position.
func (r *Reader) replay(after api.Position) error {
	sequence := after.Sequence
	if after != api.Behind(sequence) && sequence > 0 {
		sequence-- // some of it is still to be read
	}
	from, err := r.log.store.Read(sequence)
	if err != nil {
		return err
	}
	r.skip = newer(r.skip, after)
	r.replays = &replaying{from: from, sequence: sequence}
	r.segment, r.window = nil, window{}
	r.mu.Lock()
	r.replayed, r.stored = place{before: sequence}, true
	r.mu.Unlock()
	notify(r.ready)
	return nil
}

// fromStore returns the next record of the store of which the reader accepts something, nil if the reader goes on in the log or its
// caller should do something else first.
func (r *Reader) fromStore() (*Record, error) {
	for turn := 0; ; turn++ {
		if err := r.stopped(); err != nil {
			return nil, err
		}
		if turn == entriesPerTurn {
			r.yield()
			return nil, nil //nolint:nilnil // as Next says
		}
		if at := r.own(); r.segment != nil && r.segment.holds(at.offset) {
			found, err := r.look(at)
			if err != nil {
				return nil, r.Fail(err)
			}
			if found {
				return &r.record, nil
			}
			continue
		}
		switch ok, err := r.fill(); {
		case err != nil:
			return nil, r.Fail(err)
		case !ok:
			return nil, nil //nolint:nilnil // it goes on in the log
		}
	}
}

// stopped returns why the reader must not read on.
func (r *Reader) stopped() error {
	if r.over.Load() {
		r.leave()
		r.leaveStore()
		return r.ended()
	}
	if cause := r.log.Closed(); cause != nil {
		r.End(api.EndSource, cause)
		return r.ended()
	}
	return nil
}

// fill reads transactions into a segment of the reader's own. It reports false when there is nothing in the store that is not in the
// log: the reader goes on there.
func (r *Reader) fill() (ok bool, err error) {
	p := r.replays
	if s := r.segment; s != nil {
		s.content.Load().release()
	}
	var s *segment
	at := r.own()
	for {
		tx := p.next
		if p.next = nil; tx == nil {
			if p.joined && p.sequence >= p.fence {
				tx, err = nil, io.EOF
			} else if tx, err = p.from.Next(); err == nil {
				p.sequence = tx.Sequence
			} else if errors.Is(err, io.EOF) {
				p.sequence = max(p.sequence, p.from.Through())
			}
		}
		if err != nil {
			break
		}
		size, alone := frontSize(tx)+len(tx.Entries), tx.Spilled != nil || len(tx.Entries) > largestSegment/2
		if s != nil && (alone || !s.fits(size, tx.Touched)) {
			p.next = tx
			break
		}
		if s == nil {
			capacity := frontSize(tx)
			if !alone {
				capacity = max(largestSegment, size)
			}
			s = newSegment(capacity, alone)
			s.begin = at
		}
		s.put(tx)
		s.learn(tx.Touched, nil)
		s.size.Add(int64(size) + tx.Spilled.Size())
		if alone {
			break
		}
	}
	if s != nil { // an error comes again, or is met when the segment was read
		if err != nil && !errors.Is(err, io.EOF) {
			p.from = &failed{Replay: p.from, err: err}
		}
		r.segment, r.window = s, window{content: s.content.Load()}
		clear(r.verdicts)
		return true, nil
	}
	if errors.Is(err, io.EOF) {
		return r.approach()
	}
	return false, err
}

// failed is a replay that has met an error, behind what was read before.
type failed struct {
	Replay
	err error
}

func (f *failed) Next() (*Transaction, error) { return nil, f.err }

// approach is for when the store has nothing more: the reader joins the log, reads in the store up to there, and goes on in the log.
func (r *Reader) approach() (ok bool, err error) {
	p := r.replays
	l := r.log
	switch {
	case !p.joined:
		l.mu.Lock()
		if l.closed == nil && !r.over.Load() {
			l.open.Add(1)
			p.fence, p.joined = max(l.end.before, l.unkept.Load()), true
			r.unpark(l.end)
			r.mu.Lock()
			r.parked, r.fallen = true, false
			r.mu.Unlock()
			l.parked.add(r)
		}
		l.mu.Unlock()
		return true, nil
	case p.sequence < p.fence: // what is in the log was never written to the store
		return false, &api.GapError{
			Cause: api.GapCaptureLost, After: api.Behind(p.sequence), Before: api.Behind(p.fence), Source: l.source, Generation: l.generation,
		}
	default:
		r.skip = newer(r.skip, api.Behind(p.sequence))
		r.leaveStore()
		return false, nil
	}
}

// leaveStore ends the reading of the store.
func (r *Reader) leaveStore() {
	if p := r.replays; p != nil {
		p.from.Close()
		if p.next != nil {
			p.next.Spilled.Release()
		}
		if r.segment != nil {
			r.segment.content.Load().release()
		}
		r.replays, r.segment, r.window = nil, nil, window{}
		r.mu.Lock()
		r.stored = false
		r.mu.Unlock()
	}
}

// fall makes a reader that is too far behind go on in the store. l.mu must be held.
func (l *Log) fall(r *Reader) {
	r.mu.Lock()
	r.fallen = true
	r.mu.Unlock()
}

// hasFallen reports whether the reader has to go on in the store.
func (r *Reader) hasFallen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fallen
}

// catch begins to read the store behind what a reader that has fallen has read, or passes over.
func (r *Reader) catch(after api.Position) error {
	r.mu.Lock()
	r.fallen = false
	r.mu.Unlock()
	r.skip = newer(r.skip, after)
	if p := r.replays; p != nil { // it has joined the log in vain
		p.joined, p.fence = false, 0
		return nil
	}
	if err := r.replay(r.skip); err != nil {
		return r.Fail(err)
	}
	return nil
}
