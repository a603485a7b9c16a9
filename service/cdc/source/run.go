package source

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/consumer"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

const (
	// A checkpoint waits this long for the database, unless Limits say otherwise. If that is not enough it is tried again
	// later.
	saveTimeout = 250 * time.Millisecond
	// The last one waits longer.
	lastSaveTimeout = time.Second
	// A bootstrap that could not be noted is tried again after this time.
	retryInterval = time.Second
	// Check and Close may take this long.
	checkTimeout = 10 * time.Second
)

// Run is one run of a source, from Begin of the catalog to its end.
type Run struct {
	id         registry.ID
	catalog    *Catalog
	record     *record
	generation string

	logger  *slog.Logger
	session Session
	streams *stream.Streams
	// bootstraps is whether streams begin with a snapshot by default, until one was delivered in full: bootstrapped.
	// changed then receives a value.
	bootstraps   bool
	bootstrapped atomic.Bool
	changed      chan struct{}
	saveTimeout  time.Duration
	// saved is what was written last; it belongs to the goroutine that serves.
	saved *Checkpoint
	// unsaved and unacked tell of the last attempts to write it, and the positions of consumers.
	unsaved, unacked failure
	// consumers are nil if there are none, because of unconsumed.
	consumers  *consumer.Consumers
	unconsumed error
	wanted     wanted
}

// Generation names the run. Names of later runs are greater as strings; they consist of hexadecimal digits.
func (r *Run) Generation() string { return r.generation }

// Logger returns that of the source.
func (r *Run) Logger() *slog.Logger { return r.logger }

// Counters returns those of the source, which go on over its runs.
func (r *Run) Counters() *stream.Counters { return r.record.counters }

// subscribe opens a stream, with a snapshot if that is asked for or due.
func (r *Run) subscribe(ctx context.Context, opts api.StreamOptions) (api.Stream, error) {
	r.wanted.add(opts.Tables)
	after, resumes := opts.Start.After()
	switch {
	case opts.Consumer != "":
		return r.consume(ctx, opts)
	case resumes:
		return r.resume(ctx, opts, after)
	case opts.Start == api.Snapshot():
		return r.streams.OpenSnapshot(ctx, opts, nil)
	case opts.Start == api.Start{} && r.bootstraps && !r.bootstrapped.Load():
		return r.streams.OpenSnapshot(ctx, opts, r.bootstrap)
	default:
		return r.open(ctx, opts)
	}
}

// open opens a stream without a snapshot.
func (r *Run) open(ctx context.Context, opts api.StreamOptions) (api.Stream, error) {
	opened, err := r.streams.Open(opts)
	if err != nil {
		return nil, err
	}
	if missed := r.session.Missed(); missed != nil {
		opened.Close()
		return nil, about(r.id, missed)
	}
	r.back(ctx, opts)
	return opened, nil
}

// SaveSoon makes the checkpoint be written without waiting for the status interval.
func (r *Run) SaveSoon() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// bootstrap notes that a bootstrap was delivered in full.
func (r *Run) bootstrap() {
	r.bootstrapped.Store(true)
	r.SaveSoon()
}

// tend keeps the checkpoint and looks after the source until done is closed, or returns why the run must end.
func (r *Run) tend(ctx context.Context, limits Limits, done <-chan struct{}) error {
	ticker := time.NewTicker(limits.StatusInterval)
	defer ticker.Stop()
	acks := time.NewTicker(cmp.Or(limits.AckInterval, time.Second))
	defer acks.Stop()
	var changed <-chan struct{}
	if r.consumers != nil {
		changed = r.consumers.Changed()
	}
	var retry <-chan time.Time
	for {
		switch due := r.saved == nil || r.saved.Bootstrapped != r.bootstrapped.Load(); {
		case !due:
			retry = nil
		case retry == nil:
			retry = time.After(retryInterval)
		}
		select {
		case <-done:
			return nil
		case <-acks.C:
			r.saveConsumers(ctx)
		case <-changed:
			r.saveConsumers(ctx)
		case <-ticker.C:
			r.save(ctx, r.saveTimeout, false)
			if err := r.check(ctx); err != nil {
				return err
			}
		case <-r.wanted.wake:
			r.lookForTables(ctx)
		case <-r.changed:
			r.save(ctx, r.saveTimeout, false)
		case <-retry:
			retry = nil
			r.save(ctx, r.saveTimeout, false)
		}
	}
}

func (r *Run) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return r.session.Check(ctx)
}

// save writes the checkpoint. The source goes on if that fails.
func (r *Run) save(ctx context.Context, timeout time.Duration, stopped bool) {
	saving, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	now := Checkpoint{Bootstrapped: r.bootstrapped.Load(), Stopped: stopped}
	err := r.session.Save(saving, now)
	if err == nil {
		r.saved = &now
	}
	r.note(ctx, err)
}

// note makes known whether the checkpoint could be kept.
func (r *Run) note(ctx context.Context, err error) {
	switch r.unsaved.note(ctx, r, err) {
	case mended:
		r.logger.InfoContext(ctx, "checkpoint is written again")
	case broken:
		r.logger.WarnContext(ctx, "checkpoint cannot be kept, the source goes on without", "error", err)
	}
}

// noteConsumers makes known whether the positions of consumers could be kept.
func (r *Run) noteConsumers(ctx context.Context, err error) {
	switch r.unacked.note(ctx, r, err) {
	case mended:
		r.logger.InfoContext(ctx, "what consumers acknowledge is written again")
	case broken:
		r.logger.WarnContext(ctx, "what consumers acknowledge cannot be kept: it comes again after a restart", "error", err)
	}
}

// failure is why something could not be kept the last time, nil if it was.
type failure struct{ atomic.Pointer[error] }

// What an attempt to keep something has changed, if anything.
const (
	mended = iota + 1
	broken
)

// note notes how an attempt has ended, and returns what that changes.
func (f *failure) note(ctx context.Context, r *Run, err error) (change int) {
	failed := f.Load() != nil
	switch {
	case err == nil && failed:
		f.Store(nil)
		return mended
	case err == nil, ctx.Err() != nil && errors.Is(err, context.Canceled): // the last one follows
		return 0
	}
	f.Store(&err)
	r.record.counters.CheckpointFailure()
	if failed {
		return 0
	}
	return broken
}

// describe sets the fields of info that change while the source runs.
func (r *Run) describe(info *api.SourceInfo) {
	info.Admission = r.streams.Admission()
	if err := cmp.Or(r.unsaved.Load(), r.unacked.Load()); err != nil {
		info.CheckpointErr = *err
	}
	if r.consumers != nil {
		info.Consumers = r.consumers.Describe(r.session.Lag)
	}
	r.session.Describe(info)
	info.Cursor = r.session.Newest().Cursor(info.Generation)
}

// position says where a run is: its generation and LSN are set.
func (r *Run) position() api.SourceInfo {
	info := api.SourceInfo{Generation: r.generation}
	r.session.Describe(&info)
	return info
}

// place is position for the log of the program.
func (r *Run) place() []any {
	info := r.position()
	return []any{"generation", info.Generation, "lsn", info.LSN}
}
