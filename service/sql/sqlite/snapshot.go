package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
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
	reader, err := openBeside(db.connector.file, "ro")
	if err != nil {
		return nil, err
	}
	s := &snapshot{conn: reader}
	if err := s.requireWAL(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	err = db.holdWriter(ctx, func(*conn) error {
		if err := s.begin(ctx); err != nil {
			return err
		}
		return pinned()
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
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
	var names []string
	err := eachRow(s.conn, "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0", func(row []driver.Value) {
		if name, ok := row[0].(string); ok && !strings.HasPrefix(strings.ToLower(name), "sqlite_") {
			names = append(names, name)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("sqlite: list tables: %w", err)
	}
	slices.Sort(names)
	var known shapes
	var tables []*sqlapi.Table
	for _, name := range names {
		found, err := known.read(s.conn, name)
		if err != nil {
			return nil, fmt.Errorf("sqlite: table %q: %w", name, err)
		}
		if found != nil {
			tables = append(tables, found.table)
		}
	}
	return tables, nil
}

// Rows implements sql.Snapshot of the API. No index is used, so that rows come in the order in which they are stored.
func (s *snapshot) Rows(table *sqlapi.Table) (sqlapi.SnapshotRows, error) {
	opened, err := s.conn.QueryContext(context.Background(), selectStored(table), nil)
	if err != nil {
		return nil, fmt.Errorf("sqlite: table %q: %w", table.Name, err)
	}
	rows, ok := opened.(*sqlite3.SQLiteRows)
	if !ok {
		return nil, errors.Join(fmt.Errorf("sqlite: table %q: the driver returned a %T", table.Name, opened), opened.Close())
	}
	clear(rows.DeclTypes()) // by which the driver would convert values
	r := &snapshotRows{rows: rows, table: table, row: make([]driver.Value, len(rows.Columns()))}
	r.values = r.row
	if table.HasRowID {
		r.values = r.row[1:]
	}
	return r, nil
}

// selectStored returns the query for all rows of a table, the rowid first if there is one.
func selectStored(table *sqlapi.Table) string {
	if table.HasRowID {
		query, _ := strings.CutSuffix(selectRows(table), " ORDER BY 1")
		return query + " NOT INDEXED"
	}
	names := make([]string, len(table.Columns))
	for i, column := range table.Columns {
		names[i] = quote(column.Name)
	}
	return "SELECT " + strings.Join(names, ", ") + " FROM main." + quote(table.Name) + " NOT INDEXED"
}

// Close implements sql.Snapshot of the API.
func (s *snapshot) Close() error { return s.conn.Close() }

// snapshotRows implements sql.SnapshotRows of the API.
type snapshotRows struct {
	rows  *sqlite3.SQLiteRows
	table *sqlapi.Table
	// row is what the driver fills, values its part behind the rowid.
	row, values []driver.Value
}

// Next implements sql.SnapshotRows of the API.
func (r *snapshotRows) Next(values []sqlapi.Value) (row []sqlapi.Value, rowid int64, err error) {
	if err := r.rows.Next(r.row); err != nil {
		return values, 0, err
	}
	if r.table.HasRowID {
		rowid, _ = r.row[0].(int64)
	}
	for _, v := range r.values {
		value, err := valueOf(v)
		if err != nil {
			return values, 0, fmt.Errorf("sqlite: table %q: %w", r.table.Name, err)
		}
		values = append(values, value)
	}
	return values, rowid, nil
}

// valueOf takes over a value that the driver has made for this row alone.
func valueOf(v driver.Value) (sqlapi.Value, error) {
	switch v := v.(type) {
	case nil:
		return sqlapi.Value{}, nil
	case int64:
		return sqlapi.IntegerValue(v), nil
	case float64:
		return sqlapi.RealValue(v), nil
	case string:
		return sqlapi.TextValue(v), nil
	case []byte:
		return sqlapi.BlobValue(unsafe.String(unsafe.SliceData(v), len(v))), nil //nolint:gosec // nobody else has v
	default:
		return sqlapi.Value{}, fmt.Errorf("the driver returned a %T", v)
	}
}

// Close implements sql.SnapshotRows of the API.
func (r *snapshotRows) Close() error { return r.rows.Close() }
