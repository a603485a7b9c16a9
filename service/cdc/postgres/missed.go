package postgres

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/jackc/pglogrepl"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// missing is what has happened, behind one position of the WAL and before another one, that no change tells.
type missing struct {
	after, before pglogrepl.LSN
	text          string
	// system is that of the positions, the zero one until the run knows it.
	system system
}

// It is a row of the table of checkpoints, so that a reader that keeps a position hears of it after a restart, too. The
// column has after and text, lsn is before.
const (
	missed        = "/missed"
	selectMissing = `SELECT lsn, coalesce(to_jsonb(o)->>'system', ''), coalesce(to_jsonb(o)->>'missed', '')
		FROM ` + api.OffsetsTable + ` AS o WHERE slot = $1`
	writeMissing = `INSERT INTO ` + api.OffsetsTable + ` (slot, lsn, system, missed) VALUES ($1, $2, $3, $4)
		ON CONFLICT (slot) DO UPDATE SET lsn = excluded.lsn, system = excluded.system, missed = excluded.missed, updated_at = now()`
)

// writtenUpTo returns how far the WAL reaches: what the catalogs show by now lies before that.
func (r *run) writtenUpTo(ctx context.Context) (end pglogrepl.LSN, err error) {
	err = r.db.QueryRowContext(ctx, `SELECT CASE WHEN pg_is_in_recovery()
		THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_insert_lsn() END`).Scan(&end)
	return end, classify(ctx, err)
}

// miss notes what streams miss that begin before now. If streams are open it reports so, and they have to end with the
// error that it returns. If none is, the next one that goes on without a snapshot gets it: streams of a source that
// discards begin with what comes, and miss nothing.
func (r *run) miss(ctx context.Context, m *missing) (gap error, watched bool) {
	m.system = r.system
	open := func() bool { return r.Streams != nil && r.Watched() } // the run may have yet to begin
	// It is known before streams are looked for: one that is opened meanwhile looks at it once it is counted.
	if !r.source.config.Temporary {
		r.source.missing.Store(m)
		r.reaches(m.before)
	}
	told := !r.discards()
	if told {
		r.source.untold.Store(m)
	}
	if watched = open(); watched {
		r.source.untold.Store(nil)
	}
	if r.Streams != nil {
		r.noteMissing(ctx)
	}
	gap = r.gapOf(m, api.Behind(uint64(m.after)))
	if told && !watched {
		r.source.logger().WarnContext(ctx, "no stream is open, the next one will be told", "error", gap)
	}
	return gap, watched
}

// gapOf tells of m a stream that is behind a position.
func (r *run) gapOf(m *missing, after api.Position) error {
	if behind := api.Behind(uint64(m.after)); behind.Compare(after) < 0 {
		after = behind
	}
	return &api.GapError{
		Cause: api.GapCaptureLost, After: after, Before: api.Behind(uint64(m.before)), Source: r.origin.source, Generation: r.origin.generation,
		Err: errs.New(errs.Unavailable, "%s", m.text),
	}
}

// Missed implements source.Session.
func (r *run) Missed() error {
	if untold := r.source.untold.Swap(nil); untold != nil {
		return r.gapOf(untold, api.Behind(uint64(untold.after)))
	}
	return nil
}

// MissedBehind implements source.Rewinder.
func (r *run) MissedBehind(after api.Position) error {
	if m := r.source.missing.Load(); m != nil && after.Sequence < uint64(m.before) {
		return r.gapOf(m, after)
	}
	return nil
}

// noteMissing writes what is known to be missing, if the table does not say it.
func (r *run) noteMissing(ctx context.Context) {
	m := r.source.missing.Load()
	if m == nil || m == r.source.noted {
		return
	}
	c := &r.checkpoint
	err := c.exec(ctx, writeMissing, c.slot+missed, m.before.String(), c.system.String(), m.after.String()+" "+m.text)
	switch {
	case err == nil:
		r.source.noted = m
	case m != r.source.unnoted:
		r.source.unnoted = m
		r.logger.WarnContext(ctx, "what consumers have missed cannot be written yet: it is not told after a restart of the app",
			"missed", m.text, "error", err)
	}
}

// recallMissing finds out what the readers of this server have missed: what the engine knows is newer than what the table
// says.
func (r *run) recallMissing(ctx context.Context) error {
	if m := r.source.missing.Load(); m != nil && (m.system == system{} || m.system.id == r.system.id) {
		m := *m
		m.system = r.system
		r.replaceMissing(&m, r.source.noted == r.source.missing.Load())
		return nil
	}
	r.replaceMissing(nil, false)
	m, err := r.readMissing(ctx)
	if err != nil || m == nil {
		return err
	}
	belongs, _, err := r.system.within(ctx, r.conn, m.system, m.before)
	if err == nil && belongs && m.system.id == r.system.id {
		r.replaceMissing(m, true)
	}
	return err
}

func (r *run) replaceMissing(m *missing, noted bool) {
	r.source.missing.Store(m)
	r.source.noted = nil
	if m == nil {
		return
	}
	r.reaches(m.before)
	if noted {
		r.source.noted = m
	}
}

// readMissing returns what the table says, nil if it says nothing.
func (r *run) readMissing(ctx context.Context) (*missing, error) {
	c := &r.checkpoint
	if exists, err := c.exists(ctx); err != nil || !exists || r.unloaded != nil {
		return nil, err
	}
	var m missing
	var of, text string
	err := r.db.QueryRowContext(ctx, selectMissing, c.slot+missed).Scan(&m.before, &of, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // the comment says so
	}
	if err != nil {
		return nil, c.unread(ctx, err)
	}
	m.system = parseSystem(of)
	after, text, _ := strings.Cut(text, " ")
	m.text = text
	m.after, err = pglogrepl.ParseLSN(after)
	if err != nil { // another program has written it
		m.after, m.text = 0, "something has happened that no change tells"
	}
	return &m, nil
}
