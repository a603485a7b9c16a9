package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// A side connection waits this long for a lock of another process.
const sideTimeout = 250 * time.Millisecond

// ErrInMemory says that something needs a file and the database has none.
var ErrInMemory = errors.New("the database is in memory")

// WithSideConnection calls f with a connection whose commits are not captured, while no transaction of the writer is
// open, so that neither is in the other's way. It waits for the writer, and f for other processes, until ctx is done. A
// database in memory has no side connections: the error is ErrInMemory. The connection is opened for the occasion, as
// it is seldom used. The writer's is held for its own sake as well: if the file changed under a transaction that has
// read but not yet written, SQLite would refuse to let it write, see https://www.sqlite.org/isolation.html.
func (db *DB) WithSideConnection(ctx context.Context, f func(ctx context.Context, connection *sql.DB) error) error {
	if db.connector.file == sqlapi.InMemory {
		return fmt.Errorf("sqlite: side connection of %q: %w", db.id, ErrInMemory)
	}
	side := sql.OpenDB(&sideConnector{connector: db.connector})
	side.SetMaxOpenConns(1)
	var err error
	if db.isClosed() { // and there is no transaction to be in the way of
		err = db.besideLog(nil, func() error { return errors.Join(f(ctx, side), side.Close()) })
	} else {
		err = db.holdWriter(ctx, func(writer *conn) error { return db.besideLog(writer, func() error { return f(ctx, side) }) })
	}
	err = errors.Join(db.whyLocked(ctx, err), side.Close())
	return errs.Wrap(errs.KindOf(db.Classify(err)), prefix(err, "sqlite: side connection of %q", db.id))
}

// whyLocked explains an error of another connection than the writer's, if it is the writer that is in the way for good.
func (db *DB) whyLocked(ctx context.Context, err error) error {
	if e, ok := errors.AsType[sqlite3.Error](err); !ok || e.Code != sqlite3.ErrBusy || db.isClosed() {
		return err
	}
	mode := ""
	asked := db.holdWriter(ctx, func(writer *conn) error {
		return eachRow(writer.inner, "PRAGMA main.locking_mode", func(row []driver.Value) { mode, _ = row[0].(string) })
	})
	if asked != nil || mode != "exclusive" {
		return err
	}
	return errs.New(errs.Invalid, "the locking mode of the writer is exclusive, so that nothing else can use the file: "+
		"remove options.locking_mode: %v", err) // it is not waited for
}

func (db *DB) isClosed() bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.closed
}

// prefix says in front of err what it is about, nil if there is none.
func prefix(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// WALBytes returns the size of the write-ahead log, false if there is none. SQLite names the file after the database's,
// links resolved.
func (db *DB) WALBytes() (size int64, ok bool) {
	if db.connector.file == sqlapi.InMemory {
		return 0, false
	}
	file, err := filepath.EvalSymlinks(db.connector.file)
	if err != nil {
		return 0, false
	}
	info, err := os.Stat(file + "-wal")
	if err != nil {
		return 0, false
	}
	return info.Size(), true
}

// holdWriter calls f while it has the writer's connection, on which no transaction is open then.
func (db *DB) holdWriter(ctx context.Context, f func(writer *conn) error) error {
	connection, err := db.pool.Conn(ctx)
	if err != nil {
		return err
	}
	err = connection.Raw(func(driverConn any) error {
		writer, ok := driverConn.(*conn)
		if !ok {
			return errs.New(errs.Internal, "the writer is a %T", driverConn)
		}
		return f(writer)
	})
	return errors.Join(err, connection.Close())
}

// sideConnector opens side connections, to the file of a database. One that must not be written by its options is not
// written; checkpoints of the write-ahead log are left to the writer.
type sideConnector struct{ *connector }

// Connect implements driver.Connector.
func (c *sideConnector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.openSide("rw")
	if err != nil {
		return nil, err
	}
	pragmas := []string{"PRAGMA synchronous = normal", "PRAGMA wal_autocheckpoint = 0"}
	for name, value := range c.cfg.Options {
		if strings.EqualFold(name, "query_only") {
			pragmas = append(pragmas, "PRAGMA query_only = '"+strings.ReplaceAll(value, "'", "''")+"'")
		}
	}
	inner.RegisterCommitHook(func() int {
		c.db.sideCommits.Add(1)
		return 0
	})
	for _, pragma := range pragmas {
		if _, err := inner.ExecContext(ctx, pragma, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", c.file, err), inner.Close())
		}
	}
	return inner, nil
}

// openSide opens a side connection, to the file that the writer has open; mode is rw or ro,
// see https://www.sqlite.org/uri.html#recognized_query_parameters.
func (c *connector) openSide(mode string) (*sqlite3.SQLiteConn, error) {
	if err := c.same.check(c.file); err != nil {
		return nil, err
	}
	dsn := fmt.Sprintf("file:%s?mode=%s&_busy_timeout=%d", (&url.URL{Path: c.file}).EscapedPath(), mode, sideTimeout.Milliseconds())
	return openPlain(dsn)
}

func openPlain(dsn string) (*sqlite3.SQLiteConn, error) {
	return openBy(&sqlite3.SQLiteDriver{}, dsn)
}

func openBy(by *sqlite3.SQLiteDriver, dsn string) (*sqlite3.SQLiteConn, error) {
	opened, err := by.Open(dsn)
	if err != nil {
		return nil, err
	}
	inner, ok := opened.(*sqlite3.SQLiteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver opened a %T", opened), opened.Close())
	}
	return inner, nil
}
