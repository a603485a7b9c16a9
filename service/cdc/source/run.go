package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

const (
	// A checkpoint waits this long for the database. If that is not enough it is tried again later.
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
	ended      bool // guarded by catalog.mu

	logger  *slog.Logger
	session Session
	streams *stream.Streams
	// bootstraps is whether streams begin with a snapshot by default, until one was delivered in full: bootstrapped. changed
	// then receives a value.
	bootstraps   bool
	bootstrapped atomic.Bool
	changed      chan struct{}
	// saved is what was written last; it belongs to the goroutine that serves. unsaved is why the last attempt has failed.
	saved   *Checkpoint
	unsaved atomic.Pointer[error]
}

// Generation names the run. Names of later runs are greater as strings; they consist of hexadecimal digits.
func (r *Run) Generation() string { return r.generation }

// Logger returns that of the source.
func (r *Run) Logger() *slog.Logger { return r.logger }

// Counters returns those of the source, which go on over its runs.
func (r *Run) Counters() *stream.Counters { return r.record.counters }

// subscribe opens a stream, with a snapshot if that is asked for or due.
func (r *Run) subscribe(ctx context.Context, opts api.StreamOptions) (api.Stream, error) {
	switch {
	case opts.Snapshot == api.SnapshotAlways:
		return r.streams.OpenSnapshot(ctx, opts, nil)
	case opts.Snapshot == api.SnapshotDefault && opts.After == nil && r.bootstraps && !r.bootstrapped.Load():
		return r.streams.OpenSnapshot(ctx, opts, r.bootstrap)
	default:
		return r.open(opts)
	}
}

// open opens a stream without a snapshot.
func (r *Run) open(opts api.StreamOptions) (api.Stream, error) {
	opened, err := r.streams.Open(opts)
	if err != nil {
		return nil, err
	}
	if missed := r.session.Missed(); missed != nil {
		opened.Close()
		return nil, fmt.Errorf("cdc: source %q: %w", r.id, missed)
	}
	return opened, nil
}

// bootstrap notes that a bootstrap was delivered in full.
func (r *Run) bootstrap() {
	r.bootstrapped.Store(true)
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// tend keeps the checkpoint and looks after the source until done is closed, or returns why the run must end.
func (r *Run) tend(ctx context.Context, interval time.Duration, done <-chan struct{}) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		var retry <-chan time.Time
		if r.saved == nil || r.saved.Bootstrapped != r.bootstrapped.Load() {
			retry = time.After(retryInterval)
		}
		select {
		case <-done:
			return nil
		case <-ticker.C:
			r.save(ctx, saveTimeout, false)
			if err := r.check(ctx); err != nil {
				return err
			}
		case <-r.changed:
			r.save(ctx, saveTimeout, false)
		case <-retry:
			r.save(ctx, saveTimeout, false)
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
	switch failed := r.unsaved.Load() != nil; {
	case err == nil:
		if r.unsaved.Store(nil); failed {
			r.logger.InfoContext(ctx, "checkpoint is written again")
		}
	case ctx.Err() != nil && errors.Is(err, context.Canceled): // the last one follows
	default:
		r.unsaved.Store(&err)
		r.record.counters.CheckpointFailure()
		if !failed {
			r.logger.WarnContext(ctx, "checkpoint cannot be kept, the source goes on without", "error", err)
		}
	}
}

// describe sets the fields of info that change while the source runs.
func (r *Run) describe(info *api.SourceInfo) {
	info.Admission = r.streams.Admission()
	if err := r.unsaved.Load(); err != nil {
		info.CheckpointErr = *err
	}
	r.session.Describe(info)
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
