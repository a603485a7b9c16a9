package postgres

import (
	"context"
	"slices"
	"sync"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// rewind is a stream that wants what has left the log: it is opened when the slot is read anew.
type rewind struct {
	after api.Position
	open  func() error
	done  chan error
}

// rewinds are those that wait. Methods may be called from any goroutine.
type rewinds struct {
	mu      sync.Mutex
	waiting []*rewind
	// ended is why none is taken any more.
	ended error
}

func (w *rewinds) any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.waiting) > 0
}

func (w *rewinds) add(one *rewind) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended == nil {
		w.waiting = append(w.waiting, one)
	}
	return w.ended
}

// withdraw reports whether one has waited in vain.
func (w *rewinds) withdraw(one *rewind) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.waiting, one)
	if i >= 0 {
		w.waiting = slices.Delete(w.waiting, i, i+1)
	}
	return i >= 0
}

// take returns those that wait, and none any more.
func (w *rewinds) take() []*rewind {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.waiting
	w.waiting = nil
	return all
}

// end refuses all, now and later.
func (w *rewinds) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = err
	for _, one := range w.waiting {
		one.done <- err
	}
	w.waiting = nil
}

// Rewind implements source.Rewinder: the slot has what no consumer and no stream has acknowledged.
func (r *run) Rewind(ctx context.Context, after api.Position, open func() error) error {
	if r.source.config.Temporary { // it is read only once
		return r.gone(after)
	}
	one := &rewind{after: after, open: open, done: make(chan error, 1)}
	if err := r.rewinds.add(one); err != nil {
		return err
	}
	r.Changed()
	select {
	case err := <-one.done:
		return err
	case <-ctx.Done():
		if r.rewinds.withdraw(one) {
			return ctx.Err()
		}
		return <-one.done
	}
}

// openAgain opens the streams that wait for the slot to be read anew.
func (r *run) openAgain() {
	for _, one := range r.rewinds.take() {
		err := r.absent(one.after)
		if err == nil {
			err = one.open()
		}
		one.done <- err
	}
}

// absent returns the error for a position behind which the slot does not have everything, nil if it has.
func (r *run) absent(after api.Position) error {
	if _, taken := r.positions.now(); after.Sequence < uint64(taken) {
		return r.gone(after)
	}
	newest, err := uint64(0), error(nil)
	for sequence, lost := range r.lost {
		if sequence > max(after.Sequence, newest) {
			newest, err = sequence, lost
		}
	}
	if err == nil {
		return nil
	}
	return &api.GapError{
		Cause: api.GapCaptureLost, After: after, Before: api.Behind(newest), Source: r.origin.source, Generation: r.origin.generation, Err: err,
	}
}

// gone is the error for a position that the slot has left behind.
func (r *run) gone(after api.Position) error {
	confirmed, _ := r.positions.now()
	return &api.GapError{
		Cause: api.GapRetention, After: after, Before: api.Behind(uint64(confirmed)), Source: r.origin.source, Generation: r.origin.generation,
		Err: errs.New(errs.Unavailable, "slot %q has gone on to %s, and what lies before cannot be had any more", r.source.config.SlotName, confirmed),
	}
}
