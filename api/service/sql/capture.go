package sql

import (
	"context"
	"time"
)

// Capturer is a DB whose writer connection captures committed changes, and which can be read and written beside it.
type Capturer interface {
	DB
	Beside
	// Attach hands every transaction to sink that begins after Attach has returned, until the function returned
	// is called. It waits for a transaction that is open now, until ctx is done. The error is of kind Invalid if
	// the program was built without capture. Several sinks may be attached; each gets the changes of all tables
	// that any of them asked for.
	Attach(ctx context.Context, sink Sink) (detach func(), err error)
}

// Sink receives what a writer commits. All methods are called one at a time, on the goroutine that runs the
// writer's statement: they must return at once, take no lock that is held for long, and not use the database.
type Sink interface {
	// Tables names the tables to capture, bare or qualified with main, in any case; nil means all. It is called
	// once, by Attach.
	Tables() []string
	// Committed is called after the commit of each transaction that changed rows, in commit order.
	Committed(tx Transaction)
	// Lost is called when changes of a committed transaction could not be captured; err says why.
	Lost(err error)
	// Closed is called once, when the database closes; nothing is called after it, nor after detach.
	Closed()
}

// Transaction is the changes of one committed transaction. It is immutable and may be read from any goroutine,
// by any number of readers at once.
type Transaction interface {
	// CommittedAt is when the commit was seen.
	CommittedAt() time.Time
	// Size is the memory that the transaction holds, in bytes, along with Spilled.
	Size() int64
	// Spilled is how much of it is in a temporary file instead.
	Spilled() int64
	// Touches reports whether filter accepts one of the first few changes, or whether there are more. If not, passed counts
	// all changes.
	Touches(filter RowFilter) (touches bool, passed Tally)
	// Rows returns a reader at the first change, of those changes that filter accepts; nil accepts all.
	Rows(filter RowFilter) RowReader
}

// Packable is a Transaction that can be taken apart, kept elsewhere, and put together again.
type Packable interface {
	Transaction
	// Records returns what the transaction holds in memory, which must not be changed.
	Records() []byte
	// Like reports whether the records of both can be put together with either.
	Like(other Transaction) bool
	// With returns a transaction like this one that was committed at that time and has other records. It keeps them.
	With(records []byte, at time.Time) Transaction
}

// RowFilter decides by table and operation. A reader asks it once for each table and operation and remembers
// the answer.
type RowFilter func(table *Table, op Op) bool

// RowReader reads the changes of a transaction in execution order. It is used by one goroutine at a time.
type RowReader interface {
	// Next reads the next change into row, appending its values to row.Before[:0] and row.After[:0], so that
	// the caller decides about their memory. It returns io.EOF after the last change.
	Next(row *RowChange) error
	// Passed counts the changes that Next has passed, those that the filter refused included.
	Passed() Tally
	// Close releases the reader. It does not affect the transaction.
	Close()
}

// Op is what happened to a row.
type Op uint8

// The operations on rows.
const (
	Insert Op = iota + 1
	Update
	Delete
	// Truncate says that all rows of the table are gone, because it was dropped.
	Truncate
	// Schema says that the table was created, altered or dropped.
	Schema
)

// Tally counts changes by operation.
type Tally [Schema + 1]int

// String returns insert, update, delete, truncate or schema.
func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Truncate:
		return "truncate"
	case Schema:
		return "schema"
	default:
		return "unknown"
	}
}

// RowChange is one change of one row, or of one table.
type RowChange struct {
	Op    Op
	Table *Table
	// Index counts the changes of the transaction from 0, those that the filter refused included.
	Index int
	// OldRowID and NewRowID are the rowids before and after; both are 0 on WITHOUT ROWID tables.
	OldRowID, NewRowID int64
	// Before and After are the values parallel to Table.Columns; empty on insert and delete respectively.
	Before, After []Value
	// Reshape says what happened to the table on Schema, nil otherwise.
	Reshape *Reshape
}

// Reshape is a change of a table's schema. Table is its shape afterwards, or before it was dropped.
type Reshape struct {
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

// Table is the shape of a table at the time of a change. It is immutable and shared by all changes made while
// the shape was the same, so that pointers can be compared.
type Table struct {
	// Schema is the database name, always main on SQLite.
	Schema string
	Name   string
	// Columns lists the stored columns in order; virtual generated columns are left out.
	Columns []Column
	// Key lists indexes into Columns of the declared primary key, in key order. It is empty for a table without one,
	// and for a table whose rows cannot always be told apart: its primary key allows NULL, and RowID is "".
	Key []int
	// HasRowID is false for WITHOUT ROWID tables, and on Postgres.
	HasRowID bool
	// RowID is the name by which statements reach the rowid: rowid, or _rowid_ or oid if a column has that name. It is
	// "" without a rowid, and if columns hide all three names; a column that is the rowid itself counts as one more.
	RowID string
}

// Column is one column of a Table.
type Column struct {
	Name string
	// Type is the declared type as written, "" if none.
	Type string
}
