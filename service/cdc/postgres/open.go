package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pglogrepl"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/service/cdc/source"
)

// Open implements source.Engine: it connects to the server and sees to it that publication and slot exist.
func (s *Engine) Open(ctx context.Context, running *source.Run) (source.Session, error) {
	at, err := s.endpoint()
	if err != nil {
		return nil, err
	}
	db := at.side()
	r := &run{
		source: s, logger: running.Logger(), endpoint: at, db: db, checkpoint: checkpoint{slot: s.config.SlotName, db: db},
		woken: make(chan struct{}, 1), running: running,
		origin: origin{source: s.id, database: at.config.Database}, lost: make(map[uint64]error),
	}
	if err := r.prepare(ctx); err != nil {
		r.Close(ctx)
		return nil, err
	}
	r.origin.generation = r.system.generation()
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
	if err := r.checkStandby(ctx); err != nil {
		return err
	}
	if r.source.shape != nil {
		if err := r.checkShape(ctx); err != nil {
			return err
		}
	}
	if r.tables, err = r.preparePublication(ctx); err != nil {
		return r.onStandby(err)
	}
	if r.source.shape, err = r.lookShape(ctx); err != nil {
		return fmt.Errorf("look at publication %q: %w", publicationOf(r.source.config), classify(ctx, err))
	}
	if err := r.warnOfRefusals(ctx); err != nil {
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
	var end pglogrepl.LSN
	if r.system, end, err = identify(ctx, r.conn); err != nil {
		return err
	}
	r.checkpoint.system = r.system
	r.walEnd.Store(uint64(end))
	saved, err := r.loadCheckpoint(ctx, end)
	if err != nil {
		return err
	}
	if err := r.recallMissing(ctx); err != nil {
		return err
	}
	if now.exists {
		if config.Failover && !now.failover {
			err = letFailOver(ctx, r.conn, r.db, config.SlotName)
		}
		// The slot or the checkpoint knows what was confirmed last, whichever is further.
		r.positions.begin(max(now.confirmed, saved), saved)
		return err
	}
	if err := r.checkpoint.loseConsumers(ctx); err != nil {
		return r.onStandby(err)
	}
	told := r.tellWaiting(ctx)
	first, err := createSlot(ctx, r.conn, config)
	told()
	if err != nil {
		return r.onStandby(err)
	}
	if saved > 0 && !config.Temporary {
		r.logger.WarnContext(ctx, "the slot was gone and was made anew: what has committed in between was not captured",
			"slot", config.SlotName, "from", saved.String(), "to", first.String())
	}
	r.deleteCheckpoint(ctx)
	r.replaceMissing(nil, false) // all positions lie before what the slot has
	r.positions.begin(first, 0)
	return nil
}

// loadCheckpoint returns the position in the checkpoint, 0 if there is none. One of another server, from which the
// table was copied, is not used; end is how far the WAL of this one reaches.
func (r *run) loadCheckpoint(ctx context.Context, end pglogrepl.LSN) (pglogrepl.LSN, error) {
	saved, bootstrap, err := r.checkpoint.load(ctx)
	if err != nil {
		if errs.Retryable(err) || ctx.Err() != nil {
			return 0, err
		}
		r.unloaded = err
		return 0, nil
	}
	for _, row := range []saving{saved, bootstrap} {
		why, err := r.distrust(ctx, row, end)
		if err != nil {
			return 0, err
		}
		if why != "" {
			r.logger.WarnContext(ctx, "the checkpoint is not used", "because", why, "slot", r.source.config.SlotName,
				"checkpoint", row.lsn.String(), "of", row.system, "server", r.system.String(), "end", end.String())
			r.deleteCheckpoint(ctx)
			return 0, nil
		}
	}
	r.saved.Bootstrapped = bootstrap.found
	r.checkpoint.last, r.checkpoint.bootstrapped = saved.lsn, bootstrap.found
	return saved.lsn, nil
}

// distrust says why a row of the checkpoint cannot be of this server, "" if it can.
func (r *run) distrust(ctx context.Context, row saving, end pglogrepl.LSN) (string, error) {
	of := parseSystem(row.system)
	switch {
	case !row.found:
		return "", nil
	case of == system{}:
		return "it does not say which server it is of", nil
	case of.id != r.system.id:
		return "it is of another server, and came with a copy of the table", nil
	case row.lsn > end:
		return "it is beyond the end of the server's WAL", nil
	}
	belongs, left, err := r.system.within(ctx, r.conn, of, row.lsn)
	if err != nil || belongs {
		return "", err
	}
	return fmt.Sprintf("it is of timeline %d, which the server has left at %s", of.timeline, left), nil
}

// deleteCheckpoint deletes a checkpoint that does not belong to the slot.
func (r *run) deleteCheckpoint(ctx context.Context) {
	r.saved.Bootstrapped = false
	r.checkpoint.last, r.checkpoint.bootstrapped, r.source.noted = 0, false, nil
	if err := r.checkpoint.delete(ctx); err != nil {
		r.unloaded = err
	}
}
