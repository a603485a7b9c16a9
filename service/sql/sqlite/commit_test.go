package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// inTheWay opens a database that a reader of another connection keeps from committing, until clear is called.
func inTheWay(t *testing.T) (s *session, clear func()) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "app.db")
	db := open(t, func(c *sqlapi.SQLiteConfig) {
		c.File, c.BusyTimeout, c.Options = file, 1, map[string]string{"journal_mode": "delete"}
	})
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	s = newSession(t, db)
	s.run(1, "INSERT INTO t VALUES (1), (2)")
	other, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	reading, err := other.QueryContext(t.Context(), "SELECT a FROM t")
	require.NoError(t, err)
	require.NoError(t, reading.Err())
	require.True(t, reading.Next())
	return s, func() {
		require.NoError(t, reading.Close())
		require.NoError(t, reading.Err())
		require.NoError(t, other.Close())
	}
}

// A COMMIT that finds a reader in the way leaves the transaction open; what it holds is told when it succeeds.
func TestACommitThatIsBusyTellsNothing(t *testing.T) {
	t.Parallel()
	s, clear := inTheWay(t)
	writer, err := s.db.Pool().Conn(t.Context())
	require.NoError(t, err)
	mustExec(t, writer, "BEGIN IMMEDIATE", "INSERT INTO t VALUES (3)")
	for range 2 {
		_, err = writer.ExecContext(t.Context(), "COMMIT")
		require.ErrorContains(t, err, "locked")
		require.Empty(t, s.sink.take(t))
	}
	clear()
	mustExec(t, writer, "INSERT INTO t VALUES (4)", "COMMIT")
	require.NoError(t, writer.Close())
	s.check(1, "what was committed at last")
}

// The pool rolls back what a busy Commit leaves open.
func TestABusyCommitOfThePoolIsRolledBack(t *testing.T) {
	t.Parallel()
	s, clear := inTheWay(t)
	tx, err := s.db.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	mustExec(t, tx, "INSERT INTO t VALUES (3)")
	require.ErrorContains(t, tx.Commit(), "locked")
	clear()
	s.check(0, "what was rolled back")
	s.run(1, "INSERT INTO t VALUES (4)")
}

func TestADeferredForeignKeyStopsTheCommit(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.ForeignKeys = true })
	mustExec(t, db.Pool(), workloadSchema)
	s := newSession(t, db)
	s.run(1, "BEGIN", "INSERT INTO children VALUES (1, 7)", "!COMMIT", "INSERT INTO parents VALUES (7)", "COMMIT")
	s.run(0, "!INSERT INTO children VALUES (2, 8)", "BEGIN", "INSERT INTO children VALUES (2, 8)", "!COMMIT", "ROLLBACK")
}

func TestADatabaseThatIsFull(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a, b)", "PRAGMA max_page_count = 20")
	s := newSession(t, db)
	committed := 0
	for i := range 30 {
		tx, err := db.Pool().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		mustExec(t, tx, "UPDATE t SET a = a + 1")
		_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES (?, randomblob(5000)), (?, randomblob(5000))", i, i)
		if i == 29 {
			require.ErrorContains(t, err, "full")
		}
		if tx.Commit() == nil && (err == nil || i > 0) {
			committed++
		}
	}
	require.Greater(t, committed, 3)
	txs := s.sink.take(t)
	for _, tx := range txs {
		s.replica.apply(tx)
	}
	s.replica.same(db)
}

// A panic between statements ends in the rollback that was deferred, or in that of the context.
func TestAPanicBetweenStatements(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	s := newSession(t, db)
	for _, rollback := range []bool{true, false} {
		ctx, cancel := context.WithCancel(t.Context())
		require.Panics(t, func() {
			tx, err := db.Pool().BeginTx(ctx, nil)
			require.NoError(t, err)
			if rollback {
				defer func() { require.NoError(t, tx.Rollback()) }()
			}
			_, err = tx.ExecContext(ctx, "INSERT INTO t VALUES (1)")
			require.NoError(t, err)
			panic("between statements")
		})
		cancel()
		s.run(1, "INSERT INTO t VALUES (2)")
	}
}

// The child process of TestADiskThatIsFull: no file may grow beyond a limit, neither the database's nor that of
// spilled changes. What is told must still be what is there.
func TestUnderAFileSizeLimit(t *testing.T) {
	if os.Getenv("WIPPY_FILE_LIMIT") == "" {
		t.Skip("run by TestADiskThatIsFull")
	}
	signal.Ignore(syscall.SIGXFSZ)
	const limit = 400 << 10
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.CaptureMemory = 1 << 20 })
	mustExec(t, db.Pool(), "CREATE TABLE t (id INTEGER PRIMARY KEY, b)", "PRAGMA wal_autocheckpoint = 20")
	s := newSession(t, db)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}))
	loseToTheLimit(t, s)
	failed := 0
	for i := range 200 {
		query := fmt.Sprintf("INSERT OR REPLACE INTO t VALUES (%d, randomblob(%d))", i%50, i*53)
		if _, err := db.Pool().ExecContext(t.Context(), query); err != nil {
			failed++
		}
		if i%3 == 0 {
			_, _ = db.Pool().ExecContext(t.Context(), "BEGIN; DELETE FROM t WHERE id % 7 = 1; UPDATE t SET b = randomblob(9000) WHERE id % 5 = 1; COMMIT")
		}
	}
	require.Greater(t, failed, 10)
	require.Less(t, failed, 190)
	for _, tx := range s.sink.take(t) {
		s.replica.apply(tx)
	}
	s.replica.same(db)
}

// loseToTheLimit commits a transaction whose changes do not fit into a file, though the table stays small.
func loseToTheLimit(t *testing.T, s *session) {
	t.Helper()
	tx, err := s.db.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for range 300 {
		mustExec(t, tx, "INSERT INTO t VALUES (1, zeroblob(10000))", "DELETE FROM t")
	}
	require.NoError(t, tx.Commit())
	require.Len(t, s.sink.lost, 1)
	require.ErrorContains(t, s.sink.lost[0], "temporary file")
	s.sink.lost = nil
}

func TestADiskThatIsFull(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestUnderAFileSizeLimit$")
	cmd.Env = append(cmd.Environ(), "WIPPY_FILE_LIMIT=1")
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
}

// Without a place for temporary files a large transaction goes through, and its loss is told.
func TestAMissingTemporaryDirectory(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	db := open(t, func(c *sqlapi.SQLiteConfig) {
		c.File, c.CaptureMemory = sqlapi.InMemory, 1<<20
	})
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	r := record(t, db)
	mustExec(t, db.Pool(), "BEGIN; INSERT INTO t VALUES (zeroblob(2000000)); INSERT INTO t VALUES (1); COMMIT", "INSERT INTO t VALUES (2)")
	require.Len(t, r.lost, 1)
	require.ErrorContains(t, r.lost[0], "temporary file")
	require.Len(t, r.transactions, 1)
	rows := query(t, db.Pool(), "SELECT count(*) FROM t")
	require.Equal(t, int64(3), rows[0][0])
}
