package log

import (
	"io"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// ending is why a reader ends, and the place at which it does.
type ending struct {
	at     place
	reason api.EndReason
	err    error
	// sequence is that of the transaction that is missing.
	sequence uint64
}

// Err returns why the reader ends, nil while it does not and if it was closed. What was appended before may still be there to
// read.
func (r *Reader) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end == nil || r.end.reason == api.EndClosed {
		return nil
	}
	return r.end.err
}

// ended returns why the reader ends or was closed, nil while it does not.
func (r *Reader) ended() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end == nil {
		return nil
	}
	return r.end.err
}

// Close ends the reader and lets go of what is kept for it. It is idempotent, and not for other goroutines than the one
// that reads.
func (r *Reader) Close() {
	r.End(api.EndClosed, io.EOF)
}

// End ends the reader with err at once, if it has not ended, and lets go of what is kept for it. It is for the goroutine
// that reads.
func (r *Reader) End(reason api.EndReason, err error) {
	r.Cut(reason, err)
	r.leaveStore()
}

// Cut is End for other goroutines. What is kept of the store goes when the reader reads on, or is closed.
func (r *Reader) Cut(reason api.EndReason, err error) {
	r.setEnding(&ending{reason: reason, err: err})
	r.leave()
	tell([]*Reader{r})
}

// setEnding sets why the reader ends, unless it is to end before that, and reports whether it was to go on until now.
func (r *Reader) setEnding(e *ending) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first = r.end == nil
	if !first && e.at.offset >= r.end.at.offset {
		return false
	}
	if !first { // it ends earlier, but why it was to end stays true
		e = &ending{at: e.at, reason: r.end.reason, err: r.end.err}
	}
	r.end = e
	r.over.Store(e.at.offset == 0)
	return first
}

// tell makes known that readers are to end.
func tell(readers []*Reader) {
	for _, r := range readers {
		r.told.Do(func() {
			r.mu.Lock()
			reason := r.end.reason
			r.mu.Unlock()
			r.onEnd(reason)
		})
		notify(r.ready) // it is counted by then
	}
}
