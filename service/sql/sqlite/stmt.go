package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"slices"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// stmt is the driver's prepared statement on a captured connection.
type stmt struct {
	*sqlite3.SQLiteStmt
	conn *conn
	what class
	// text is kept of a statement that may change the schema.
	text string
	// returns means that it may return rows though it writes.
	returns bool
	// types are the declared types, kept because rows hide them from the driver.
	types []string
}

// ExecContext implements driver.StmtExecContext.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.settle(); err != nil {
		return nil, err
	}
	s.conn.session.about(s.what, s.text)
	return run(s.conn, s.what, func() (driver.Result, error) { return s.SQLiteStmt.ExecContext(ctx, args) })
}

// QueryContext implements driver.StmtQueryContext.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.settle(); err != nil {
		return nil, err
	}
	s.conn.session.about(s.what, s.text)
	if s.what == vacuums {
		return withoutRows(run(s.conn, s.what, func() (driver.Result, error) { return s.SQLiteStmt.ExecContext(ctx, args) }))
	}
	inner, err := run(s.conn, s.what, func() (driver.Rows, error) { return s.SQLiteStmt.QueryContext(ctx, args) })
	if err != nil {
		return nil, err
	}
	return newRows(s.conn, s.what, inner, s)
}

// settle takes over what an earlier execution left open. The driver does not reset a statement that returned a row
// to Exec, such as INSERT … RETURNING, before it is used again; resetting commits it, and the commit must not be
// taken for a part of the next execution.
func (s *stmt) settle() error {
	if !s.returns || !s.conn.session.engaged() || s.conn.session.state.Idle() || !capture.IsBusy(stmtHandleOf(s.SQLiteStmt)) {
		return nil
	}
	// The driver resets before it binds, and goes no further than a value that it cannot bind.
	_, err := s.SQLiteStmt.Exec([]driver.Value{unbindable{}}) //nolint:staticcheck // without a context it does not start a goroutine
	s.conn.session.after(s.what)
	if e, ok := errors.AsType[sqlite3.Error](err); ok {
		return e // of the commit
	}
	return nil
}

type unbindable struct{}

// Close implements driver.Stmt.
func (s *stmt) Close() error {
	err := s.SQLiteStmt.Close()
	s.conn.session.after(s.what)
	return err
}

// rows are the driver's rows, of an entry with values as they are stored. The session looks again when they are closed:
// a statement such as INSERT … RETURNING commits then.
type rows struct {
	*sqlite3.SQLiteRows
	conn *conn
	what class
	// types are the declared types that the driver does not see, nil if it does.
	types []string
	// owned is the statement of a script, closed with the rows.
	owned driver.Stmt
}

func newRows(c *conn, what class, inner driver.Rows, s *stmt) (driver.Rows, error) {
	sqliteRows, ok := inner.(*sqlite3.SQLiteRows)
	if !ok {
		return inner, nil
	}
	r := &rows{SQLiteRows: sqliteRows, conn: c, what: what}
	if c.db.connector.program == nil {
		r.hideTypes(s)
	}
	return r, nil
}

// hideTypes blanks the declared types that the driver goes by when it turns integers and text into time.Time and
// bool. The driver shares the slice between all rows of one prepared statement.
func (r *rows) hideTypes(s *stmt) {
	types := r.DeclTypes()
	if s != nil && len(s.types) == len(types) && !slices.ContainsFunc(types, func(t string) bool { return t != "" }) {
		r.types = s.types
		return
	}
	r.types = slices.Clone(types)
	clear(types)
	if s != nil {
		s.types = r.types
	}
}

// ColumnTypeDatabaseTypeName implements driver.RowsColumnTypeDatabaseTypeName.
func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	if r.types == nil {
		return r.SQLiteRows.ColumnTypeDatabaseTypeName(i)
	}
	return r.types[i]
}

// Next implements driver.Rows. What was refused only when it ran is explained, as VACUUM INTO is.
func (r *rows) Next(dest []driver.Value) error {
	err := r.SQLiteRows.Next(dest)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return r.conn.explain(err)
}

// Close implements driver.Rows.
func (r *rows) Close() error {
	err := r.SQLiteRows.Close()
	if r.owned != nil {
		if closeErr := r.owned.Close(); err == nil {
			err = closeErr
		}
	}
	r.conn.session.after(r.what)
	if r.conn.tx != nil && r.what >= writes {
		r.conn.tx.check(err)
	}
	return err
}
