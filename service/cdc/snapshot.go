package cdc

import (
	"cmp"
	"context"
	"errors"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Snapshot is the rows of a source as of one position of its log, as one stream reads them. It is used by one
// goroutine.
type Snapshot interface {
	// Next reads the next row into change, as Reader.Next does, and returns io.EOF after the last. When ctx is done the
	// stream has ended, and what Next returns does not matter.
	Next(ctx context.Context, change *api.Change) error
	// Close releases the snapshot.
	Close()
}

// Prelude says how the snapshot of a stream comes about.
type Prelude struct {
	// Begin begins a snapshot of what selection accepts. It calls join once, at the position of the snapshot: the stream
	// delivers what is appended afterwards, and the snapshot holds all that was appended before. An error of join is
	// returned.
	Begin func(ctx context.Context, selection *Selection, join func() error) (Snapshot, error)
	// Backlog makes a backlog for what is committed while the stream reads its snapshot. If it is nil that stays in the
	// log, within the log's bound; it must be nil if the source goes by the Progress of its log.
	Backlog func(selection *Selection) Backlog
	// Delivered is called once the reader has taken the whole snapshot and come back or closed the stream; nil if nobody
	// cares. It must return at once.
	Delivered func()
}

// DefaultSnapshotBytes is how much of the log a stream with a snapshot may leave unread if it does not say: without a
// backlog it is bound to fall behind for as long as it reads.
const DefaultSnapshotBytes = 3 * api.DefaultMaxBytes

// SubscribeSnapshot opens a stream that begins with a snapshot. Its errors are those of Subscribe, and of Begin.
func (l *Log) SubscribeSnapshot(ctx context.Context, opts api.StreamOptions, prelude Prelude) (api.Stream, error) {
	limit := opts.MaxBytes
	if limit == 0 {
		opts.MaxBytes = min(DefaultSnapshotBytes, l.settings.Bytes)
	}
	s, err := l.admit(opts, true)
	if err != nil {
		return nil, err
	}
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.delivered, s.cancel = prelude.Delivered, cancel
	s.cursor.held.Store(prelude.Backlog == nil)
	joined := false
	beginning, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(reading, stop)() // when the log is closed
	snapshot, err := prelude.Begin(beginning, s.selection, func() error {
		err := l.join(&s.cursor, s.selection)
		joined = err == nil
		return err
	})
	if err != nil {
		cancel()
		if joined {
			l.leave(&s.cursor)
			l.goroutines.Done()
		}
		l.admission.leave(&s.ticket)
		if cause := l.cause(); cause != nil {
			return nil, cause
		}
		return nil, s.about("snapshot", err)
	}
	first := newScan(snapshot, func(c *api.Change) error { return snapshot.Next(reading, c) }, l.settings.Logger)
	if prelude.Backlog != nil {
		first.drain = newDrain(s, prelude.Backlog(s.selection), cmp.Or(limit, MaxBacklog))
	}
	s.start(first)
	return s, nil
}

// prelude delivers a snapshot.
func (p *pump) prelude(snapshot *scan) error {
	s, d := p.stream, snapshot.drain
	if d != nil {
		go d.run()
		defer d.close()
	}
	p.scanning = true
	rows, err := p.read(snapshot)
	p.scanning = false
	snapshot.Close()
	if err != nil {
		return s.about("read the snapshot", err)
	}
	s.cursor.held.Store(false)
	s.log.admission.scanned(&s.ticket)
	if rows == 0 {
		s.handed.Store(true) // there is nothing to take
		notify(s.ready)
	}
	if d == nil {
		return nil
	}
	return p.deliverBacklog(d)
}

// about says what failed, unless the stream has ended for another reason or the error says so itself.
func (s *Stream) about(step string, err error) error {
	if errors.Is(err, errStopped) {
		return err
	}
	kind := errs.KindOf(err)
	if kind == errs.Unknown {
		kind = errs.Unavailable
	}
	return errs.New(kind, "cdc: source %q: %s: %w", s.log.settings.Source, step, err)
}

// acknowledge is called when the reader has come back: what it was handed before is delivered.
func (s *Stream) acknowledge() {
	if s.delivered != nil && s.handed.Load() {
		s.acknowledged.Do(s.delivered)
	}
}

// hand notes what the reader is given.
func (s *Stream) hand(c *api.Change) {
	switch {
	case !c.Last:
	case c.Op != api.OpSnapshot:
		s.taken.Store(c.Transaction.Sequence)
	case s.delivered != nil:
		s.handed.Store(true)
	}
}

// reach returns the total after the transaction that c reads, or, while its stream reads a snapshot, will read first;
// notReading if there is none. It is false if that transaction has left the log. l.mu must be held.
func (l *Log) reach(c *cursor) (end int64, ok bool) {
	at := c.at.Load()
	switch {
	case !c.held.Load():
		return c.end.Load(), true
	case at < l.ring.first:
		return notReading, false
	case at == l.ring.next:
		return notReading, true
	default:
		return l.ring.at(at).end, true
	}
}
