package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/mattn/go-sqlite3"
)

// conn is the driver's connection, followed statement by statement. database/sql uses it from one goroutine at a
// time.
type conn struct {
	inner *sqlite3.SQLiteConn
	// follow is nil in a program built without capture.
	follow *follower
}

// Unwrap returns the driver's connection, for what database/sql does not offer; it is reached by sql.Conn.Raw. What
// is written through it is captured with the next statement that goes through the wrapper; a transaction that was
// opened by the wrapper must not be continued there, nor may its hooks be replaced: either ends all streams.
func (c *conn) Unwrap() *sqlite3.SQLiteConn {
	if c.follow != nil {
		c.follow.unwrapped = true
	}
	return c.inner
}

// run executes one statement of a class with what capture must do around it.
func run[T any](c *conn, what class, f func() (T, error)) (T, error) {
	if !c.follow.engaged() {
		return f()
	}
	c.follow.before(what)
	result, err := f()
	c.follow.after(what)
	return result, err
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if !c.follow.engaged() || isSingle(query) {
		return run(c, classOf(query), func() (driver.Result, error) { return c.inner.ExecContext(ctx, query, args) })
	}
	return c.execScript(ctx, query, args)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.follow.engaged() && !isSingle(query) {
		return c.queryScript(ctx, query, args)
	}
	what := classOf(query)
	inner, err := run(c, what, func() (driver.Rows, error) { return c.inner.QueryContext(ctx, query, args) })
	if err != nil {
		return nil, err
	}
	return newRows(c, what, inner, nil)
}

// PrepareContext implements driver.ConnPrepareContext. As with the bare driver, what follows the first statement is
// ignored.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	inner, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return &stmt{SQLiteStmt: inner, conn: c, what: classOf(query)}, nil
}

func (c *conn) prepare(ctx context.Context, query string) (*sqlite3.SQLiteStmt, error) {
	prepared, err := c.inner.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	inner, ok := prepared.(*sqlite3.SQLiteStmt)
	if !ok {
		return nil, fmt.Errorf("sqlite: prepare: the driver returned a %T", prepared)
	}
	return inner, nil
}

// Prepare implements driver.Conn.
func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

// BeginTx implements driver.ConnBeginTx.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	inner, err := run(c, controls, func() (driver.Tx, error) { return c.inner.BeginTx(ctx, opts) })
	if err != nil {
		return nil, err
	}
	return &tx{conn: c, inner: inner}, nil
}

// Begin implements driver.Conn.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// Ping implements driver.Pinger.
func (c *conn) Ping(ctx context.Context) error { return c.inner.Ping(ctx) }

// ResetSession implements driver.SessionResetter: what was written through Unwrap is taken over.
func (c *conn) ResetSession(context.Context) error {
	if c.follow.engaged() && c.follow.unwrapped {
		c.follow.after(controls)
	}
	return nil
}

// Close implements driver.Conn.
func (c *conn) Close() error {
	if c.follow != nil {
		c.follow.close()
	}
	return c.inner.Close()
}

// tx is the driver's transaction, followed.
type tx struct {
	conn  *conn
	inner driver.Tx
}

// Commit implements driver.Tx.
func (t *tx) Commit() error { return t.end(t.inner.Commit) }

// Rollback implements driver.Tx.
func (t *tx) Rollback() error { return t.end(t.inner.Rollback) }

func (t *tx) end(f func() error) error {
	_, err := run(t.conn, controls, func() (struct{}, error) { return struct{}{}, f() })
	return err
}
