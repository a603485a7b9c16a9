package sql

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
