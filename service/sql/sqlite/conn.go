package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// conn is the driver's connection; the capture session looks at each of its statements. database/sql uses it from one
// goroutine at a time.
type conn struct {
	db    *DB
	inner *sqlite3.SQLiteConn
	// session is nil in a program built without capture.
	session *captureSession
	// tx is the transaction begun by BeginTx, nil if there is none.
	tx *tx
	// authorizer refuses what the entry does not allow.
	authorizer *capture.Authorizer
	// broken means that the connection cannot be given back to the pool.
	broken bool
}

// Unwrap returns the driver's connection, for what database/sql does not offer; it is reached by sql.Conn.Raw. What
// is written through it is captured with the next statement that goes through the wrapper; a transaction that was
// opened by the wrapper must not be continued there, nor may its hooks be replaced: either ends all streams.
func (c *conn) Unwrap() *sqlite3.SQLiteConn {
	if c.session != nil {
		c.session.unwrapped = true
	}
	return c.inner
}

// run executes one statement of a class with what capture must do around it.
func run[T any](c *conn, what class, f func() (T, error)) (T, error) {
	return runAs(c, what, c.session.engaged(), f)
}

// runAs is run for a caller that has asked already whether the session is engaged.
func runAs[T any](c *conn, what class, engaged bool, f func() (T, error)) (T, error) {
	var none T
	c.db.gate.RLock()
	defer c.db.gate.RUnlock()
	if c.db.shut && c.db.connector.same.abandoned.Load() {
		return none, c.db.connector.same.check(c.db.connector.file)
	}
	if c.db.shut {
		return none, errs.New(errs.Unavailable, "sqlite: database %q is closed", c.db.id)
	}
	if c.tx != nil && c.tx.ended != nil {
		return none, c.tx.ended
	}
	if engaged {
		c.session.before(what)
	}
	result, err := f()
	err = c.explain(err)
	if engaged {
		c.session.failed = err != nil
		c.session.after(what)
	}
	if c.tx != nil && (err != nil || what == controls || what == pragmas) {
		c.tx.check(err)
	}
	return result, err
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	engaged := c.session.engaged()
	if !engaged || isSingle(query) {
		what := classOf(query)
		c.session.about(what, query)
		return runAs(c, what, engaged, func() (driver.Result, error) { return c.inner.ExecContext(ctx, query, args) })
	}
	return c.execScript(ctx, query, args)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	engaged := c.session.engaged()
	if engaged && !isSingle(query) {
		return c.queryScript(ctx, query, args)
	}
	what := classOf(query)
	c.session.about(what, query)
	if what == vacuums {
		return withoutRows(runAs(c, what, engaged, func() (driver.Result, error) { return c.inner.ExecContext(ctx, query, args) }))
	}
	inner, err := runAs(c, what, engaged, func() (driver.Rows, error) { return c.inner.QueryContext(ctx, query, args) })
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
	what := classOf(query)
	return &stmt{SQLiteStmt: inner, conn: c, what: what, text: textOf(what, query), returns: what == writes && mentionsReturning(query)}, nil
}

func (c *conn) prepare(ctx context.Context, query string) (*sqlite3.SQLiteStmt, error) {
	prepared, err := c.inner.PrepareContext(ctx, query)
	if err != nil {
		return nil, c.explain(err)
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

// Begin implements driver.Conn.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// Ping implements driver.Pinger.
func (c *conn) Ping(ctx context.Context) error { return c.inner.Ping(ctx) }

// ResetSession implements driver.SessionResetter: what was written through Unwrap is taken over, and a transaction
// that a BEGIN has left open on the pool is rolled back, because it cannot be told whose the next statement is.
func (c *conn) ResetSession(ctx context.Context) error {
	if c.session.engaged() && c.session.unwrapped {
		c.session.after(controls)
	}
	if c.inner.AutoCommit() {
		return nil
	}
	_, err := run(c, controls, func() (driver.Result, error) { return c.inner.ExecContext(ctx, "ROLLBACK", nil) })
	if err != nil {
		return driver.ErrBadConn
	}
	return nil
}

// IsValid implements driver.Validator.
func (c *conn) IsValid() bool { return !c.broken }

// Close implements driver.Conn.
func (c *conn) Close() error {
	var log *durable
	if c.session != nil {
		c.db.endWatch(c.session)
		log = c.session.durable
		c.session.close()
	}
	if c.authorizer != nil {
		c.authorizer.Close()
		c.authorizer = nil
	}
	err := c.inner.Close()
	if log != nil && err == nil {
		err = log.left()
	}
	return err
}
