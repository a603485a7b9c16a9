package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// TestOutsider is the child process of TestOutsiders: another program that uses the database once.
func TestOutsider(t *testing.T) {
	path, deed := os.Getenv("WIPPY_OUTSIDER"), os.Getenv("WIPPY_DEED")
	if path == "" {
		t.Skip("run by TestOutsiders")
	}
	db, err := sql.Open("sqlite3", path+"?_busy_timeout=60000")
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	if deed == "backup" {
		backUp(t, db, path+"-copy")
	} else {
		for statement := range strings.SplitSeq(deed, ";") {
			run(t, db, statement)
		}
	}
	require.NoError(t, db.Close())
}

// run runs a statement to its end.
func run(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), statement)
	require.NoError(t, err, statement)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() { // to the end
	}
	require.NoError(t, rows.Err(), statement)
}

// backUp copies a database with SQLite's own interface.
func backUp(t *testing.T, db *sql.DB, to string) {
	t.Helper()
	copied, err := sql.Open("sqlite3", to)
	require.NoError(t, err)
	raw := func(db *sql.DB, f func(*sqlite3.SQLiteConn) error) error {
		connection, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, connection.Close()) }()
		return connection.Raw(func(c any) error { return f(c.(*sqlite3.SQLiteConn)) })
	}
	require.NoError(t, raw(copied, func(to *sqlite3.SQLiteConn) error {
		return raw(db, func(from *sqlite3.SQLiteConn) error {
			backup, err := to.Backup("main", from, "main")
			if err != nil {
				return err
			}
			_, err = backup.Step(-1)
			return errors.Join(err, backup.Finish())
		})
	}))
	require.NoError(t, copied.Close())
}

// outsider makes another process do something with the database of a house.
func (h *house) outsider(deed string) {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), os.Args[0], "-test.run", "^TestOutsider$")
	cmd.Env = append(cmd.Environ(), "WIPPY_OUTSIDER="+filepath.Join(h.dir, "app.db"), "WIPPY_DEED="+deed)
	output, err := cmd.CombinedOutput()
	require.NoError(h.t, err, "%s", output)
}

// noticed waits until the source has looked for others, and returns a gap that a reader meets behind n transactions, nil if it meets a
// mark that was written then.
func (h *house) noticed(after api.Position, n int) *api.GapError {
	h.t.Helper()
	s := h.resume(after)
	defer s.Close()
	take(h.t, s, n)
	h.exec("INSERT INTO orders VALUES (NULL, 'mark')")
	c, err := s.Next(h.t.Context())
	if err == nil {
		require.Equal(h.t, "mark", c.After[1].Any())
		return nil
	}
	return gapOf(h.t, err)
}

// What another process does is told if it writes, in its place, and is not told if it does not: while the app runs, and while it is
// down, whether it was stopped or killed.
func TestOutsiders(t *testing.T) {
	t.Parallel()
	for deed, writes := range map[string]bool{
		"INSERT INTO users VALUES (100, 'Eve', 1)": true, "UPDATE users SET score = score + 1": true, "DELETE FROM users": true,
		"ALTER TABLE users ADD COLUMN more": true, "CREATE TABLE another (a)": true, "VACUUM": true,
		"BEGIN; INSERT INTO users VALUES (100, 'Eve', 1); ROLLBACK": false,
		"SELECT * FROM users": false, "PRAGMA integrity_check": false, "backup": false,
		"PRAGMA wal_checkpoint(PASSIVE)": false, "PRAGMA wal_checkpoint(FULL)": false,
		"PRAGMA wal_checkpoint(RESTART)": false, "PRAGMA wal_checkpoint(TRUNCATE)": false,
	} {
		t.Run(deed, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			served := h.serve(h.source(cdcID, durable()))
			begin := h.newest()
			h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
			behind := h.newest()
			told := func(when string) {
				for _, one := range []struct {
					after api.Position
					n     int
				}{{begin, 1}, {behind, 0}} {
					gap := h.noticed(one.after, one.n)
					require.Equal(t, writes, gap != nil, when)
					if gap != nil {
						require.Equal(t, api.GapExternalWrite, gap.Cause, when)
						require.Equal(t, behind, gap.After, when)
						require.NotEmpty(t, take(t, h.resume(gap.Before), 1), when)
					}
				}
				begin = h.newest()
				h.exec("INSERT INTO orders VALUES (NULL, 1)")
				behind = h.newest()
			}
			h.outsider(deed)
			told("while the app runs")
			if writes { // once more, as it was
				deed = "INSERT INTO users (id) VALUES (101)"
			}
			require.NoError(t, served.stop())
			h.withdraw()
			require.NoError(t, h.db.Close())
			h.outsider(deed)
			h.openDB()
			h.serve(h.source(cdcID, durable()))
			told("while the app was stopped")
		})
	}
}

// A file that is put in place of the database is not the one that the log belongs to.
func TestADatabaseThatIsReplacedWhileTheAppIsDown(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, path, copied string){
		"another file": func(t *testing.T, path, copied string) {
			t.Helper()
			require.NoError(t, os.Rename(copied, path))
		},
		"another content": func(t *testing.T, path, copied string) {
			t.Helper()
			b, err := os.ReadFile(copied)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, b, 0o600))
		},
		"cut to nothing": func(t *testing.T, path, _ string) {
			t.Helper()
			require.NoError(t, os.Truncate(path, 0))
		},
		"deleted": func(t *testing.T, path, _ string) {
			t.Helper()
			require.NoError(t, os.Remove(path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			served := h.serve(h.source(cdcID, durable()))
			h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
			h.outsider("backup")
			begin := h.newest()
			h.exec("INSERT INTO users VALUES (2, 'Bob', 1)")
			behind := h.newest()
			require.NoError(t, served.stop())
			h.withdraw()
			require.NoError(t, h.db.Close())
			path := filepath.Join(h.dir, "app.db")
			replace(t, path, path+"-copy")
			h.openDB()
			h.exec("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT, score REAL)")
			h.exec("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item ANY)")
			h.serve(h.source(cdcID, durable()))
			for after, n := range map[api.Position]int{begin: 1, behind: 0} {
				gap := h.noticed(after, n)
				require.NotNil(t, gap)
				require.Contains(t, []api.GapCause{api.GapRestored, api.GapExternalWrite}, gap.Cause)
				require.Positive(t, gap.Before.Compare(behind), fmt.Sprint(gap))
				h.exec("INSERT INTO orders VALUES (NULL, 'new')")
				take(t, h.resume(gap.Before), 1)
			}
		})
	}
}

// A reader whose position has left the log is told where it can go on.
func TestAReaderBehindTheRetention(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := small()
	c.Retention.MaxBytes = 1 << 20
	h.serve(h.source(cdcID, c))
	begin := h.newest()
	for i := range 60 {
		h.exec("INSERT INTO users (id, name) VALUES (?, hex(zeroblob(20000)))", i+1)
	}
	require.NoError(t, h.db.TrimLog())
	s, err := h.catalog.Subscribe(context.WithoutCancel(t.Context()), cdcID, api.StreamOptions{Start: api.After(begin)})
	if err == nil {
		_, err = s.Next(t.Context())
		s.Close()
	}
	gap := gapOf(t, err)
	require.Equal(t, api.GapRetention, gap.Cause)
	require.Equal(t, begin, gap.After)
	require.Equal(t, api.Behind(h.db.LogState().Trimmed), gap.Before)
	first := take(t, h.resume(gap.Before), 1)[0]
	require.Equal(t, gap.Before.Sequence+1, first.Transaction.Sequence)
	require.Positive(t, first.After[0].Int64())
}
