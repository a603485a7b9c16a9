package postgres

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

// A subscription waits this long for the transactions that are open: the server can make a snapshot that fits into the
// sequence of changes only when those that have written are over.
const pinTimeout = 30 * time.Second

// pinError says why a snapshot could not begin; pinning is the context that bounds it, and ctx the one of the
// subscription.
func (r *run) pinError(ctx, pinning context.Context, err error) error {
	if pinning.Err() == nil {
		return classify(ctx, err)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	open, err := openTransactions(ctx, r.db)
	if err != nil || open == "" {
		open = "none any more"
	}
	return errs.New(errs.Unavailable, "the server could not begin a snapshot in %s: it waits for the transactions that are open, end these: %s", pinTimeout, open)
}

// snapshot reads tables as of one position, in one transaction on a connection of its own. It implements
// stream.Snapshot.
type snapshot struct {
	conn   *pgconn.PgConn
	header api.Transaction
	fetch  int
	// tables are those of all that have yet to be read; the first is being read if open is set.
	all, tables []selected
	open        bool
	// chunk is what was fetched and not returned yet.
	chunk [][][]byte
	index int
}

// selected is a table to be read.
type selected struct {
	*relation
	of    published
	query string
}

// pin begins a transaction that sees the database as of a position of the WAL, and returns that position.
func (r *run) pin(ctx context.Context) (*snapshot, pglogrepl.LSN, error) {
	exporter, err := r.endpoint.replication(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer hangUp(ctx, exporter) // the slot goes with it
	made, err := pglogrepl.CreateReplicationSlot(ctx, exporter, "wippy_snapshot_"+strconv.FormatInt(time.Now().UnixNano(), 36), plugin,
		pglogrepl.CreateReplicationSlotOptions{Temporary: true, Mode: pglogrepl.LogicalReplication, SnapshotAction: "EXPORT_SNAPSHOT"})
	if err != nil {
		return nil, 0, err
	}
	fence, err := pglogrepl.ParseLSN(made.ConsistentPoint)
	if err != nil {
		return nil, 0, err
	}
	conn, err := r.endpoint.plain(ctx)
	if err != nil {
		return nil, 0, err
	}
	s := &snapshot{conn: conn, fetch: r.source.config.SnapshotFetchSize, header: api.Transaction{
		Source: r.origin.source, Engine: api.EnginePostgres, Database: r.origin.database, Generation: r.origin.generation,
		Sequence: uint64(fence), LSN: fence.String(), CommittedAt: time.Now(),
	}}
	// A row that a policy hides from us would be missing; this way the server says so.
	_, err = conn.Exec(ctx, "SET row_security = off; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT "+literal(made.SnapshotName)).ReadAll()
	if err != nil {
		hangUp(ctx, conn)
		return nil, 0, err
	}
	return s, fence, nil
}

// selectTables finds out what the snapshot has to read.
func (s *snapshot) selectTables(ctx context.Context, r *run, selection *stream.Selection) error {
	published, err := r.published(ctx)
	if err != nil {
		return err
	}
	for _, p := range published {
		if !selection.Accepts(&sqlapi.Table{Schema: p.schema, Name: p.name}, api.OpSnapshot) {
			continue
		}
		m, err := p.message(ctx, r.db)
		if err != nil {
			return err
		}
		more, err := describer(r.db)(ctx, 0, m)
		if err != nil {
			return err
		}
		s.tables = append(s.tables, selected{newRelation(m, "", more), p, p.query(m)})
	}
	s.all = s.tables
	return nil
}

// Rows implements stream.Snapshot: what the server estimates, if it has looked at all tables, see
// https://www.postgresql.org/docs/current/catalog-pg-class.html.
func (s *snapshot) Rows(ctx context.Context) (all int64) {
	ids := make([]string, len(s.all))
	for i := range s.all {
		ids[i] = strconv.FormatUint(uint64(s.all[i].of.id), 10)
	}
	results, err := s.conn.Exec(ctx, "SELECT CASE WHEN min(reltuples) >= 0 THEN sum(reltuples)::bigint ELSE 0 END FROM pg_class WHERE oid IN ("+
		strings.Join(ids, ", ")+")").ReadAll()
	if err != nil {
		return 0 // the next row that is read says what is wrong
	}
	all, _ = strconv.ParseInt(string(results[0].Rows[0][0]), 10, 64)
	return all
}

// Next implements stream.Snapshot.
func (s *snapshot) Next(ctx context.Context, change *api.Change) error {
	for len(s.chunk) == 0 {
		if len(s.tables) == 0 {
			return io.EOF
		}
		if err := s.fill(ctx); err != nil {
			return classify(ctx, err)
		}
	}
	t, row := s.tables[0], s.chunk[0]
	s.chunk = s.chunk[1:]
	if len(row) != len(t.forms) {
		return fmt.Errorf("table %s.%s: a row has %d columns instead of %d", t.table.Schema, t.table.Name, len(row), len(t.forms))
	}
	for i, text := range row {
		v := sqlapi.Value{}
		if text != nil {
			var err error
			if v, err = t.forms[i].value(string(text)); err != nil {
				return err
			}
		}
		change.After = append(change.After, v)
	}
	change.Op, change.Table, change.Transaction, change.Index, change.Before = api.OpSnapshot, t.table, &s.header, s.index, nil
	s.index++
	if len(s.chunk) == 0 && !s.open {
		s.tables = s.tables[1:]
	}
	return nil
}

// fill fetches rows of the first table. When there are no more it closes the cursor.
func (s *snapshot) fill(ctx context.Context) error {
	if !s.open {
		there, err := s.declare(ctx)
		if err != nil {
			return err
		}
		if !there {
			s.tables = s.tables[1:]
			return nil
		}
		s.open = true
	}
	results, err := s.conn.Exec(ctx, "FETCH "+strconv.Itoa(s.fetch)+" FROM wippy").ReadAll()
	if err != nil {
		return err
	}
	s.chunk = results[0].Rows
	if len(s.chunk) == s.fetch {
		return nil
	}
	s.open = false
	if _, err := s.conn.Exec(ctx, "CLOSE wippy").ReadAll(); err != nil {
		return err
	}
	if len(s.chunk) == 0 {
		s.tables = s.tables[1:]
	}
	return nil
}

// declare opens a cursor on the first table, unless the table is younger than the snapshot.
func (s *snapshot) declare(ctx context.Context) (there bool, err error) {
	t := s.tables[0]
	exists, same, err := t.of.unchanged(ctx, s.conn)
	if err != nil || !exists {
		return false, err
	}
	if same {
		if _, err := s.conn.Exec(ctx, "DECLARE wippy NO SCROLL CURSOR FOR "+t.query).ReadAll(); err != nil {
			return false, t.changed(err)
		}
		// The cursor has locked the table: from now on it stays what it is.
		if _, same, err = t.of.unchanged(ctx, s.conn); err != nil {
			return false, err
		}
	}
	if !same {
		return false, errs.New(errs.Unavailable, "table %s.%s was rewritten, replaced, truncated or partitioned anew before the snapshot came to it: "+
			"its rows cannot be seen any more; resubscribe", t.table.Schema, t.table.Name)
	}
	return true, nil
}

// changed says so if err is because the table is not what it was when the snapshot began, which another snapshot cures.
func (t *selected) changed(err error) error {
	switch sqlstate.Code(err) {
	case "42703", "42P01", "3F000", "42704", "42883": // undefined_column, _table, schema, object (of a row filter), _function
		return errs.New(errs.Unavailable, "table %s.%s was altered before the snapshot came to it: %w; resubscribe", t.table.Schema, t.table.Name, err)
	default:
		return err
	}
}

// Transaction implements stream.Snapshot.
func (s *snapshot) Transaction() *api.Transaction { return &s.header }

// Close implements stream.Snapshot.
func (s *snapshot) Close() { hangUp(context.Background(), s.conn) }

// query reads the columns that the server would send.
func (p *published) query(m *pglogrepl.RelationMessage) string {
	columns := make([]string, len(m.Columns))
	for i, c := range m.Columns {
		columns[i] = quote(c.Name)
	}
	only, where := "", ""
	if p.kind == "r" {
		only = "ONLY " // tables that inherit are tables of their own
	}
	if p.filter != "" {
		where = " WHERE " + p.filter
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + only + p.quoted() + where
}
