package postgres

import (
	"context"

	"github.com/jackc/pglogrepl"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// Subscribe implements cdc.Source.
func (r *run) Subscribe(ctx context.Context, opts api.StreamOptions) (api.Stream, error) {
	s, err := r.subscribe(ctx, opts)
	if err != nil {
		return nil, err
	}
	r.wake()
	return s, nil
}

// subscribe opens a stream, with a snapshot if it is due.
func (r *run) subscribe(ctx context.Context, opts api.StreamOptions) (api.Stream, error) {
	bootstrap := opts.Snapshot == api.SnapshotDefault && r.bootstrapDue()
	if opts.Snapshot != api.SnapshotAlways && !bootstrap {
		s, err := r.Log.Subscribe(opts)
		if err != nil {
			return nil, err
		}
		if untold := r.source.untold.Swap(nil); untold != nil {
			s.Close()
			return nil, r.source.about(*untold)
		}
		return &stream{Stream: s, closed: r.wake}, nil
	}
	var fenced *cdc.Selection
	prelude := cdc.Prelude{Begin: func(ctx context.Context, selection *cdc.Selection, join func() error) (cdc.Snapshot, error) {
		fenced = selection
		// What commits between here and the moment that the snapshot shows comes twice, and is taken out by the fence.
		if err := join(); err != nil {
			return nil, err
		}
		return r.beginSnapshot(ctx, selection)
	}}
	if bootstrap {
		prelude.Delivered = r.delivered
	}
	s, err := r.SubscribeSnapshot(ctx, opts, prelude)
	if err != nil {
		r.origin.fences.Delete(fenced)
		return nil, err
	}
	return &stream{Stream: s, closed: func() { r.origin.fences.Delete(fenced); r.wake() }}, nil
}

func (r *run) bootstrapDue() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bootstraps && !r.bootstrapped
}

// delivered notes that a bootstrap was delivered in full.
func (r *run) delivered() {
	r.mu.Lock()
	r.bootstrapped = true
	r.mu.Unlock()
	r.unnoted.Store(true)
	r.wake()
}

// beginSnapshot begins a snapshot and sets the fence of its stream.
func (r *run) beginSnapshot(ctx context.Context, selection *cdc.Selection) (cdc.Snapshot, error) {
	pinning, cancel := context.WithTimeout(ctx, pinTimeout)
	defer cancel()
	s, fence, err := r.pin(pinning)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, r.pinError(ctx, pinning, err)
	}
	if err := s.selectTables(pinning, r, selection); err != nil {
		hangUp(ctx, s.conn)
		return nil, classify(ctx, err)
	}
	r.origin.fences.Store(selection, fence)
	return s, nil
}

// fenceOf returns the position of the snapshot that the stream with the selection has begun with, false without one.
func (o *origin) fenceOf(selection *cdc.Selection) (pglogrepl.LSN, bool) {
	v, ok := o.fences.Load(selection)
	if !ok {
		return 0, false
	}
	fence, ok := v.(pglogrepl.LSN)
	return fence, ok
}
