package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// connector opens the writer connection. It implements driver.Connector.
type connector struct {
	db   *DB
	cfg  *sqlapi.SQLiteConfig
	file string
	same identity
}

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

// Connect implements driver.Connector. The hooks go in before anything is prepared on the connection.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	if err := c.same.check(c.file); err != nil {
		return nil, err
	}
	opened, err := c.Driver().Open(c.dsn())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.file, err)
	}
	inner, ok := opened.(*sqlite3.SQLiteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver opened a %T", opened), opened.Close())
	}
	conn := &conn{db: c.db, inner: inner}
	if CanCapture() {
		if conn.follow, err = c.follow(inner); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", c.file, err), inner.Close())
		}
	}
	if err := c.configure(ctx, conn); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", c.file, err), conn.Close())
	}
	c.same.note(c.file)
	return conn, nil
}

func (c *connector) follow(inner *sqlite3.SQLiteConn) (*follower, error) {
	handle, err := handleOf(inner)
	if err != nil {
		return nil, err
	}
	recorder, err := capture.Open(handle, int64(c.cfg.CaptureMemory), int64(c.cfg.MaxTransactionBytes), os.TempDir())
	if err != nil {
		return nil, err
	}
	return &follower{db: c.db, inner: inner, recorder: recorder}, nil
}

// dsn sets what must be set while the driver opens the file; the rest are pragmas.
func (c *connector) dsn() string {
	params := "?_busy_timeout=" + strconv.FormatInt(c.cfg.BusyTimeout.Std().Milliseconds(), 10)
	if c.file == sqlapi.InMemory {
		return c.file + params
	}
	return "file:" + (&url.URL{Path: c.file}).EscapedPath() + params
}

// configure sets pragmas and makes the savepoint guard: after those that drop the temp schema, before the one that
// forbids to write.
func (c *connector) configure(ctx context.Context, conn *conn) error {
	statements := []string{
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = " + c.cfg.Synchronous,
		"PRAGMA foreign_keys = " + strconv.FormatBool(c.cfg.ForeignKeys),
	}
	if err := checkPragmas(conn.inner, c.cfg.Options); err != nil {
		return err
	}
	var last []string
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Options)) {
		statement := "PRAGMA " + name + " = '" + strings.ReplaceAll(c.cfg.Options[name], "'", "''") + "'"
		if strings.EqualFold(name, "query_only") {
			last = append(last, statement)
		} else {
			statements = append(statements, statement)
		}
	}
	if err := executeAll(ctx, conn.inner, statements); err != nil {
		return err
	}
	if conn.follow != nil {
		if err := conn.follow.recorder.Arm(); err != nil {
			return err
		}
	}
	return executeAll(ctx, conn.inner, last)
}

func executeAll(ctx context.Context, inner *sqlite3.SQLiteConn, statements []string) error {
	for _, statement := range statements {
		if _, err := inner.ExecContext(ctx, statement, nil); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// checkPragmas refuses options that SQLite would ignore silently.
func checkPragmas(inner *sqlite3.SQLiteConn, options map[string]string) error {
	if len(options) == 0 {
		return nil
	}
	known := map[string]bool{}
	err := eachRow(inner, "PRAGMA pragma_list", func(row []driver.Value) {
		if name, ok := row[0].(string); ok {
			known[name] = true
		}
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if !known[strings.ToLower(name)] {
			return errs.New(errs.Invalid, "options.%s: SQLite has no such pragma", name)
		}
	}
	return nil
}
