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
		bootstraps: s.config.Snapshot, woken: make(chan struct{}, 1), origin: origin{source: s.id, counters: book.Counters()},
	}
	if err := r.prepare(ctx); err != nil {
		r.close(ctx)
		return nil, err
	}
	r.origin.generation = r.server.generation
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
	if r.tables, err = r.preparePublication(ctx); err != nil {
		return err
	}
	if err := r.warnOfIdentity(ctx); err != nil {
		return err
	}
	return r.prepareSlot(ctx)
}

// prepareSlot connects for replication, and finds or makes the slot.
func (r *run) prepareSlot(ctx context.Context) error {
	config := r.source.config
	now, err := lookSlot(ctx, r.db, config.SlotName)
	if err == nil && now.exists {
		err = now.usable(config.SlotName, r.endpoint.config.Database)
		if err == nil && config.Temporary {
			err = now.notTemporary(ctx, r.db, config.SlotName)
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
	saved, err := r.loadCheckpoint(ctx)
	if err != nil {
		return err
	}
	if now.exists {
		if config.Failover && !now.failover {
			err = letFailOver(ctx, r.conn, r.db, config.SlotName)
		}
		// The slot or the checkpoint knows what was confirmed last, whichever is further.
		r.positions.startAt(max(now.confirmed, saved))
		return err
	}
	told := r.tellWaiting(ctx)
	first, err := createSlot(ctx, r.conn, config)
	told()
	if err != nil {
		return err
	}
	if saved > 0 && !config.Temporary {
		r.source.logger().WarnContext(ctx, "the slot was gone and was made anew: what has committed in between was not captured",
			"slot", config.SlotName, "from", saved.String(), "to", first.String())
	}
	r.forgetCheckpoint(ctx)
	r.positions.startAt(first)
	return nil
}

// loadCheckpoint returns the position in the checkpoint, 0 if there is none. One that the server has not reached is that of
// another server, from which the table was copied.
func (r *run) loadCheckpoint(ctx context.Context) (pglogrepl.LSN, error) {
	saved, bootstrapped, err := r.checkpoint.load(ctx)
	if err != nil {
		if errs.Retryable(err) || ctx.Err() != nil {
			return 0, err
		}
		r.unsavedBecause(ctx, err)
		return 0, nil
	}
	r.bootstrapped, r.noted = bootstrapped, bootstrapped
	system, err := pglogrepl.IdentifySystem(ctx, r.conn)
	if err != nil {
		return 0, classify(ctx, err)
	}
	if saved > system.XLogPos {
		r.source.logger().WarnContext(ctx, "the checkpoint is beyond the end of the server's WAL: it is that of another server, and is not used",
			"slot", r.source.config.SlotName, "checkpoint", saved.String(), "server", system.XLogPos.String())
		r.forgetCheckpoint(ctx)
		return 0, nil
	}
	return saved, nil
}

// forgetCheckpoint deletes a checkpoint that does not belong to the slot.
func (r *run) forgetCheckpoint(ctx context.Context) {
	r.bootstrapped, r.noted = false, false
	r.checkpoint.last = 0
	if err := r.checkpoint.forget(ctx); err != nil {
		r.unsavedBecause(ctx, err)
	}
}
