package sql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"sync"

	api "github.com/wippy-cdc/runtime/api/service/sql"
)

// beginTx begins a transaction. SQLite has no read-only transactions, but connections that refuse to write: one that
// is asked for keeps its connection to itself until both have ended.
// See https://www.sqlite.org/pragma.html#pragma_query_only.
func beginTx(ctx context.Context, db api.DB, opts *sql.TxOptions) (openTx, error) {
	if db.Type() != "sqlite" || !opts.ReadOnly {
		return db.Pool().BeginTx(ctx, opts)
	}
	conn, err := db.Pool().Conn(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, opts)
	if err == nil {
		_, err = tx.ExecContext(ctx, "PRAGMA query_only = ON")
	}
	t := &readOnlyTx{Tx: tx, giveBack: sync.OnceFunc(func() { makeWritable(context.WithoutCancel(ctx), conn) })}
	if err != nil {
		if tx != nil {
			_ = tx.Rollback() // it has not begun to matter
		}
		t.giveBack()
		return nil, err
	}
	return t, nil
}

// readOnlyTx is a transaction whose connection goes back to the pool when it ends.
type readOnlyTx struct {
	*sql.Tx
	giveBack func()
}

// Commit ends the transaction.
func (t *readOnlyTx) Commit() error {
	defer t.giveBack()
	return t.Tx.Commit()
}

// Rollback ends the transaction.
func (t *readOnlyTx) Rollback() error {
	defer t.giveBack()
	return t.Tx.Rollback()
}

// makeWritable gives conn back to the pool, or ends it if it cannot be made writable again.
func makeWritable(ctx context.Context, conn *sql.Conn) {
	if _, err := conn.ExecContext(ctx, "PRAGMA query_only = OFF"); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // which is how a pool is told to drop it
	}
	_ = conn.Close() // it is the pool's already if it was dropped
}
