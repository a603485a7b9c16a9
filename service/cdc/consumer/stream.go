package consumer

import (
	"context"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Opened is a stream with ManualAck.
type Opened interface {
	api.Stream
	api.Snapshotting
	// End ends the stream with an error.
	End(reason api.EndReason, err error)
	// Acked returns the sequence up to which the stream has acknowledged what concerns it, while it is open.
	Acked() uint64
}

// Stream is the stream of a consumer.
type Stream struct {
	Opened
	consumers *Consumers
	consumer  *consumer
	// told is why the stream has ended, as its reader knows it, nil until it does. The mu of consumers guards it.
	told error
}

// Next implements api.Stream.
func (s *Stream) Next(ctx context.Context) (*api.Change, error) {
	change, err := s.Opened.Next(ctx)
	if err != nil && err != ctx.Err() { //nolint:errorlint // that of ctx is returned as it is
		s.tell(err)
	}
	return change, err
}

// Poll implements api.Stream.
func (s *Stream) Poll() (*api.Change, error) {
	change, err := s.Opened.Poll()
	if err != nil {
		s.tell(err)
	}
	return change, err
}

// tell notes that the reader knows the end of the stream: from now on another one may take over, unless it is held.
func (s *Stream) tell(err error) {
	s.consumers.mu.Lock()
	defer s.consumers.mu.Unlock()
	s.told = err
	s.consumers.settings.Told.note(s.consumer.Name, err)
}

// Ack implements api.Stream.
func (s *Stream) Ack(p api.Position) error {
	if err := s.Opened.Ack(p); err != nil {
		return err
	}
	return s.consumers.acknowledge(s, p)
}

// acknowledge notes what the stream of a consumer has acknowledged.
func (c *Consumers) acknowledge(s *Stream, p api.Position) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := s.consumer
	switch {
	case one.stream != s:
		return errs.New(errs.Unavailable, "cdc: source %q: consumer %q: the stream has ended, and what it acknowledges is not kept: it comes again",
			c.settings.Source, one.Name)
	case c.closed:
		return errs.New(errs.Unavailable, "cdc: source %q: consumer %q: the source was stopped or replaced, and what is acknowledged now is not "+
			"kept: it comes again", c.settings.Source, one.Name)
	case p.Compare(one.Position) > 0:
		one.Position, one.AckedAt = p, time.Now()
	}
	return nil
}

// Abandon implements api.Abandoner: what was not acknowledged comes again.
func (s *Stream) Abandon() { s.Close() }

// Close implements api.Stream. What was acknowledged is written soon.
func (s *Stream) Close() {
	c := s.consumers
	c.mu.Lock()
	if s.consumer.stream == s {
		s.consumer.detach()
	}
	c.mu.Unlock()
	s.Opened.Close()
	c.wake()
}
