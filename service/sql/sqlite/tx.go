package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/api/errs"
)

// tx is the driver's transaction on a captured connection. If SQLite ends it because a statement failed, such as INSERT
// OR ROLLBACK, statements are refused until the caller ends it as well: they would commit one by one. See
// https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction.
type tx struct {
	conn     *conn
	inner    driver.Tx
	readOnly bool
	// ended says why SQLite has no transaction open any more, nil while it has.
	ended error
}

// BeginTx implements driver.ConnBeginTx. SQLite has no read-only transactions, but connections that refuse to write:
// https://www.sqlite.org/pragma.html#pragma_query_only.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	inner, err := run(c, controls, func() (driver.Tx, error) { return c.inner.BeginTx(ctx, opts) })
	if err != nil {
		return nil, err
	}
	t := &tx{conn: c, inner: inner, readOnly: opts.ReadOnly}
	if t.readOnly {
		if err := t.queryOnly(ctx, "ON"); err != nil {
			_, rollbackErr := run(c, controls, func() (struct{}, error) { return struct{}{}, inner.Rollback() })
			return nil, errors.Join(err, rollbackErr)
		}
	}
	c.tx = t
	return t, nil
}

func (t *tx) queryOnly(ctx context.Context, value string) (err error) {
	t.conn.authorizer.Suspend(func() { _, err = t.conn.inner.ExecContext(ctx, "PRAGMA query_only = "+value, nil) })
	return err
}

// check finds out whether the last statement, which may have failed with cause, has ended the transaction.
func (t *tx) check(cause error) {
	switch {
	case !t.conn.inner.AutoCommit():
	case cause == nil:
		t.ended = errs.New(errs.Invalid, "sqlite: the transaction was ended by one of its statements")
	default:
		kind := errs.KindOf(cause)
		if e, ok := errors.AsType[sqlite3.Error](cause); ok {
			kind = kindOf(e)
		}
		t.ended = errs.New(kind, "sqlite: the transaction was rolled back when a statement failed: %w", cause)
	}
}

// Commit implements driver.Tx.
func (t *tx) Commit() error { return t.end(t.inner.Commit, t.ended) }

// Rollback implements driver.Tx.
func (t *tx) Rollback() error { return t.end(t.inner.Rollback, nil) }

// end ends the transaction with f, or returns afterEnd if SQLite has ended it already.
func (t *tx) end(f func() error, afterEnd error) error {
	ended := t.ended
	t.conn.tx = nil
	if t.readOnly && !t.conn.db.connector.cfg.QueryOnly() && t.queryOnly(context.Background(), "OFF") != nil {
		t.conn.broken = true
	}
	if ended != nil {
		return afterEnd
	}
	_, err := run(t.conn, controls, func() (struct{}, error) { return struct{}{}, f() })
	return err
}
