package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"

	"github.com/mattn/go-sqlite3"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/tests/bench/session"
)

// contender is one way of capturing changes, on a database of its own.
type contender struct {
	name string
	db   *sql.DB
	// committed is called after each commit and measured with it; nil if there is nothing to do.
	committed func() error
	// settle waits until what was captured has been read, or throws it away; it is not measured.
	settle func(ctx context.Context) error
	close  func() error
}

type opener func(ctx context.Context, dir string) (*contender, error)

// openers lists the contenders. The first is what the others are compared with.
func openers() []opener {
	return []opener{openPlain, openOurs, openAccessors, openTriggers, openSession}
}

func openAll(ctx context.Context, dir string, openers ...opener) ([]*contender, error) {
	var all []*contender
	for i, open := range openers {
		c, err := open(ctx, filepath.Join(dir, fmt.Sprintf("%d.db", i)))
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// connector is the bare driver with the pragmas that our databases have.
type connector struct {
	file string
	hook func(*sqlite3.SQLiteConn) error
}

func (c *connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{ConnectHook: c.hook} }

func (c *connector) Connect(context.Context) (driver.Conn, error) {
	return c.Driver().Open("file:" + c.file + "?_journal_mode=WAL&_synchronous=NORMAL")
}

func openBare(ctx context.Context, name, file string, hook func(*sqlite3.SQLiteConn) error) (*contender, error) {
	db := sql.OpenDB(&connector{file: file, hook: hook})
	db.SetMaxOpenConns(1)
	nothing := func(context.Context) error { return nil }
	return &contender{name: name, db: db, settle: nothing, close: db.Close}, execute(ctx, db, schema)
}

func openPlain(ctx context.Context, file string) (*contender, error) {
	return openBare(ctx, "no capture", file, nil)
}

// openOurs captures through the whole path: writer, log, and a stream whose reader reads everything.
func openOurs(ctx context.Context, file string) (*contender, error) {
	return openCaptured(ctx, "wippy", file)
}

// openDurable does the same with a durable log.
func openDurable(ctx context.Context, file string) (*contender, error) {
	return openCaptured(ctx, "durable", file, func(c *api.SQLiteConfig) { c.Durable = true })
}

func openCaptured(ctx context.Context, name, file string, configure ...func(*api.SQLiteConfig)) (*contender, error) {
	s, err := openSource(ctx, file, configure...)
	if err != nil {
		return nil, err
	}
	reading := s.read(ctx)
	return &contender{
		name: name, db: s.db.Pool(), settle: reading.settle,
		close: func() error { return s.close() },
	}, execute(ctx, s.db.Pool(), schema)
}

// openAccessors collects rows in the preupdate hook with the driver's Old and New, and publishes them in the commit
// hook, which is how most programs do it.
func openAccessors(ctx context.Context, file string) (*contender, error) {
	var rows, published [][]any
	row := func(n int, get func(...any) error) error {
		values := make([]any, n)
		pointers := make([]any, n)
		for i := range values {
			pointers[i] = &values[i]
		}
		rows = append(rows, values)
		return get(pointers...)
	}
	var failed error
	c, err := openBare(ctx, "driver's accessors", file, func(conn *sqlite3.SQLiteConn) error {
		conn.RegisterPreUpdateHook(func(d sqlite3.SQLitePreUpdateData) {
			if d.Op != sqlite3.SQLITE_INSERT {
				failed = row(d.Count(), d.Old)
			}
			if d.Op != sqlite3.SQLITE_DELETE {
				failed = row(d.Count(), d.New)
			}
		})
		conn.RegisterCommitHook(func() int {
			published, rows = rows, nil
			return 0
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.settle = func(context.Context) error {
		published = nil
		return failed
	}
	_ = published
	return c, nil
}

// openTriggers writes JSON images into a log table, in the same transaction.
func openTriggers(ctx context.Context, file string) (*contender, error) {
	c, err := openBare(ctx, "JSON triggers", file, nil)
	if err != nil {
		return nil, err
	}
	image := func(row string) string {
		return fmt.Sprintf("json_object('id', %[1]s.id, 'name', %[1]s.name, 'street', %[1]s.street, 'score', %[1]s.score, "+
			"'weight', %[1]s.weight, 'photo', hex(%[1]s.photo))", row)
	}
	for _, statement := range []string{
		"CREATE TABLE log (id INTEGER PRIMARY KEY, op TEXT, before TEXT, after TEXT)",
		"CREATE TRIGGER i AFTER INSERT ON people BEGIN INSERT INTO log VALUES (NULL, 'insert', NULL, " + image("new") + "); END",
		"CREATE TRIGGER u AFTER UPDATE ON people BEGIN INSERT INTO log VALUES (NULL, 'update', " + image("old") + ", " + image("new") + "); END",
		"CREATE TRIGGER d AFTER DELETE ON people BEGIN INSERT INTO log VALUES (NULL, 'delete', " + image("old") + ", NULL); END",
	} {
		if err := execute(ctx, c.db, statement); err != nil {
			return nil, err
		}
	}
	c.settle = func(ctx context.Context) error { return execute(ctx, c.db, "DELETE FROM log") }
	return c, nil
}

// openSession generates a changeset with SQLite's own session extension after each transaction.
func openSession(ctx context.Context, file string) (*contender, error) {
	if !session.Available() {
		return nil, errors.New("SQLite was built without the session extension: use make bench")
	}
	var conn *sqlite3.SQLiteConn
	c, err := openBare(ctx, "session extension", file, func(opened *sqlite3.SQLiteConn) error {
		conn = opened
		return nil
	})
	if err != nil {
		return nil, err
	}
	handle := reflect.ValueOf(conn).Elem().FieldByName("db").UnsafePointer()
	changes, err := session.Begin(handle)
	if err != nil {
		return nil, err
	}
	c.committed = func() error {
		_, err := changes.Next()
		return err
	}
	c.settle = func(context.Context) error { return c.committed() }
	closeDB := c.close
	c.close = func() error { return errors.Join(changes.Close(), closeDB()) }
	return c, nil
}
