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
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// Snapshot begins to read the database as of one moment. It takes the writer's connection, which may have to be waited
// for until ctx is done, and calls pinned while it has it: what has committed before is in the snapshot and was handed
// to the sinks, changes made through Unwrap included, and nothing commits until pinned has returned. The writer is held
// up for that moment only, but a database in memory, which has no other connection, is copied meanwhile.
//
// The error is of kind Invalid if the database is not in WAL mode, where reading would hold up the writer.
func (db *DB) Snapshot(ctx context.Context, pinned func()) (*Snapshot, error) {
	s, err := db.snapshot(ctx, pinned)
	if err != nil {
		return nil, errs.Wrap(errs.KindOf(db.Classify(err)), fmt.Errorf("sqlite: snapshot of %q: %w", db.id, err))
	}
	return s, nil
}

func (db *DB) snapshot(ctx context.Context, pinned func()) (*Snapshot, error) {
	if db.connector.file == sqlapi.InMemory {
		return db.copyOfMemory(ctx, pinned)
	}
	reader, err := db.connector.openSide("ro")
	if err != nil {
		return nil, db.whyLocked(ctx, err)
	}
	s := &Snapshot{conn: reader}
	if err := s.requireWAL(); err != nil {
		return nil, errors.Join(db.whyLocked(ctx, err), s.Close())
	}
	err = db.holdWriter(ctx, func(*conn) error {
		if err := s.begin(ctx); err != nil {
			return err
		}
		pinned()
		return nil
	})
	if err != nil {
		return nil, errors.Join(db.whyLocked(ctx, err), s.Close())
	}
	return s, nil
}

// copyOfMemory returns a snapshot that is a copy. The writer waits meanwhile, and the copy needs as much memory as the
// database.
func (db *DB) copyOfMemory(ctx context.Context, pinned func()) (*Snapshot, error) {
	reader, err := openPlain(sqlapi.InMemory)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{conn: reader}
	err = db.holdWriter(ctx, func(writer *conn) error {
		if err := copyDatabase(reader, writer.inner); err != nil {
			return err
		}
		pinned()
		return nil
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

// Snapshot is the content of a database as of one moment: a read transaction on a connection of its own. It is used by
// one goroutine at a time. While it is open SQLite keeps all that is written later in the write-ahead log.
type Snapshot struct{ conn *sqlite3.SQLiteConn }

func (s *Snapshot) requireWAL() error {
	mode := ""
	err := eachRow(s.conn, "PRAGMA main.journal_mode", func(row []driver.Value) { mode, _ = row[0].(string) })
	if err == nil && mode != "wal" {
		err = errs.New(errs.Invalid, "the journal mode is %s, in which reading holds up the writer: "+
			"a snapshot needs WAL, remove options.journal_mode", mode)
	}
	return err
}

// begin begins the read transaction. SQLite takes the read lock with the first read.
func (s *Snapshot) begin(ctx context.Context) error {
	if _, err := s.conn.ExecContext(ctx, "BEGIN", nil); err != nil {
		return err
	}
	return eachRow(s.conn, "SELECT 1 FROM main.sqlite_schema LIMIT 1", func([]driver.Value) {})
}

// Tables returns the tables whose changes can be captured, ordered by name: ordinary ones, without SQLite's own
// and the shadow tables of virtual tables.
func (s *Snapshot) Tables() ([]*Shape, error) {
	var schema catalog
	if schema.read(s.conn); !schema.known {
		return nil, errs.New(errs.Unavailable, "sqlite: list tables: the schema cannot be read now")
	}
	var known shapes
	var tables []*Shape
	for _, name := range slices.Sorted(maps.Keys(schema.tables)) {
		if strings.HasPrefix(lower(name), "sqlite_") {
			continue
		}
		found, err := known.read(s.conn, name, &schema)
		if err != nil {
			return nil, fmt.Errorf("sqlite: table %q: %w", name, err)
		}
		if found != nil {
			tables = append(tables, found)
		}
	}
	return tables, nil
}

// Rows returns a reader of all rows of one of Tables, in the order in which they are stored. One at a time may be open.
func (s *Snapshot) Rows(of *Shape) (*SnapshotRows, error) {
	handle, err := handleOf(s.conn)
	if err != nil {
		return nil, err
	}
	scan, err := capture.OpenScan(handle, selectRows(of.table))
	if err != nil {
		return nil, fmt.Errorf("sqlite: table %q: %w", of.table.Name, err)
	}
	return &SnapshotRows{scan: scan, of: of}, nil
}

// Count returns how many rows one of Tables has, also while they are read. SQLite looks through the smallest index for that.
func (s *Snapshot) Count(ctx context.Context, of *Shape) (n int64, err error) {
	rows, err := s.conn.QueryContext(ctx, "SELECT count(*) FROM main."+quote(of.table.Name), nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, 1)
	if err := rows.Next(row); err != nil {
		return 0, err
	}
	n, _ = row[0].(int64)
	return n, nil
}

// Close releases the snapshot.
func (s *Snapshot) Close() error { return s.conn.Close() }

// SnapshotRows reads the rows of a table, without holding more than a few at a time.
type SnapshotRows struct {
	scan *capture.Scan
	// batch is records that were read and not returned yet.
	batch []byte
	of    *Shape
}

// batchSize is about how many bytes of rows are read at a time, some ten microseconds: from a call into C that takes
// longer than 20, Go's monitor takes the processor away, and as long as there is something to take it wakes up all the
// time, at the expense of the connection that commits.
const batchSize = 2 << 10

// Next reads the next row into change, as Decode reads one that is inserted. It returns io.EOF after the last row.
func (r *SnapshotRows) Next(change *api.Change) (err error) {
	if len(r.batch) == 0 {
		if r.batch, err = r.scan.Next(batchSize); err != nil {
			return fmt.Errorf("sqlite: table %q: %w", r.of.table.Name, err)
		}
	}
	record, err := cutRecord(&r.batch)
	if err != nil {
		return err
	}
	return r.of.Decode(record, change)
}

// Close ends the reading.
func (r *SnapshotRows) Close() error {
	r.scan.Close()
	return nil
}
