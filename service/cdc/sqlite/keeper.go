package sqlite

import (
	"context"
	"errors"
	"time"
)

// keeper keeps the checkpoint of a run. It is used by the goroutine that serves the source.
type keeper struct {
	run        *run
	checkpoint checkpoint
}

const (
	// A checkpoint waits this long for the writer. If that is not enough it is tried again later.
	saveTimeout = 250 * time.Millisecond
	// The last one waits longer.
	lastSaveTimeout = time.Second
	// A bootstrap that could not be noted is tried again after this time.
	retryInterval = time.Second
)

// errClosed says that the database has closed.
var errClosed = errors.New("closed")

// begin goes on from where the run before has ended. Without a checkpoint that can be read the source begins anew.
func (k *keeper) begin(ctx context.Context) {
	p, err := k.checkpoint.load(ctx)
	k.run.goOnFrom(p)
	if err == nil {
		err = k.save(ctx, saveTimeout, false)
	}
	k.note(ctx, err)
}

// wait writes the checkpoint from time to time until ctx is done, or returns errClosed when the database has closed.
func (k *keeper) wait(ctx context.Context, interval time.Duration) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.run.closed:
			if ctx.Err() != nil {
				return nil
			}
			return errClosed
		case <-ticker.C:
		case <-k.run.changed:
		case <-retry:
		}
		k.note(ctx, k.save(ctx, saveTimeout, false))
		retry = nil
		if k.checkpoint.last == nil || k.run.bootstrapped.Load() != k.checkpoint.last.bootstrapped {
			retry = time.After(retryInterval)
		}
	}
}

// end writes the last checkpoint of the run, though ctx may be done.
func (k *keeper) end(ctx context.Context) {
	k.note(ctx, k.save(context.WithoutCancel(ctx), lastSaveTimeout, true))
}

func (k *keeper) save(ctx context.Context, timeout time.Duration, stopped bool) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	p := k.run.position()
	p.stopped = stopped
	return k.checkpoint.save(ctx, p)
}

// note makes known whether the checkpoint could be kept.
func (k *keeper) note(ctx context.Context, err error) {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return // the last one follows
	}
	failed := k.run.unsaved.Load() != nil
	if err == nil {
		k.run.unsaved.Store(nil)
		if failed {
			k.run.logger.InfoContext(ctx, "checkpoint is written again")
		}
		return
	}
	k.run.unsaved.Store(&err)
	k.run.origin.counters.CheckpointFailure()
	if !failed {
		k.run.logger.WarnContext(ctx, "checkpoint cannot be kept, the source goes on without", "error", err)
	}
}
