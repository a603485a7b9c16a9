package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// Readers returns a pool of connections that read the file of the database and cannot write. They do not wait for the
// writer, nor it for them: a query on them is the cure where the program has rows of the writer, or a transaction,
// still open. They see what has committed. Values are converted as the driver does. The pool is closed with the
// database.
//
// A database in memory has no second connection: all that the pool returns is an error of kind Invalid that is
// ErrInMemory.
func (db *DB) Readers() *sql.DB {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.readers == nil {
		db.readers = sql.OpenDB(&readerConnector{db.connector})
		if db.closed {
			_ = db.readers.Close() // it has no connection yet
		}
	}
	return db.readers
}

// closeReaders closes the pool of readers, if there is one.
func (db *DB) closeReaders() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.readers == nil {
		return nil
	}
	return db.readers.Close()
}

// readerConnector opens the connections of Readers. It implements driver.Connector.
type readerConnector struct{ *connector }

// Connect implements driver.Connector.
func (c *readerConnector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.open(ctx)
	if err != nil {
		return nil, errs.Wrap(errs.KindOf(c.db.Classify(err)), fmt.Errorf("sqlite: reader of %q: %w", c.db.id, err))
	}
	return inner, nil
}

func (c *readerConnector) open(ctx context.Context) (*sqlite3.SQLiteConn, error) {
	if c.file == sqlapi.InMemory {
		return nil, errs.New(errs.Invalid, "%w, and has no connection but the writer: query that, and close the rows of one query "+
			"before the next", ErrInMemory)
	}
	if err := c.same.check(c.file); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("file:%s?mode=ro&_busy_timeout=%d%s", (&url.URL{Path: c.file}).EscapedPath(),
		c.cfg.BusyTimeout.Std().Milliseconds(), c.program.parameters())
	inner, err := openBy(c.program.driver(), name)
	if err != nil {
		return nil, err
	}
	err = c.program.connected(inner)
	if err == nil {
		err = executeAll(ctx, inner, []string{"PRAGMA query_only = ON"})
	}
	if err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	return inner, nil
}
