package cdc

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Stream reads a Log for one subscriber. Its goroutine decodes into a bounded buffer; the buffer goes to the
// reader whole, so that the reader takes most changes without a lock.
type Stream struct {
	log       *Log
	opts      api.StreamOptions
	selection *Selection
	cursor    cursor
	// ticket belongs to the stream's goroutine once it has started.
	ticket ticket

	// backlog is how many bytes are unread that have left the log.
	backlog atomic.Int64
	// cancel ends the reading of the snapshot, nil without one.
	cancel context.CancelFunc
	// delivered is called when the reader has come back after the last row of the snapshot, which is noted in handed.
	delivered    func()
	handed       atomic.Bool
	acknowledged sync.Once

	// queued is the sequence of the last transaction that was decoded for the reader whole, taken of the last one that
	// the reader has taken whole; 0 if there is none. Rows of a snapshot do not count.
	queued, taken atomic.Uint64

	// batch and read belong to the reader: the changes it has been handed, and how many of them it took.
	batch []*api.Change
	read  int

	// ready tells the reader, room the stream's goroutine, that the other has done something about pending. ready
	// is closed when the goroutine has ended.
	ready, room chan struct{}
	// stop is closed when the stream must end, done when its goroutine has ended.
	stop, done chan struct{}
	// closed is set by Close, ended when cause is set, vacant while pending is empty.
	closed, ended, vacant atomic.Bool

	mu sync.Mutex
	// pending is decoded and waits for the reader.
	pending []*api.Change
	// finished is set when nothing will be added to pending any more.
	finished bool
	// cause is why the stream ends, io.EOF for Close.
	cause error
}

func newStream(l *Log, opts api.StreamOptions) *Stream {
	s := &Stream{
		log:       l,
		opts:      opts,
		selection: NewSelection(l.settings.Tables, opts),
		ready:     make(chan struct{}, 1),
		room:      make(chan struct{}, 1),
		stop:      make(chan struct{}),
		done:      make(chan struct{}),
	}
	s.cursor.owner = s
	s.cursor.wake = make(chan struct{}, 1)
	s.cursor.limit = int64(opts.MaxBytes)
	s.vacant.Store(true)
	return s
}

// start starts the stream's goroutine, which Close and Log.Close end and wait for. It closes the snapshot, if there is
// one.
func (s *Stream) start(snapshot *scan) {
	go func() {
		defer s.log.goroutines.Done()
		defer close(s.done)
		defer close(s.ready)
		p := pump{stream: s}
		p.run(snapshot)
		s.finish(p.fill)
	}()
}

// Next implements api.Stream.
func (s *Stream) Next(ctx context.Context) (*api.Change, error) {
	for {
		if c, err := s.Poll(); c != nil || err != nil {
			return c, err
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Poll implements api.Stream.
func (s *Stream) Poll() (*api.Change, error) {
	if s.closed.Load() {
		return nil, io.EOF
	}
	s.acknowledge()
	if s.log.barred.Load() {
		s.read = len(s.batch)
	}
	if s.read == len(s.batch) {
		if err := s.refill(); err != nil || len(s.batch) == 0 {
			return nil, err
		}
	}
	c := s.batch[s.read]
	s.batch[s.read] = nil
	s.read++
	s.hand(c)
	return c, nil
}

// refill takes what is pending. It returns an error if there is nothing and never will be.
func (s *Stream) refill() error {
	s.mu.Lock()
	s.batch, s.pending, s.read = s.pending, s.batch[:0], 0
	s.vacant.Store(true)
	finished, cause := s.finished, s.cause
	s.mu.Unlock()
	if s.log.barred.Load() {
		s.batch = s.batch[:0]
	}
	if len(s.batch) > 0 {
		notify(s.room)
		return nil
	}
	if finished {
		return cause
	}
	return nil
}

// Ready implements api.Stream.
func (s *Stream) Ready() <-chan struct{} { return s.ready }

// Err implements api.Stream.
func (s *Stream) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.cause, io.EOF) {
		return nil
	}
	return s.cause
}

// Close implements api.Stream.
func (s *Stream) Close() {
	s.acknowledge()
	s.closed.Store(true)
	s.end(&ending{api.EndClosed, io.EOF})
	<-s.done
}

// end makes the stream's goroutine end. The first ending counts.
func (s *Stream) end(e *ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == nil {
		s.cause = e.cause
		s.ended.Store(true)
		s.log.settings.Counters.ended[e.reason].Add(1)
		close(s.stop)
		if s.cancel != nil {
			s.cancel()
		}
	}
}

// offer hands changes to the reader and returns a slice to go on with. If the reader has not yet taken what was
// offered before, it returns false.
func (s *Stream) offer(changes []*api.Change) ([]*api.Change, bool) {
	s.mu.Lock()
	if len(s.pending) > 0 {
		s.mu.Unlock()
		return nil, false
	}
	spare := s.pending
	s.pending = changes
	s.vacant.Store(len(changes) == 0)
	s.mu.Unlock()
	notify(s.ready)
	return spare, true
}

// finish gives back what the stream holds and leaves to the reader what was decoded, unless it has closed the
// stream.
func (s *Stream) finish(decoded []*api.Change) {
	s.log.leave(&s.cursor)
	s.log.admission.leave(&s.ticket)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	s.pending = append(s.pending, decoded...)
	if s.closed.Load() {
		s.pending = nil
	}
}
