package consumer

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// State is what is kept of a consumer.
type State struct {
	Name string
	// Generation is that of the position. If it is not that of the source, the consumer has missed something for
	// certain.
	Generation string
	// Position is what was acknowledged, or where the first stream has begun. Within a snapshot it says that this has
	// yet to be acknowledged to its last row.
	Position api.Position
	// AckedAt is since when it is there.
	AckedAt time.Time
}

// Store is where the states of the consumers of one source are kept. It is used by one goroutine at a time.
type Store interface {
	// Load returns all.
	Load(ctx context.Context) ([]State, error)
	// Save writes those that have changed, all or none.
	Save(ctx context.Context, changed []State) error
	// Delete forgets one; it is no error if there is none of that name.
	Delete(ctx context.Context, name string) error
}

// Settings says what the consumers of one run of a source are like.
type Settings struct {
	Source registry.ID
	// Generation is that of the source.
	Generation string
	Store      Store
	// Told is that of the source; nil if it has only this run.
	Told *Told
}

// Consumers are the consumers of one run of a source. Methods may be called from any goroutine.
//
// Lock order: storing, then mu.
type Consumers struct {
	settings Settings
	// changed receives a value when something is to be saved soon.
	changed chan struct{}
	// storing is held while the store is used.
	storing sync.Mutex

	mu     sync.Mutex
	byName map[string]*consumer
	// closed says that nothing more is saved.
	closed bool
}

// consumer is one of them. It is guarded by the mu of Consumers.
type consumer struct {
	State
	// stored is what the store has, nil if it has nothing.
	stored *api.Position
	// reader says who has the stream; claimed says that there is one, or that one is being opened, stream is nil until
	// it is.
	reader  string
	claimed bool
	stream  *Stream
	// held says that the claim lasts until the stream is closed, see api.StreamOptions.
	held bool
}

// New returns the consumers that the store of a run has.
func New(ctx context.Context, settings Settings) (*Consumers, error) {
	if settings.Told == nil {
		settings.Told = new(Told)
	}
	c := &Consumers{settings: settings, changed: make(chan struct{}, 1), byName: make(map[string]*consumer)}
	states, err := settings.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range states {
		c.byName[s.Name] = &consumer{State: s, stored: new(s.Position)}
	}
	return c, nil
}

// Changed returns a channel that receives a value when Save should be called soon.
func (c *Consumers) Changed() <-chan struct{} { return c.changed }

// Any reports whether there is a consumer.
func (c *Consumers) Any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byName) > 0
}

// Slowest returns the sequence up to which every consumer has acknowledged everything for good, and the name of the one
// that has not acknowledged more; false if none needs anything kept. A consumer whose snapshot is not acknowledged
// begins anew.
func (c *Consumers) Slowest() (sequence uint64, name string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.byName {
		needs, any := one.needs(c.settings.Generation)
		if any && (!ok || needs < sequence || needs == sequence && one.Name < name) {
			sequence, name, ok = needs, one.Name, true
		}
	}
	return sequence, name, ok
}

// needs returns the sequence behind which everything is needed. The mu of Consumers must be held.
func (one *consumer) needs(generation string) (sequence uint64, ok bool) {
	if one.Generation != generation {
		return 0, false
	}
	for _, p := range []*api.Position{one.stored, &one.Position} {
		if p != nil && !p.InSnapshot() && (!ok || p.Whole() < sequence) {
			sequence, ok = p.Whole(), true
		}
	}
	return sequence, ok
}

// Save writes what has changed since. Consumers that have acknowledged all that concerned them are moved on with the
// log, so that they do not hold back what others have made.
func (c *Consumers) Save(ctx context.Context) error {
	c.storing.Lock()
	defer c.storing.Unlock()
	c.advance()
	return c.store(ctx)
}

// advance moves consumers on to what their streams have acknowledged, also of what did not concern them. A stream that is
// open afterwards was open when it was asked.
func (c *Consumers) advance() {
	open := make(map[*consumer]*Stream)
	c.mu.Lock()
	for _, one := range c.byName {
		if one.stream != nil && !one.Position.InSnapshot() {
			open[one] = one.stream
		}
	}
	c.mu.Unlock()
	for one, s := range open {
		acked := api.Behind(s.Acked())
		c.mu.Lock()
		if one.stream == s && s.Err() == nil && one.Position.Compare(acked) < 0 {
			one.Position = acked
		}
		c.mu.Unlock()
	}
}

// store writes what has changed. c.storing must be held.
func (c *Consumers) store(ctx context.Context) error {
	c.mu.Lock()
	var changed []State
	var of []*consumer
	for _, one := range c.byName {
		if one.stored != nil && *one.stored != one.Position {
			changed, of = append(changed, one.State), append(of, one)
		}
	}
	c.mu.Unlock()
	if len(changed) == 0 {
		return nil
	}
	if err := c.settings.Store.Save(ctx, changed); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, one := range of {
		one.stored = new(changed[i].Position)
	}
	return nil
}

// Close saves what was acknowledged by now. What is acknowledged from then on is refused.
func (c *Consumers) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.storing.Lock()
	defer c.storing.Unlock()
	return c.store(ctx)
}

// Describe describes all consumers, ordered by name; lag tells how much lies behind a position.
func (c *Consumers) Describe(lag func(api.Position) (bytes, transactions int64)) []api.ConsumerInfo {
	c.mu.Lock()
	var all []api.ConsumerInfo
	positions := make(map[string]api.Position)
	for _, name := range slices.Sorted(maps.Keys(c.byName)) {
		one := c.byName[name]
		if one.stored == nil { // its first stream is being opened
			continue
		}
		info := api.ConsumerInfo{
			Name: name, Cursor: one.Position.Cursor(one.Generation), AckedAt: one.AckedAt, Snapshot: one.Position.InSnapshot(),
			Connected: one.open(), Reader: one.readerNow(), LagBytes: -1, LagTransactions: -1,
		}
		if one.Generation == c.settings.Generation {
			positions[name] = one.Position
		}
		all = append(all, info)
	}
	c.mu.Unlock()
	for i := range all {
		if p, ok := positions[all[i].Name]; ok {
			all[i].LagBytes, all[i].LagTransactions = lag(p)
		}
	}
	return all
}

// open reports whether the consumer has a stream that is read: one that has ended is, until its reader knows, or closes it if the consumer
// is held. The mu of Consumers must be held.
func (one *consumer) open() bool { return one.stream != nil && (one.stream.told == nil || one.held) }

// readerNow says who reads the stream of the consumer, "" if it has none. The mu of Consumers must be held.
func (one *consumer) readerNow() string {
	if one.open() {
		return one.reader
	}
	return ""
}

// Forget ends a consumer, and its stream with an error that says so. If the stream holds the consumer, the error is a
// Conflict.
func (c *Consumers) Forget(ctx context.Context, name string) error {
	c.storing.Lock()
	defer c.storing.Unlock()
	if err := c.stopped(); err != nil {
		return err
	}
	c.mu.Lock()
	one := c.byName[name]
	held, reader := one != nil && one.held, ""
	if held {
		reader = one.reader
	}
	c.mu.Unlock()
	switch {
	case one == nil:
		return errs.New(errs.NotFound, "cdc: source %q: no consumer is called %q", c.settings.Source, name)
	case held:
		return errs.New(errs.Conflict, "cdc: source %q: consumer %q is %s, which runs: delete its entry and reload, that forgets the consumer as well",
			c.settings.Source, name, reader)
	}
	if err := c.settings.Store.Delete(ctx, name); err != nil {
		return c.about(name, "forget", err)
	}
	c.mu.Lock()
	var ended *Stream
	if c.byName[name] == one {
		delete(c.byName, name)
		c.settings.Told.set(name, false)
		ended, one.stream = one.stream, nil
	}
	c.mu.Unlock()
	if ended != nil {
		ended.End(api.EndSource, c.errForgotten(name))
	}
	c.wake()
	return nil
}

// Reset makes a consumer that has no stream go on behind p.
func (c *Consumers) Reset(ctx context.Context, name string, p api.Position) error {
	c.storing.Lock()
	defer c.storing.Unlock()
	if err := c.stopped(); err != nil {
		return err
	}
	one, err := c.idle(name)
	if err != nil {
		return err
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		one.claimed = false
	}()
	state := State{Name: name, Generation: c.settings.Generation, Position: p, AckedAt: time.Now()}
	if err := c.settings.Store.Save(ctx, []State{state}); err != nil {
		return c.about(name, "reset", err)
	}
	c.mu.Lock()
	one.State, one.stored = state, new(p)
	c.mu.Unlock()
	c.settings.Told.set(name, false)
	c.wake()
	return nil
}

// idle claims a consumer that has no stream, so that none is opened meanwhile.
func (c *Consumers) idle(name string) (*consumer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch one := c.byName[name]; {
	case one == nil:
		return nil, errs.New(errs.NotFound, "cdc: source %q: no consumer is called %q", c.settings.Source, name)
	case one.open() || one.claimed && one.stream == nil:
		return nil, errs.New(errs.Conflict, "cdc: source %q: consumer %q has a stream, of %s: close that first", c.settings.Source, name, one.reader)
	default:
		one.detach()
		one.claimed, one.reader = true, "a reset"
		return one, nil
	}
}

// stopped returns the error of a run that has ended: the store is that of the next one by now. c.storing must be held.
func (c *Consumers) stopped() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.errStopped()
	}
	return nil
}

func (c *Consumers) errStopped() error {
	return errs.New(errs.Unavailable, "cdc: source %q was stopped or replaced; resubscribe once it runs", c.settings.Source)
}

func (c *Consumers) errForgotten(name string) error {
	return errs.New(errs.NotFound, "cdc: source %q: consumer %q was forgotten: its next stream begins as a first one does", c.settings.Source, name)
}

// about says which consumer an error is about.
func (c *Consumers) about(name, step string, err error) error {
	_, classified := errors.AsType[*errs.Error](err)
	kind := cmp.Or(errs.KindOf(err), errs.Unavailable)
	if !classified {
		kind = errs.Unavailable
	}
	return errs.New(kind, "cdc: source %q: consumer %q: %s: %w", c.settings.Source, name, step, err)
}

// wake makes Changed receive a value.
func (c *Consumers) wake() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}
