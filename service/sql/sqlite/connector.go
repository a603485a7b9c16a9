package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"

	"github.com/mattn/go-sqlite3"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// connector opens the writer connection. It implements driver.Connector.
type connector struct {
	db   *DB
	cfg  *sqlapi.SQLiteConfig
	file string
	same identity
	// program is what a Go program has given, nil for an entry.
	program *Program
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return c.program.driver() }

// Connect implements driver.Connector. The hooks go in before anything is prepared on the connection.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.same.check(c.file); err != nil {
		return nil, err
	}
	inner, err := openBy(c.program.driver(), c.dsn())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.file, err)
	}
	conn := &conn{db: c.db, inner: inner}
	if CanCapture() {
		if conn.session, err = c.openSession(inner); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", c.file, err), inner.Close())
		}
	}
	err = c.configure(ctx, conn)
	if err == nil {
		err = c.admit(conn)
	}
	if err == nil {
		err = c.authorize(conn)
	}
	if err == nil && c.db.durable.Load() != nil {
		err = c.db.durable.Load().beginOrWait(ctx, conn)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", c.file, err), conn.Close())
	}
	c.same.note(c.file)
	return conn, nil
}

func (c *connector) openSession(inner *sqlite3.SQLiteConn) (*captureSession, error) {
	handle, err := handleOf(inner)
	if err != nil {
		return nil, err
	}
	recorder, err := capture.Open(handle, int64(c.cfg.CaptureMemory), int64(c.cfg.MaxTransactionBytes), os.TempDir())
	if err != nil {
		return nil, err
	}
	return &captureSession{db: c.db, inner: inner, recorder: recorder, buffer: make([]byte, bufferSize)}, nil
}

// dsn sets what must be set while the driver opens the file; the rest are pragmas.
func (c *connector) dsn() string {
	params := "?_busy_timeout=" + strconv.FormatInt(c.cfg.BusyTimeout.Std().Milliseconds(), 10) + c.program.parameters()
	if c.file == sqlapi.InMemory {
		return c.file + params
	}
	return "file:" + (&url.URL{Path: c.file}).EscapedPath() + params
}
