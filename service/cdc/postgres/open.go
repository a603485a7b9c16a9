package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pglogrepl"

	"github.com/wippy-cdc/runtime/service/cdc"
)

// open connects to the server, checks it, and sees to it that publication and slot exist.
func (s *Source) open(ctx context.Context, book *cdc.Run) (r *run, err error) {
	at, err := s.endpoint()
	if err != nil {
		return nil, err
	}
	db := at.side()
	r = &run{source: s, endpoint: at, db: db, checkpoint: checkpoint{slot: s.config.SlotName, db: db}, woken: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			r.close(ctx)
		}
	}()
	if err := db.PingContext(ctx); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", at.settings, classify(ctx, err))
	}
	if r.server, err = inspect(ctx, db); err != nil {
		return nil, err
	}
	if err := preparePublication(ctx, db, s.config); err != nil {
		return nil, err
	}
	if err := r.prepareSlot(ctx); err != nil {
		return nil, err
	}
	r.origin = origin{source: s.id, generation: r.server.generation, counters: book.Counters()}
	r.bootstraps = s.config.Snapshot
	r.Log = cdc.NewLog(cdc.LogSettings{
		Source: s.id, Tables: s.config.Tables, Bytes: s.config.LogBytes, Subscriptions: s.config.Subscriptions,
		Counters: book.Counters(),
	})
	return r, nil
}

// prepareSlot connects for replication, and finds or makes the slot. The source goes on from what was confirmed last: the
// slot or the checkpoint knows, whichever is further.
func (r *run) prepareSlot(ctx context.Context) error {
	config := r.source.config
	now, err := lookSlot(ctx, r.db, config.SlotName)
	if err == nil && now.exists {
		err = now.usable(config.SlotName, r.endpoint.config.Database)
		if err == nil && config.Temporary {
			err = errBusy(ctx, r.db, config.SlotName)
		}
	}
	if err == nil {
		err = checkRoom(ctx, r.db, !now.exists)
	}
	if err != nil {
		return err
	}
	if r.conn, err = r.endpoint.replication(ctx); err != nil {
		return fmt.Errorf("connect for replication: %w", err)
	}
	saved, found, err := r.checkpoint.load(ctx)
	if err != nil {
		return err
	}
	if now.exists {
		r.bootstrapped = found
		r.positions.startAt(max(now.confirmed, saved))
		return nil
	}
	first, err := createSlot(ctx, r.conn, r.server.version, config)
	if err != nil {
		return err
	}
	r.reportGap(ctx, found, saved, first)
	r.checkpoint.last = 0
	r.positions.startAt(first)
	return nil
}

// reportGap tells that a slot had to be made anew: what has committed in between is lost.
func (r *run) reportGap(ctx context.Context, found bool, saved, first pglogrepl.LSN) {
	if found && !r.source.config.Temporary {
		r.source.logger().WarnContext(ctx, "the slot was gone and was made anew: what has committed in between was not captured",
			"slot", r.source.config.SlotName, "from", saved.String(), "to", first.String())
	}
}
