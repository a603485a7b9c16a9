package cdc

import (
	"strconv"
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// Op is what a change says happened.
type Op string

// The operations.
const (
	OpInsert Op = "insert"
	OpUpdate Op = "update"
	OpDelete Op = "delete"
	// OpSnapshot is a row as of the beginning of the stream.
	OpSnapshot Op = "snapshot"
	// OpTruncate says that all rows of the table are gone.
	OpTruncate Op = "truncate"
	// OpSchema says that a table was created, altered or dropped.
	OpSchema Op = "schema"
	// OpBegin says that a snapshot begins: what the reader holds is void. It has no table, and neither has OpEnd.
	OpBegin Op = "begin"
	// OpEnd says that the snapshot is complete.
	OpEnd Op = "end"
)

// Ops returns the operations that a stream can select by StreamOptions.Ops.
func Ops() []Op { return []Op{OpInsert, OpUpdate, OpDelete, OpTruncate} }

// Change is one change of one row. It belongs to the receiver and is not changed after delivery; what it points
// to is shared between streams and must not be changed.
type Change struct {
	Op Op
	// Table is nil on OpBegin and OpEnd.
	Table *sqlapi.Table
	// Transaction is the transaction that made the change.
	Transaction *Transaction
	// Index counts the changes of the transaction from 0, those that the stream filters out included.
	Index int
	// Last is true on the last change of its transaction that this stream delivers.
	Last bool
	// Before and After are the old and the new row, parallel to Table.Columns; nil if there is none, as on OpTruncate,
	// OpSchema, OpBegin and OpEnd.
	Before, After []sqlapi.Value
	// KeyOnly says that Before holds the values of Table.Key alone: the server did not send the others, which are NULL.
	// It is what Postgres does for tables whose REPLICA IDENTITY is not FULL.
	KeyOnly bool
	// Unchanged lists indexes into Table.Columns of values that the server did not send, because the update has not
	// touched them: they are NULL in After. It is for large values on Postgres.
	Unchanged []int
	// OldRowID and NewRowID are the SQLite rowids before and after. On OpSnapshot it is 0 if Table.RowID is "".
	OldRowID, NewRowID int64
	// Schema says what happened to the table on OpSchema, nil otherwise.
	Schema *SchemaChange
}

// SchemaChange is a change of a table's schema. The Table of the change is its shape afterwards, or before it was
// dropped.
type SchemaChange struct {
	Action Action
	// SQL is the CREATE statement of the table as it is now, "" if it was dropped.
	SQL string
	// From is the name that the table had before it was renamed, "" if it was not.
	From string
}

// Action is what happened to a table.
type Action string

// The actions on tables.
const (
	Create Action = "create"
	Alter  Action = "alter"
	Drop   Action = "drop"
)

// Transaction describes a committed transaction. It is shared by all its changes.
type Transaction struct {
	// Source is the entry ID of the source.
	Source registry.ID
	// Engine is that of the source, as in SourceInfo.
	Engine string
	// Database is the name of the database: that on the server for Postgres, the entry ID of the database for SQLite.
	Database string
	// Generation changes when the source was rebuilt; it is the same for all streams of one run of a source.
	Generation string
	// Sequence is the position of the transaction in the log of its source.
	Sequence uint64
	// LSN is the position as users see it: a decimal sequence number for SQLite, X/Y for Postgres.
	LSN string
	// CommitLSN is where Postgres has written the commit, LSN being the position behind it; "" for SQLite.
	CommitLSN string
	// XID is the Postgres transaction ID, 0 for SQLite.
	XID uint32
	// CommittedAt is the time of the commit.
	CommittedAt time.Time
}

// Snapshot names the snapshot that a begin, a row or an end is of; it is "" on all other changes. A snapshot that begins
// anew may have other rows with the same cursors, and has another name.
func (c *Change) Snapshot() string {
	switch c.Op {
	case OpBegin, OpSnapshot, OpEnd:
		return strconv.FormatInt(c.Transaction.CommittedAt.UnixNano(), 36) // when it was begun
	default:
		return ""
	}
}

// ID identifies the transaction among all of its source, restarts included.
func (t *Transaction) ID() string { return t.Generation + ":" + t.LSN }

// Cursor returns the opaque position of the change. Cursors of one generation compare as strings in the order of
// delivery.
func (c *Change) Cursor() string { return string(c.AppendCursor(nil)) }

// AppendCursor appends the cursor to dst.
func (c *Change) AppendCursor(dst []byte) []byte {
	return c.Position().AppendCursor(dst, c.Transaction.Generation)
}

// Position returns where the change is in the log of its source. The last change of a snapshot stands for all of it.
func (c *Change) Position() Position {
	sequence := c.Transaction.Sequence
	switch {
	case c.Op == OpBegin:
		return SnapshotOf(sequence)
	case c.Op == OpEnd, c.Op == OpSnapshot && c.Last:
		return Behind(sequence)
	case c.Op == OpSnapshot:
		return Position{sequence, min(firstRow+1+c.Index, lastRow)}
	default:
		return Position{sequence, c.Index}
	}
}
