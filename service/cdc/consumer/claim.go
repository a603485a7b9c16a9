package consumer

import (
	"cmp"
	"context"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Claim is the right to open the one stream of a consumer. It ends with Connect or Release.
type Claim struct {
	consumers *Consumers
	consumer  *consumer
	// known says that the consumer had a stream before.
	known bool
}

// Claim claims the stream of a consumer for a reader. The error is a Conflict if the consumer has one.
func (c *Consumers) Claim(name, reader string) (*Claim, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.byName[name]
	switch {
	case c.closed:
		return nil, c.errStopped()
	case one == nil:
		one = &consumer{State: State{Name: name}}
		c.byName[name] = one
	case one.open() || one.claimed && one.stream == nil:
		return nil, errs.New(errs.Conflict, "cdc: source %q: consumer %q has a stream already, of %s: close that first, or choose another name",
			c.settings.Source, name, one.reader)
	default:
		one.detach()
	}
	one.reader, one.claimed = cmp.Or(reader, "another reader"), true
	return &Claim{consumers: c, consumer: one, known: one.stored != nil}, nil
}

// Hold makes the consumer belong to the stream until that is closed, and the stream to the consumer.
func (c *Claim) Hold() {
	c.consumers.mu.Lock()
	defer c.consumers.mu.Unlock()
	c.consumer.held = true
}

// detach lets go of a stream that has ended, or is closed. The mu of Consumers must be held.
func (one *consumer) detach() {
	one.stream, one.claimed, one.held = nil, false, false
}

// Name returns that of the consumer.
func (c *Claim) Name() string { return c.consumer.Name }

// Position returns where the consumer goes on; false if it begins with this stream.
func (c *Claim) Position() (p api.Position, known bool) {
	c.consumers.mu.Lock()
	defer c.consumers.mu.Unlock()
	return c.consumer.Position, c.known
}

// Gap returns the error for a position of another generation than that of the source, which goes on behind newest; nil
// for others.
func (c *Claim) Gap(newest api.Position) error {
	c.consumers.mu.Lock()
	defer c.consumers.mu.Unlock()
	one, settings := c.consumer, &c.consumers.settings
	if !c.known || one.Generation == settings.Generation {
		return nil
	}
	return &api.GapError{
		Cause: api.GapRestored, After: one.Position, Before: newest, Source: settings.Source, Generation: settings.Generation,
		Err: errs.New(errs.Unavailable, "consumer %q has acknowledged positions of generation %q, and the source has begun anew as %q",
			one.Name, one.Generation, settings.Generation),
	}
}

// Tell notes that an error is told to the reader of the consumer.
func (c *Claim) Tell(err error) { c.consumers.settings.Told.note(c.Name(), err) }

// Told reports whether an error has told the reader of a gap since the consumer has begun.
func (c *Claim) Told() bool { return c.consumers.settings.Told.has(c.Name()) }

// Begin writes where the first stream of the consumer has begun, or its snapshot has begun anew.
func (c *Claim) Begin(ctx context.Context, p api.Position) error {
	set, one := c.consumers, c.consumer
	set.storing.Lock()
	defer set.storing.Unlock()
	if err := cmp.Or(set.stopped(), c.forgotten()); err != nil {
		return err
	}
	state := State{Name: one.Name, Generation: set.settings.Generation, Position: p, AckedAt: time.Now()}
	if err := set.settings.Store.Save(ctx, []State{state}); err != nil {
		return set.about(one.Name, "write where it begins", err)
	}
	set.mu.Lock()
	defer set.mu.Unlock()
	one.State, one.stored = state, new(p)
	set.settings.Told.set(one.Name, false)
	return nil
}

// Emptied notes that the snapshot of the consumer is complete and has no rows, so that there is none to acknowledge.
func (c *Claim) Emptied() {
	set, one := c.consumers, c.consumer
	set.mu.Lock()
	defer set.mu.Unlock()
	if one.Position.InSnapshot() && !set.closed {
		one.Position = api.Behind(one.Position.Sequence)
	}
}

// Release gives the claim up.
func (c *Claim) Release() {
	set := c.consumers
	set.mu.Lock()
	defer set.mu.Unlock()
	c.consumer.detach()
	if c.consumer.stored == nil && set.byName[c.consumer.Name] == c.consumer {
		delete(set.byName, c.consumer.Name)
	}
}

// Connect returns the stream of the consumer, which reads opened.
func (c *Claim) Connect(opened Opened) api.Stream {
	s := &Stream{Opened: opened, consumers: c.consumers, consumer: c.consumer}
	c.consumers.mu.Lock()
	c.consumer.stream = s
	c.consumers.mu.Unlock()
	if err := c.forgotten(); err != nil {
		s.End(api.EndSource, err)
	}
	return s
}

// forgotten returns the error of a consumer that was forgotten meanwhile.
func (c *Claim) forgotten() error {
	c.consumers.mu.Lock()
	defer c.consumers.mu.Unlock()
	if c.consumers.byName[c.consumer.Name] == c.consumer {
		return nil
	}
	return c.consumers.errForgotten(c.consumer.Name)
}
