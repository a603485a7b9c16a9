package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Database is an empty database for one test, which is dropped at its end together with its replication slots.
type Database struct {
	*Server
	// Name is that of the database.
	Name string
	// Pool is open to a superuser until the end of the test.
	Pool *sql.DB
}

// databases counts, so that each has a name of its own.
var databases atomic.Int64 //nolint:gochecknoglobals // the tests of a binary have nothing else in common

// New returns a database on the server of this test binary, which is started if it is not running yet.
func New(tb testing.TB) *Database {
	tb.Helper()
	server, err := shared.get()
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	return server.Database(tb)
}

// NewServer returns a database on a private server of its own, with further settings; it ends with the test. It skips
// the test where no server is installed and DSNVariable names one for the other tests.
func NewServer(tb testing.TB, settings map[string]string) *Database {
	tb.Helper()
	server, err := start(settings)
	if errors.Is(err, errNotInstalled) && os.Getenv(DSNVariable) != "" {
		tb.Skipf("needs a private server beside that of %s, and %v", DSNVariable, errNotInstalled)
	}
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(server.stop)
	return server.Database(tb)
}

// Database makes a database.
func (s *Server) Database(tb testing.TB) *Database {
	tb.Helper()
	admin := s.open(tb, s.URL.Path)
	name := "test_" + strconv.FormatInt(time.Now().UnixMicro(), 36) + "_" + strconv.FormatInt(databases.Add(1), 10)
	if _, err := admin.ExecContext(tb.Context(), "CREATE DATABASE "+name); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() { s.drop(tb, name) })
	return &Database{Server: s, Name: name, Pool: s.open(tb, "/"+name)}
}

// drop drops a database and what would prevent that.
func (s *Server) drop(tb testing.TB, name string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), 30*time.Second)
	defer cancel()
	admin := s.pool(tb, s.URL.Path)
	defer func() { _ = admin.Close() }()
	err := poll(func() error {
		for _, query := range []string{
			"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND database = '" + name + "'",
			"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND database = '" + name + "'",
			"DROP DATABASE IF EXISTS " + name + " WITH (FORCE)",
		} {
			if _, err := admin.ExecContext(ctx, query); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Errorf("pgtest: drop %s: %v", name, err)
	}
}

// open returns a pool that is closed at the end of the test.
func (s *Server) open(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	pool := s.pool(tb, path)
	tb.Cleanup(func() { _ = pool.Close() })
	return pool
}

func (s *Server) pool(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	u := s.URL
	u.Path = path
	config, err := pgx.ParseConfig(u.String())
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	return stdlib.OpenDB(*config)
}

// Exec runs statements, which may be several unless there are arguments.
func (d *Database) Exec(tb testing.TB, query string, args ...any) {
	tb.Helper()
	if _, err := d.Pool.ExecContext(tb.Context(), query, args...); err != nil {
		tb.Fatalf("pgtest: %s: %v", query, err)
	}
}

// Text returns the only value of a query as text.
func (d *Database) Text(tb testing.TB, query string, args ...any) string {
	tb.Helper()
	var text sql.NullString
	if err := d.Pool.QueryRowContext(tb.Context(), query, args...).Scan(&text); err != nil {
		tb.Fatalf("pgtest: %s: %v", query, err)
	}
	return text.String
}

// Transact runs statements in one transaction.
func (d *Database) Transact(tb testing.TB, statements ...string) {
	tb.Helper()
	d.Exec(tb, "BEGIN; "+strings.Join(statements, "; ")+"; COMMIT")
}

// DSN is the URL of the database for a superuser.
func (d *Database) DSN() string {
	u := d.URL
	u.Path = "/" + d.Name
	return u.String()
}

// Address returns host, port, user and password of the server.
func (s *Server) Address() (host string, port int, user, password string) {
	port, err := strconv.Atoi(s.URL.Port())
	if err != nil {
		port = 5432
	}
	password, _ = s.URL.User.Password()
	return s.URL.Hostname(), port, s.URL.User.Username(), password
}

// Role makes a role that can log in, with the given attributes, and returns its URL in the database.
func (d *Database) Role(tb testing.TB, name, password, attributes string) string {
	tb.Helper()
	d.Exec(tb, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s' %s", name, password, attributes))
	tb.Cleanup(func() {
		_, _ = d.Pool.ExecContext(context.WithoutCancel(tb.Context()), "DROP OWNED BY "+name+"; DROP ROLE "+name) // the database goes anyway
	})
	u := d.URL
	u.Path, u.User = "/"+d.Name, url.UserPassword(name, password)
	return u.String()
}
