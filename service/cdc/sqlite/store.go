package sqlite

import (
	"context"
	"errors"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/log"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// keep makes the database keep the log of a durable source, and the session go on behind it.
func (s *session) keep(ctx context.Context, config *api.SQLiteConfig) error {
	settings := sqlite.LogSettings{
		Source: s.origin.source.String(), Generation: s.origin.generation, Refuse: config.OnLogFull == api.OnLogFullRefuse,
		MaxBytes: int64(config.Retention.MaxBytes), MaxAge: config.Retention.MaxAge.Std(),
	}
	if len(config.Tables) > 0 {
		settings.Tables = config.Tables
	}
	if err := s.db.KeepLog(ctx, settings, s.sequence.Load()); err != nil {
		return err
	}
	state := s.db.LogState()
	s.durable, s.origin.generation, s.unloaded = true, state.Generation, nil
	s.saved.Bootstrapped = state.Bootstrapped
	s.sequence.Store(state.Newest)
	return nil
}

// leave deletes the log of a source that was durable. What it remembers goes into the checkpoint first: its numbers are not used again.
func (s *session) leave(ctx context.Context) error {
	state := s.db.LogState()
	s.sequence.Store(max(s.sequence.Load(), state.Newest))
	s.saved.Bootstrapped = s.saved.Bootstrapped || state.Bootstrapped
	now := source.Checkpoint{Bootstrapped: s.saved.Bootstrapped}
	_ = s.checkpoint.save(ctx, position{Checkpoint: now, sequence: s.sequence.Load()}) // the run tries again, and tells of it
	return s.db.DropLog(ctx, s.origin.source.String())
}

// store reads the durable log. It implements log.Store.
type store struct{ session *session }

// Read implements log.Store.
func (s *store) Read(after uint64) (log.Replay, error) {
	cursor, err := s.session.db.ReadLog(after)
	if err != nil {
		return nil, s.explain(after, err)
	}
	return &replay{store: s, cursor: cursor, after: after}, nil
}

// explain returns what a reader is told that cannot go on behind a sequence.
func (s *store) explain(after uint64, err error) error {
	state := s.session.db.LogState()
	gap := &api.GapError{After: api.Behind(after), Source: s.session.origin.source, Generation: s.session.origin.generation}
	undone, isUndone := errors.AsType[*sqlite.UndoneError](err)
	switch {
	case errors.Is(err, sqlite.ErrTrimmed):
		gap.Cause, gap.Before = api.GapRetention, api.Behind(state.Trimmed)
		gap.Err = errors.New("what follows was kept no longer than the source's retention says")
	case isUndone:
		gap.Cause, gap.Before = api.GapUnverifiedCrash, api.Behind(undone.Through)
		gap.Err = errors.New("transactions that were delivered are undone, by a loss of power for instance")
	default:
		gap.Cause, gap.Before, gap.Err = api.GapCaptureLost, api.Behind(state.Newest), err
	}
	return gap
}

// replay implements log.Replay.
type replay struct {
	store  *store
	cursor *sqlite.LogCursor
	after  uint64
}

// Next implements log.Replay.
func (r *replay) Next() (*log.Transaction, error) {
	tx, err := r.cursor.Next()
	switch {
	case errors.Is(err, sqlite.ErrTrimmed):
		return nil, r.store.explain(r.after, err)
	case err != nil:
		return nil, err
	case tx.Gap != "":
		origin := &r.store.session.origin
		return nil, &api.GapError{
			Cause: tx.Gap, After: api.Behind(r.after), Before: api.Behind(tx.Sequence), Source: origin.source, Generation: origin.generation,
		}
	}
	r.after = tx.Sequence
	next := &log.Transaction{
		Sequence: tx.Sequence, At: tx.At, Counts: log.Counts(tx.Counts), Spilled: tx.Spilled, Entries: tx.Records, Owned: true,
	}
	for _, t := range tx.Touched {
		next.Touched = append(next.Touched, touchedBy(t))
	}
	return next, nil
}

// Through implements log.Replay.
func (r *replay) Through() uint64 { return r.cursor.Through() }

// Close implements log.Replay.
func (r *replay) Close() { r.cursor.Close() }
