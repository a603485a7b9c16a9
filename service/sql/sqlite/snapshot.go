package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// Snapshot implements sql.Beside of the API: a read transaction on a connection of its own, which begins while the
// writer's connection is held, so that it sees exactly what the sinks have been told about. Changes made through
// Unwrap are told about when the connection is taken from the pool.
func (db *DB) Snapshot(ctx context.Context, pinned func() error) (sqlapi.Snapshot, error) {
	s, err := db.snapshot(ctx, pinned)
	if err != nil {
		return nil, errs.Wrap(errs.KindOf(db.Classify(err)), fmt.Errorf("sqlite: snapshot of %q: %w", db.id, err))
	}
	return s, nil
}

func (db *DB) snapshot(ctx context.Context, pinned func() error) (*snapshot, error) {
	if db.connector.file == sqlapi.InMemory {
		return db.copyOfMemory(ctx, pinned)
	}
	reader, err := db.connector.openBeside("ro")
	if err != nil {
		return nil, db.whyLocked(ctx, err)
	}
	s := &snapshot{conn: reader}
	if err := s.requireWAL(); err != nil {
		return nil, errors.Join(db.whyLocked(ctx, err), s.Close())
	}
	err = db.holdWriter(ctx, func(*conn) error {
		if err := s.begin(ctx); err != nil {
			return err
		}
		return pinned()
	})
	if err != nil {
		return nil, errors.Join(db.whyLocked(ctx, err), s.Close())
	}
	return s, nil
}

// copyOfMemory returns a snapshot that is a copy. The writer waits meanwhile, and the copy needs as much memory as the
// database.
func (db *DB) copyOfMemory(ctx context.Context, pinned func() error) (*snapshot, error) {
	reader, err := openPlain(sqlapi.InMemory)
	if err != nil {
		return nil, err
	}
	s := &snapshot{conn: reader}
	err = db.holdWriter(ctx, func(writer *conn) error {
		if err := copyDatabase(reader, writer.inner); err != nil {
			return err
		}
		return pinned()
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// copyDatabase uses https://www.sqlite.org/backup.html.
func copyDatabase(to, from *sqlite3.SQLiteConn) error {
	backup, err := to.Backup("main", from, "main")
	if err != nil {
		return err
	}
	done, err := backup.Step(-1)
	if err == nil && !done {
		err = errs.New(errs.Unavailable, "copy the database: a statement that writes has not ended")
	}
	return errors.Join(err, backup.Finish())
}

// snapshot is a connection with a read transaction. It implements sql.Snapshot of the API.
type snapshot struct{ conn *sqlite3.SQLiteConn }

func (s *snapshot) requireWAL() error {
	mode := ""
	err := eachRow(s.conn, "PRAGMA main.journal_mode", func(row []driver.Value) { mode, _ = row[0].(string) })
	if err == nil && mode != "wal" {
		err = errs.New(errs.Invalid, "the journal mode is %s, in which reading holds up the writer: "+
			"a snapshot needs WAL, remove options.journal_mode", mode)
	}
	return err
}

// begin begins the read transaction. SQLite takes the read lock with the first read.
func (s *snapshot) begin(ctx context.Context) error {
	if _, err := s.conn.ExecContext(ctx, "BEGIN", nil); err != nil {
		return err
	}
	return eachRow(s.conn, "SELECT 1 FROM main.sqlite_schema LIMIT 1", func([]driver.Value) {})
}

// Tables implements sql.Snapshot of the API.
func (s *snapshot) Tables() ([]*sqlapi.Table, error) {
	var schema catalog
	if schema.read(s.conn); !schema.known {
		return nil, errs.New(errs.Unavailable, "sqlite: list tables: the schema cannot be read now")
	}
	var known shapes
	var tables []*sqlapi.Table
	for _, name := range slices.Sorted(maps.Keys(schema.tables)) {
		if strings.HasPrefix(lower(name), "sqlite_") {
			continue
		}
		found, err := known.read(s.conn, name, &schema)
		if err != nil {
			return nil, fmt.Errorf("sqlite: table %q: %w", name, err)
		}
		if found != nil {
			tables = append(tables, found.table)
		}
	}
	return tables, nil
}

// Rows implements sql.Snapshot of the API.
func (s *snapshot) Rows(table *sqlapi.Table) (sqlapi.SnapshotRows, error) {
	handle, err := handleOf(s.conn)
	if err != nil {
		return nil, err
	}
	scan, err := capture.OpenScan(handle, selectRows(table))
	if err != nil {
		return nil, fmt.Errorf("sqlite: table %q: %w", table.Name, err)
	}
	return &snapshotRows{scan: scan, of: &shape{table: table}, row: sqlapi.RowChange{Op: sqlapi.Insert, Table: table}}, nil
}

// Close implements sql.Snapshot of the API.
func (s *snapshot) Close() error { return s.conn.Close() }

// snapshotRows implements sql.SnapshotRows of the API.
type snapshotRows struct {
	scan *capture.Scan
	// batch is records that were read and not returned yet.
	batch []byte
	row   sqlapi.RowChange
	of    *shape
}

// batchSize is about how many bytes of rows are read at a time, some ten microseconds: from a call into C that takes longer
// than 20, Go's monitor takes the processor away, and as long as there is something to take it wakes up all the time, at the
// expense of whoever commits.
const batchSize = 2 << 10

// Next implements sql.SnapshotRows of the API.
func (r *snapshotRows) Next(values []sqlapi.Value) (row []sqlapi.Value, rowid int64, err error) {
	if len(r.batch) == 0 {
		if r.batch, err = r.scan.Next(batchSize); err != nil {
			return values, 0, fmt.Errorf("sqlite: table %q: %w", r.row.Table.Name, err)
		}
	}
	record, err := cutRecord(&r.batch)
	if err != nil {
		return values, 0, err
	}
	r.row.After = values
	err = decode(record, &r.row, r.of)
	return r.row.After, r.row.NewRowID, err
}

// Close implements sql.SnapshotRows of the API.
func (r *snapshotRows) Close() error {
	r.scan.Close()
	return nil
}
