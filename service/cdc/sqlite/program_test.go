//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	cdcsqlite "github.com/wippy-cdc/runtime/service/cdc/sqlite"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// openProgram opens a file as a Go program does, with a table.
func openProgram(t *testing.T, change ...func(*cdcsqlite.Settings)) *cdcsqlite.DB {
	t.Helper()
	db, err := cdcsqlite.Open(t.Context(), filepath.Join(t.TempDir(), "program.db"), change...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	must(t, db.DB, "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
	return db
}

func must(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err, query)
}

// next describes the next n changes, as lines does, but for their transactions.
func (h *programStream) next(n int) []string {
	all := lines(take(h.t, h.Stream, n))
	for i := range all {
		_, all[i], _ = strings.Cut(all[i], ".")
	}
	return all
}

// programStream is a stream of a test.
type programStream struct {
	api.Stream
	t *testing.T
}

func streamOf(t *testing.T, db *cdcsqlite.DB, opts api.StreamOptions) *programStream {
	t.Helper()
	s, err := db.Stream(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return &programStream{s, t}
}

func TestAProgramReadsItsChanges(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "program.db")
	last := uint64(0)
	for run, want := range []string{"0 insert users -> 1 ada !", "0 insert users -> 2 ada !"} {
		db, err := cdcsqlite.Open(t.Context(), file, func(s *cdcsqlite.Settings) { s.Source.Tables = []string{"users"} })
		require.NoError(t, err)
		must(t, db.DB, "CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT)")
		must(t, db.DB, "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY)")
		s := streamOf(t, db, api.StreamOptions{})
		must(t, db.DB, "INSERT INTO orders DEFAULT VALUES")
		must(t, db.DB, "INSERT INTO users (name) VALUES ('ada')")
		require.Equal(t, []string{want}, s.next(1), "run %d", run)
		require.Equal(t, "go:cdc", db.Info().ID.String())
		require.Equal(t, api.StateRunning, db.Info().State)
		require.Equal(t, uint64(1), db.Stats().Changes[api.OpInsert])
		must(t, db.DB, "UPDATE users SET name = 'bob'")
		require.NoError(t, db.Close())
		require.NoError(t, db.Close())
		changes := take(t, s, run+1)
		require.Greater(t, changes[0].Transaction.Sequence, last, "numbers go on")
		last = changes[0].Transaction.Sequence
		require.Equal(t, api.OpUpdate, changes[0].Op, "what has committed before is delivered")
		_, err = s.Next(t.Context())
		require.EqualError(t, err, `cdc: source "go:cdc" was stopped or replaced; resubscribe once it runs`)
		_, err = db.Stream(t.Context(), api.StreamOptions{})
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
	}
}

func TestARangeOverAStream(t *testing.T) {
	t.Parallel()
	db := openProgram(t)
	s := streamOf(t, db, api.StreamOptions{})
	for range 3 {
		must(t, db.DB, "INSERT INTO users (name) VALUES ('ada')")
	}
	var ids []int64
	for c, err := range api.All(t.Context(), s) {
		require.NoError(t, err)
		if ids = append(ids, c.After[0].Int64()); len(ids) == 2 {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for c, err := range api.All(ctx, s) {
		if last = err; c != nil {
			ids = append(ids, c.After[0].Int64())
			cancel()
		}
	}
	require.Equal(t, []int64{1, 2, 3}, ids, "it goes on where the range was left")
	require.ErrorIs(t, last, context.Canceled)
	must(t, db.DB, "INSERT INTO users (name) VALUES ('ada')")
	require.NoError(t, db.Close())
	var ends []error
	for _, err := range api.All(t.Context(), s) {
		ends = append(ends, err)
	}
	require.Len(t, ends, 2)
	require.NoError(t, ends[0])
	require.ErrorContains(t, ends[1], "was stopped")
	s.Close()
	for c, err := range api.All(t.Context(), s) {
		require.Fail(t, "a stream that was closed has nothing to tell", "%v %v", c, err)
	}
}

// The bare driver converts by the declared types of columns, and programs rely on it. Those of changes stay as they
// are.
func TestValuesOfAProgramAreConvertedAsTheDriverDoes(t *testing.T) {
	t.Parallel()
	db := openProgram(t, func(s *cdcsqlite.Settings) { s.Program.Location = "Europe/Berlin" })
	must(t, db.DB, "CREATE TABLE t (a DATETIME, b TIMESTAMP, c DATE, d BOOLEAN, e TEXT)")
	s := streamOf(t, db, api.StreamOptions{})
	at := time.Date(2026, 7, 1, 12, 30, 0, 0, time.UTC)
	must(t, db.DB, "INSERT INTO t VALUES (?, ?, '2026-07-01', ?, '2026-07-01')", at, at.Unix(), true)
	prepared, err := db.PrepareContext(t.Context(), "SELECT * FROM t")
	require.NoError(t, err)
	defer prepared.Close() //nolint:errcheck // it was only read
	for name, query := range map[string]func() *sql.Row{
		"writer":   func() *sql.Row { return db.QueryRowContext(t.Context(), "SELECT * FROM t") },
		"prepared": func() *sql.Row { return prepared.QueryRowContext(t.Context()) },
		"readers":  func() *sql.Row { return db.Readers().QueryRowContext(t.Context(), "SELECT * FROM t") },
	} {
		for range 2 {
			var a, b, c time.Time
			var d bool
			var e string
			require.NoError(t, query().Scan(&a, &b, &c, &d, &e), name)
			require.True(t, at.Equal(a), "%s: %s", name, a)
			require.True(t, at.Equal(b), "%s: %s", name, b)
			require.Equal(t, "2026-07-01T02:00:00+02:00", c.Format(time.RFC3339), name)
			require.True(t, d, name)
			require.Equal(t, "2026-07-01", e, name)
		}
	}
	rows, err := db.QueryContext(t.Context(), "SELECT a, d FROM t")
	require.NoError(t, err)
	defer rows.Close() //nolint:errcheck // it was only read
	types, err := rows.ColumnTypes()
	require.NoError(t, err)
	require.Equal(t, []string{"DATETIME", "BOOLEAN"}, []string{types[0].DatabaseTypeName(), types[1].DatabaseTypeName()})
	require.NoError(t, rows.Err())
	require.Equal(t, []string{"0 insert t -> 2026-07-01 12:30:00+00:00 1782909000 2026-07-01 1 2026-07-01 !"}, s.next(1))
}

func TestReadersDoNotWaitForTheWriter(t *testing.T) {
	t.Parallel()
	db := openProgram(t)
	must(t, db.DB, "INSERT INTO users (name) VALUES ('ada'), ('bob')")
	count := func() (n int) {
		require.NoError(t, db.Readers().QueryRowContext(t.Context(), "SELECT count(*) FROM users").Scan(&n))
		return n
	}
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM users")
	require.NoError(t, err)
	defer rows.Close() //nolint:errcheck // it is closed below
	require.True(t, rows.Next())
	require.Equal(t, 2, count(), "rows are open on the writer")
	require.NoError(t, rows.Close())
	require.NoError(t, rows.Err())
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "DELETE FROM users")
	require.NoError(t, err)
	require.Equal(t, 2, count(), "it has not committed")
	require.NoError(t, tx.Commit())
	require.Zero(t, count())
	for _, write := range []string{"INSERT INTO users (name) VALUES ('eve')", "CREATE TABLE u (a)", "PRAGMA user_version = 7"} {
		_, err = db.Readers().ExecContext(t.Context(), write)
		require.ErrorContains(t, err, "readonly database", write)
	}
	pool := db.Readers()
	require.Same(t, pool, db.Readers())
	require.NoError(t, db.Close())
	require.ErrorContains(t, db.Readers().PingContext(t.Context()), "database is closed")
}

func TestADatabaseInMemoryHasNoReaders(t *testing.T) {
	t.Parallel()
	db, err := cdcsqlite.Open(t.Context(), ":memory:")
	require.NoError(t, err)
	err = db.Readers().PingContext(t.Context())
	require.ErrorIs(t, err, sqlite.ErrInMemory)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.ErrorContains(t, err, "close the rows of one query before the next")
	require.NoError(t, db.Close())
	require.Error(t, db.Readers().PingContext(t.Context()))
}

func TestAProgramHasItsOwnFunctionsAndStatements(t *testing.T) {
	t.Parallel()
	connections := 0
	db := openProgram(t, func(s *cdcsqlite.Settings) {
		s.Program.ConnectHook = func(conn *sqlite3.SQLiteConn) error {
			connections++
			return conn.RegisterFunc("double", func(n int64) int64 { return 2 * n }, true)
		}
	})
	for _, pool := range []*sql.DB{db.DB, db.Readers()} {
		var n int
		require.NoError(t, pool.QueryRowContext(t.Context(), "SELECT double(21)").Scan(&n))
		require.Equal(t, 42, n)
	}
	require.Equal(t, 2, connections)
	must(t, db.DB, "ATTACH '"+filepath.Join(t.TempDir(), "other.db")+"' AS other")
	must(t, db.DB, "PRAGMA writable_schema = off")
	must(t, db.DB, "DETACH other")
	s := streamOf(t, db, api.StreamOptions{})
	must(t, db.DB, "INSERT INTO users SELECT double(id), 'ada' FROM (SELECT 4 AS id)")
	require.Equal(t, []string{"0 insert users -> 8 ada !"}, s.next(1))
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "DELETE FROM users")
	require.ErrorContains(t, err, "readonly database")
	require.NoError(t, tx.Rollback())
}

func TestHooksOfAProgramThatCaptureNeeds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hook func(conn *sqlite3.SQLiteConn) error
		want string
	}{
		"commit hook": {
			hook: func(conn *sqlite3.SQLiteConn) error { conn.RegisterCommitHook(func() int { return 0 }); return nil },
			want: "the ConnectHook has registered a hook for preupdate, commit or rollback, and capture needs all of them",
		},
		"transaction": {
			hook: func(conn *sqlite3.SQLiteConn) error { _, err := conn.Exec("BEGIN", nil); return err },
			want: "the ConnectHook has left a transaction open: end it",
		},
		"error": {
			hook: func(*sqlite3.SQLiteConn) error { return errors.New("not today") },
			want: "the ConnectHook: not today",
		},
	} {
		_, err := cdcsqlite.Open(t.Context(), filepath.Join(t.TempDir(), "program.db"), func(s *cdcsqlite.Settings) { s.Program.ConnectHook = c.hook })
		require.ErrorContains(t, err, c.want, name)
		require.ErrorContains(t, err, "cdc: open ", name)
	}
	_, err := cdcsqlite.Open(t.Context(), filepath.Join(t.TempDir(), "program.db"), func(s *cdcsqlite.Settings) {
		s.Program.Extensions = []string{"/no/such/extension"}
	})
	require.ErrorContains(t, err, "/no/such/extension")
}

// What a ConnectHook writes is written before anything is captured on its connection.
func TestRowsOfAConnectHookAreAGap(t *testing.T) {
	t.Parallel()
	connections := 0
	db := openProgram(t, func(s *cdcsqlite.Settings) {
		s.Program.ConnectHook = func(conn *sqlite3.SQLiteConn) error {
			if connections++; connections == 1 {
				return nil
			}
			_, err := conn.Exec("INSERT INTO users (name) VALUES ('early')", nil)
			return err
		}
	})
	s := streamOf(t, db, api.StreamOptions{})
	must(t, db.DB, "INSERT INTO users (name) VALUES ('ada')")
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	require.Error(t, conn.Raw(func(any) error { return sql.ErrConnDone }))
	db.SetMaxIdleConns(0) // the next statement gets a new connection
	require.NoError(t, conn.Close())
	must(t, db.DB, "INSERT INTO users (name) VALUES ('bob')")
	require.Equal(t, []string{"0 insert users -> 1 ada !"}, s.next(1))
	_, err = s.Next(t.Context())
	require.ErrorContains(t, err, "changes were lost: the ConnectHook of a new connection has changed 1 rows")
}

func TestSettingsOfAProgramAreChecked(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*cdcsqlite.Settings){
		`Name: "a b": only letters, digits and . _ - are allowed`: func(s *cdcsqlite.Settings) { s.Name = "a b" },
		"Logger: is nil":                     func(s *cdcsqlite.Settings) { s.Logger = nil },
		"log_bytes: is 1 bytes":              func(s *cdcsqlite.Settings) { s.Source.LogBytes = 1 },
		"capture_memory: is 1 KiB":           func(s *cdcsqlite.Settings) { s.Database.CaptureMemory = unit.KiB },
		"Invalid _txlock: soon":              func(s *cdcsqlite.Settings) { s.Program.TxLock = "soon" },
		"options.colour: SQLite has no such": func(s *cdcsqlite.Settings) { s.Database.Options = map[string]string{"colour": "red"} },
	} {
		_, err := cdcsqlite.Open(t.Context(), ":memory:", change)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, `cdc: open ":memory:": `)
	}
	_, err := cdcsqlite.Open(t.Context(), "file:app.db?vfs=mine")
	require.ErrorContains(t, err, "vfs: a database that is captured does not take this parameter")
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = cdcsqlite.Open(cancelled, ":memory:")
	require.ErrorIs(t, err, context.Canceled)
}
