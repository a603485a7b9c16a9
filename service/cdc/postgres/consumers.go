package postgres

import (
	"context"
	"database/sql"
	"strconv"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/consumer"
)

// A consumer is a row of the table of checkpoints: its name behind that of the slot, and the index of the change that
// was acknowledged within the transaction that ends at lsn.
const (
	consumers       = "/consumer/"
	selectConsumers = `SELECT substr(slot, length($1::text) + 1), lsn, coalesce(to_jsonb(o)->>'system', ''),
		(to_jsonb(o)->>'change')::int, updated_at
	FROM ` + api.OffsetsTable + ` AS o WHERE starts_with(slot, $1)`
	countConsumers = `SELECT count(*) FROM ` + api.OffsetsTable + ` WHERE starts_with(slot, $1)`
	writeConsumers = `INSERT INTO ` + api.OffsetsTable + ` (slot, lsn, change, updated_at, system)
	SELECT $1::text || name, lsn::pg_lsn, change::int, at::timestamptz, $2
	FROM unnest($3::text[], $4::text[], $5::text[], $6::text[]) AS saved (name, lsn, change, at)
	ON CONFLICT (slot) DO UPDATE SET lsn = excluded.lsn, change = excluded.change, updated_at = excluded.updated_at, system = excluded.system`
	deleteConsumer  = `DELETE FROM ` + api.OffsetsTable + ` WHERE slot = $1`
	deleteConsumers = `DELETE FROM ` + api.OffsetsTable + ` WHERE starts_with(slot, $1)`
	loseConsumers   = `UPDATE ` + api.OffsetsTable + ` SET system = NULL WHERE starts_with(slot, $1)`
)

// loseConsumers notes that the slot no longer has what consumers have yet to acknowledge.
func (c *checkpoint) loseConsumers(ctx context.Context) error {
	exists, err := c.exists(ctx)
	if err != nil || !exists {
		return err
	}
	n := 0
	if err := c.db.QueryRowContext(ctx, countConsumers, c.slot+consumers).Scan(&n); err != nil || n == 0 {
		return c.unread(ctx, err)
	}
	_, err = c.db.ExecContext(ctx, loseConsumers, c.slot+consumers)
	return c.about(ctx, "write", err)
}

// consumerStore keeps the positions of consumers. It implements consumer.Store.
type consumerStore struct{ run *run }

// Consumers implements source.Session.
func (r *run) Consumers() (consumer.Store, error) {
	if r.source.config.Temporary {
		return nil, errs.New(errs.Invalid, "the slot goes with its connection, so there are no consumers: remove temporary: true")
	}
	return consumerStore{r}, nil
}

// Load implements consumer.Store.
func (s consumerStore) Load(ctx context.Context) ([]consumer.State, error) {
	c := &s.run.checkpoint
	exists, err := c.exists(ctx)
	if err != nil {
		return nil, err
	}
	var all []consumer.State
	if exists {
		if all, err = s.read(ctx); err != nil {
			return nil, c.unread(ctx, err)
		}
	}
	if len(all) == 0 {
		return nil, s.run.lookElsewhere(ctx, exists)
	}
	for i := range all {
		if all[i].Generation, err = s.generationOf(ctx, &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// read returns what the table has. The generation is what it says of the system.
func (s consumerStore) read(ctx context.Context) ([]consumer.State, error) {
	rows, err := s.run.db.QueryContext(ctx, selectConsumers, s.run.checkpoint.slot+consumers)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var all []consumer.State
	for rows.Next() {
		var one consumer.State
		var lsn pglogrepl.LSN
		var change sql.NullInt32
		if err := rows.Scan(&one.Name, &lsn, &one.Generation, &change, &one.AckedAt); err != nil {
			return nil, err
		}
		one.Position = api.Behind(uint64(lsn))
		if change.Valid {
			one.Position.Index = int(change.Int32)
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// generationOf returns the generation that a position counts in: that of the source if the server has come from there.
func (s consumerStore) generationOf(ctx context.Context, one *consumer.State) (string, error) {
	r, of := s.run, parseSystem(one.Generation)
	if of == (system{}) || of.id != r.system.id {
		return "", nil
	}
	belongs, _, err := r.system.within(ctx, r.conn, of, pglogrepl.LSN(one.Position.Sequence))
	if err != nil || !belongs {
		return of.generation(), err
	}
	return r.origin.generation, nil
}

// Save implements consumer.Store.
func (s consumerStore) Save(ctx context.Context, changed []consumer.State) error {
	var names, lsns, indexes, times []string
	for _, one := range changed {
		names = append(names, one.Name)
		lsns = append(lsns, pglogrepl.LSN(one.Position.Sequence).String())
		indexes = append(indexes, strconv.Itoa(one.Position.Index))
		times = append(times, one.AckedAt.UTC().Format(time.RFC3339Nano))
	}
	c := &s.run.checkpoint
	return c.exec(ctx, writeConsumers, c.slot+consumers, c.system.String(), names, lsns, indexes, times)
}

// Delete implements consumer.Store.
func (s consumerStore) Delete(ctx context.Context, name string) error {
	c := &s.run.checkpoint
	return c.remove(ctx, deleteConsumer, c.slot+consumers+name)
}

// slowest returns the position behind which a consumer needs everything, and its name; unlimited if none does.
func (r *run) slowest() (floor pglogrepl.LSN, name string) {
	if set := r.running.Consumers(); set != nil {
		if sequence, name, ok := set.Slowest(); ok {
			return pglogrepl.LSN(sequence), name
		}
	}
	return unlimited, ""
}

// consumed reports whether there are consumers.
func (r *run) consumed() bool {
	set := r.running.Consumers()
	return set != nil && set.Any()
}

// Newest implements source.Session. While a source holds, a stream begins with what it has held.
func (r *run) Newest() api.Position {
	if r.source.config.OnIdle != discard && !r.Watched() {
		confirmed, _ := r.positions.now()
		return api.Behind(uint64(confirmed))
	}
	return api.Behind(uint64(r.positions.received()))
}

// Ahead implements source.Session.
func (r *run) Ahead(p api.Position) bool { return p.Sequence > r.Latest().Sequence }

// Latest implements source.Session.
func (r *run) Latest() api.Position { return api.Behind(max(r.walEnd.Load(), r.newest.Load())) }

// Lag implements source.Session: what the server has written since, of other tables and databases too.
func (r *run) Lag(p api.Position) (bytes, transactions int64) {
	end := r.Latest().Sequence
	return int64(max(end, p.Sequence) - p.Sequence), -1 //nolint:gosec // no WAL is that long
}

// reaches notes how far the WAL of the server reaches.
func (r *run) reaches(end pglogrepl.LSN) {
	for known := r.walEnd.Load(); uint64(end) > known; known = r.walEnd.Load() {
		if r.walEnd.CompareAndSwap(known, uint64(end)) {
			return
		}
	}
}

// warnOfConsumer says which consumer makes the server keep WAL, and reports whether one does.
func (r *run) warnOfConsumer(ctx context.Context, retained int64) bool {
	floor, name := r.slowest()
	if name == "" || retained <= heldBack {
		return false
	}
	lag, _ := r.Lag(api.Behind(uint64(floor)))
	if lag <= heldBack {
		return false
	}
	r.logger.WarnContext(ctx, "a consumer has not acknowledged what the server keeps for the slot: start what reads it, "+
		"or end it with cdc.forget",
		"slot", r.source.config.SlotName, "consumer", name, "behind", unit.Size(lag).String(), "retained", unit.Size(retained).String())
	return true
}
