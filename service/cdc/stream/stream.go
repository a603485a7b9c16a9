package stream

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// Stream reads a log, and a snapshot before it, for one subscriber. It implements api.Stream.
type Stream struct {
	streams   *Streams
	opts      api.StreamOptions
	selection *Selection
	place     reservation
	reader    *log.Reader
	// after is where the stream resumes, nil if it does not.
	after *api.Position
	// delivered is called when the reader has come back after the last row of the snapshot; nil if that does not
	// matter.
	delivered func()
	// scanning is the scan as others see it, who cancel it and ask how far it is.
	scanning atomic.Pointer[scan]
	// number, since and consumer tell the stream from others; the roster guards consumer.
	number   uint64
	since    time.Time
	consumer string

	// mu is held while the reader takes a change.
	mu      sync.Mutex
	closed  bool
	decoder Decoder
	slabs   slabs
	// scan is nil once the snapshot has been read, start is where it begins; live says that the stream has caught up.
	scan  *scan
	start api.Position
	live  bool
	// catching is not nil while a stream that has begun far behind has not caught up.
	catching *catchUp
	// told says that the reader was told why the stream has ended.
	told bool
	// record is the transaction that is being read, nil if none is.
	record *log.Record
}

var (
	_ api.Stream       = (*Stream)(nil)
	_ api.Snapshotting = (*Stream)(nil)
)

// Next implements api.Stream.
func (s *Stream) Next(ctx context.Context) (*api.Change, error) {
	for {
		if c, err := s.Poll(); c != nil || err != nil {
			return c, err
		}
		select {
		case <-s.reader.Ready():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Poll implements api.Stream.
func (s *Stream) Poll() (*api.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, io.EOF
	}
	if s.scan != nil {
		c, err := s.fromSnapshot()
		if c != nil && s.opts.ManualAck {
			s.reader.Hand(c.Position())
		}
		if c != nil || err != nil || s.scan != nil {
			return c, err
		}
	}
	c, err := s.fromLog()
	switch {
	case c == nil:
		s.told = err != nil
	case s.opts.ManualAck:
		s.reader.Hand(c.Position())
	case c.Last && s.after == nil:
		s.record = nil
		s.reader.Done()
	}
	return c, err
}

// Start implements api.Snapshotting.
func (s *Stream) Start() api.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.start
}

// EndSnapshot implements api.Snapshotting.
func (s *Stream) EndSnapshot(err error) bool {
	if !s.streams.admission.scans(&s.place) {
		return false
	}
	s.End(api.EndLag, s.about("snapshot", err))
	return true
}

// End ends the stream with an error, at once.
func (s *Stream) End(reason api.EndReason, err error) { s.reader.Cut(reason, err) }

// Acked returns the sequence up to which the stream has acknowledged what concerns it.
func (s *Stream) Acked() uint64 { return s.reader.Acked() }

// fromLog returns the next change of the log, nil if there is none yet.
func (s *Stream) fromLog() (*api.Change, error) {
	for {
		if s.record == nil {
			if ok, err := s.nextRecord(); !ok || err != nil {
				return nil, err
			}
		}
		entry, err := s.record.Next()
		switch {
		case errors.Is(err, io.EOF):
			s.record = nil
			continue
		case err != nil:
			return nil, s.reader.Fail(err)
		case entry == nil:
			return nil, nil //nolint:nilnil // Poll says so
		}
		c := s.slabs.change()
		if err := s.decoder.Decode(entry, c); err != nil {
			return nil, s.reader.Fail(s.undecodable(entry.Index, err))
		}
		c.Op, c.Table, c.Index, c.Last = entry.Code.Op(), entry.Shape.Table(), entry.Index, entry.Last
		s.slabs.keep(c)
		return c, nil
	}
}

// undecodable is the gap that a change leaves which cannot be decoded, now or ever: a reader that goes on behind it misses the rest of
// its transaction and nothing else.
func (s *Stream) undecodable(index int, err error) error {
	after := api.Behind(s.record.Sequence - 1)
	if index > 0 {
		after = api.Position{Sequence: s.record.Sequence, Index: index - 1}
	}
	return &api.GapError{
		Cause: api.GapCaptureLost, After: after, Before: api.Behind(s.record.Sequence), Source: s.streams.settings.Source,
		Generation: s.streams.settings.Generation, Err: err,
	}
}

// nextRecord goes on to the next transaction that has something for the stream, and reports whether there is one.
func (s *Stream) nextRecord() (ok bool, err error) {
	record, err := s.reader.Next()
	if err != nil {
		return false, err
	}
	if record == nil {
		s.slabs.rest()
		if !s.live && s.reader.Waits() {
			s.live = true
			s.reader.SetLimit(int64(s.opts.MaxBytes))
			s.streams.admission.caughtUp(&s.place)
			s.caughtUp()
		}
		return false, nil
	}
	s.record = record
	s.advanced(record.Sequence)
	s.decoder.Begin(record)
	return true, nil
}

// Ready implements api.Stream.
func (s *Stream) Ready() <-chan struct{} { return s.reader.Ready() }

// Err implements api.Stream.
func (s *Stream) Err() error { return s.reader.Err() }

// Ack implements api.Stream.
func (s *Stream) Ack(position api.Position) error {
	if !s.opts.ManualAck {
		return errs.New(errs.Invalid, "cdc: source %q: the stream acknowledges by itself: open it with ManualAck", s.streams.settings.Source)
	}
	if err := s.reader.Ack(position); err != nil {
		return errs.New(errs.Invalid, "cdc: source %q: ack: %w", s.streams.settings.Source, err)
	}
	return nil
}

// Unread is what a stream has left unread.
type Unread = log.Unread

// mostUnread bounds how many changes are counted of those that a reader has left.
const mostUnread = 100_000

// Abandon implements api.Abandoner.
func (s *Stream) Abandon() {
	unread, comesAgain := s.unread()
	s.Close()
	if left := s.streams.settings.Left; left != nil && !comesAgain {
		left(s.opts, unread)
	}
}

// unread returns what is left, or that all of it will come again: with another snapshot, or to a reader that keeps its position.
func (s *Stream) unread() (unread log.Unread, comesAgain bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.scan != nil || s.after != nil || s.opts.ManualAck {
		return unread, true
	}
	unread = s.reader.Unread(mostUnread)
	if s.told {
		unread.Ended = ""
	}
	return unread, false
}

// Close implements api.Stream.
func (s *Stream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if s.scan != nil {
		s.scan.stop()
		s.acknowledge()
		s.scan = nil
		s.scanning.Store(nil)
	}
	if s.after == nil {
		s.reader.Done()
	}
	s.reader.Close()
	s.record, s.slabs = nil, slabs{}
}

// ended is called once when the stream is to end.
func (s *Stream) ended(reason api.EndReason) {
	s.streams.roster.remove(s)
	s.streams.settings.Counters.end(reason)
	s.streams.admission.leave(&s.place)
	if sc := s.scanning.Load(); sc != nil {
		sc.cancel()
	}
	s.streams.settings.Engine.Changed()
}
