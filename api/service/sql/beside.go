package sql

import (
	"context"
	"database/sql"
)

// Beside is what a database offers beside its one writer connection.
type Beside interface {
	// Snapshot begins to read the database as of one moment. It takes the writer's connection, which may have to be
	// waited for until ctx is done, and calls pinned while it has it: what has committed before is in the snapshot and was
	// handed to the sinks, and nothing commits until pinned has returned. The writer is held up for that moment only,
	// but a database in memory, which has no other connection, is copied meanwhile. An error of pinned is returned.
	//
	// The error is of kind Invalid if the database is not in WAL mode, where reading would hold up the writer.
	Snapshot(ctx context.Context, pinned func() error) (Snapshot, error)
	// Aside calls f with a connection whose commits are not captured, while no transaction of the writer is open, so
	// that neither is in the other's way. It waits for the writer, and f for other processes, until ctx is done. A
	// database in memory has no such connection: the error is ErrInMemory.
	Aside(ctx context.Context, f func(ctx context.Context, connection *sql.DB) error) error
	// WALBytes returns the size of the write-ahead log, false if there is none.
	WALBytes() (size int64, ok bool)
}

// Snapshot is the content of a database as of one moment. It is used by one goroutine at a time. While it is open
// SQLite keeps all that is written later in the write-ahead log.
type Snapshot interface {
	// Tables returns the tables whose changes can be captured, ordered by name: ordinary ones, without SQLite's own
	// and the shadow tables of virtual tables.
	Tables() ([]*Table, error)
	// Rows returns a reader of all rows of one of Tables, in the order in which they are stored. One at a time may be
	// open.
	Rows(table *Table) (SnapshotRows, error)
	// Close releases the snapshot.
	Close() error
}

// SnapshotRows reads the rows of a table, without holding more than one at a time.
type SnapshotRows interface {
	// Next appends the values of the next row, parallel to the columns of the table, to values, and returns them with
	// the rowid, which is 0 on WITHOUT ROWID tables. It returns io.EOF after the last row.
	Next(values []Value) (row []Value, rowid int64, err error)
	// Close ends the reading.
	Close() error
}
