package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pglogrepl"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// open connects to the server and prepares everything for a run, which must be closed.
func (s *Source) open(ctx context.Context, book *cdc.Run) (*run, error) {
	at, err := s.endpoint()
	if err != nil {
		return nil, err
	}
	db := at.side()
	r := &run{
		source: s, endpoint: at, db: db, checkpoint: checkpoint{slot: s.config.SlotName, db: db},
		bootstraps: s.config.Snapshot, woken: make(chan struct{}, 1),
	}
	if err := r.prepare(ctx); err != nil {
		r.close(ctx)
		return nil, err
	}
	r.origin = origin{source: s.id, generation: r.server.generation, counters: book.Counters()}
	r.Log = cdc.NewLog(cdc.LogSettings{
		Source: s.id, Tables: s.config.Tables, Bytes: s.config.LogBytes, Subscriptions: s.config.Subscriptions,
		Counters: book.Counters(), Logger: s.logger(),
	})
	return r, nil
}

// prepare checks the server, and sees to it that publication and slot exist. The publication comes first: a slot
// decodes WAL with the catalogs of its time.
func (r *run) prepare(ctx context.Context) (err error) {
	if err := r.db.PingContext(ctx); err != nil {
		return fmt.Errorf("connect to %s: %w", r.endpoint.settings, classify(ctx, err))
	}
	if r.server, err = inspect(ctx, r.db); err != nil {
		return err
	}
	if err := preparePublication(ctx, r.db, r.source.config); err != nil {
		return err
	}
	return r.prepareSlot(ctx)
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
		err = checkFailover(r.server.version, config)
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
		if errs.Retryable(err) || ctx.Err() != nil {
			return err
		}
		r.unsavedBecause(ctx, err)
	}
	if now.exists && config.Failover && !now.failover {
		if err := letFailOver(ctx, r.conn, r.db, config.SlotName); err != nil {
			return err
		}
	}
	if now.exists {
		r.bootstrapped = found
		r.positions.startAt(max(now.confirmed, saved))
		return nil
	}
	first, err := createSlot(ctx, r.conn, config)
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
