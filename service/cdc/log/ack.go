package log

import (
	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Hand notes that a position was handed to the reader's user, who acknowledges it by Ack: nothing is acknowledged by itself
// from the first call on.
func (r *Reader) Hand(position api.Position) {
	at := r.own()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.manual || r.handed.Compare(r.acked) <= 0 { // all before the record that is being read is acknowledged
		r.acked = newer(r.acked, api.Behind(at.before))
	}
	r.manual, r.handed = true, position
}

// Ack acknowledges all positions up to one that was handed to the reader.
func (r *Reader) Ack(position api.Position) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if position.Compare(r.handed) > 0 {
		return errs.New(errs.Invalid, "position %s was not delivered yet: the newest is %s", position, r.handed)
	}
	if position.Compare(r.acked) > 0 {
		r.acked = position
	}
	return nil
}

// Acked returns the sequence up to which the reader has acknowledged what concerns it.
func (r *Reader) Acked() uint64 {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	r.mu.Lock()
	at, parked, replayed := r.place, r.parked, r.replayed.before
	if r.stored {
		at, parked = r.replayed, false
	}
	r.mu.Unlock()
	if parked {
		_, at = l.newsFor(r, nil, l.end)
	}
	return r.ackedBefore(max(at.before, replayed)) // a log to which nothing was appended yet knows of nothing before
}

// ackedBefore returns the sequence up to which all is acknowledged of a reader that has read all up to sequence.
func (r *Reader) ackedBefore(sequence uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.manual || r.handed.Compare(r.acked) <= 0:
		return sequence
	case r.acked == api.Behind(r.acked.Sequence):
		return min(sequence, r.acked.Sequence)
	default:
		return min(sequence, max(r.acked.Sequence, 1)-1)
	}
}
