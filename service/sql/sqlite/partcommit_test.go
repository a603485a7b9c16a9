package sqlite_test

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// A COMMIT fails when main is committed and the database that comes after it cannot be. SQLite returns an error and
// calls the rollback hook, and the rows of main are there. What stays after a failure of main itself is not told.
func TestACommitThatFailsInPart(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"attached", "attached log", "no log", "temporary", "exclusive"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^TestPartsUnderAFileSizeLimit$")
			cmd.Env = append(cmd.Environ(), "WIPPY_PART="+name, "TMPDIR="+t.TempDir())
			output, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", output)
			require.Contains(t, string(output), "PASS: TestPartsUnderAFileSizeLimit")
		})
	}
}

const partLimit = 400 << 10

// The child process of TestACommitThatFailsInPart: no file may grow beyond a limit.
func TestPartsUnderAFileSizeLimit(t *testing.T) {
	name := os.Getenv("WIPPY_PART")
	if name == "" {
		t.Skip("run by TestACommitThatFailsInPart")
	}
	signal.Ignore(syscall.SIGXFSZ)
	db := open(t, func(c *sqlapi.SQLiteConfig) {
		switch name {
		case "no log":
			c.Options = map[string]string{"journal_mode": "delete"}
		case "exclusive":
			c.Options = map[string]string{"locking_mode": "exclusive"}
		}
	})
	mustExec(t, db.Pool(), "CREATE TABLE t (id INTEGER PRIMARY KEY, b)", "PRAGMA wal_autocheckpoint = 20")
	aside := filepath.Join(t.TempDir(), "aside.db")
	mustExec(t, db.Pool(), "ATTACH '"+aside+"' AS aside", "CREATE TABLE aside.o (b)")
	if name == "attached log" {
		mustExec(t, db.Pool(), "PRAGMA aside.journal_mode = wal")
	}
	s := newSession(t, db)
	large := "INSERT INTO aside.o VALUES (zeroblob(600000))"
	if name == "temporary" {
		mustExec(t, db.Pool(), "PRAGMA temp_store = file", "PRAGMA temp.cache_size = 20", "CREATE TEMP TABLE o (b)")
		fillTemporary(t, db)
		large = "INSERT INTO o VALUES (zeroblob(40000))"
	}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: partLimit, Max: partLimit}))
	for i := range 3 {
		stays := failInPart(t, db, fmt.Sprintf("INSERT INTO t VALUES (%d, 'a')", i), large)
		require.Equal(t, name != "no log", stays, "a super-journal makes the COMMIT one, a log does not")
		n := 0
		if stays {
			n = 1
		}
		if name == "exclusive" {
			require.Len(t, s.sink.lost, 1)
			require.ErrorContains(t, s.sink.lost[0], "locking_mode")
			return
		}
		s.check(n, "what is left of a COMMIT that failed")
		s.run(1, fmt.Sprintf("INSERT INTO t VALUES (%d, 'b')", 10+i))
	}
}

// failInPart commits a row of main and more of another database than there is room for. It reports whether the row stays.
func failInPart(t *testing.T, db *sqlite.DB, insert, large string) (stays bool) {
	t.Helper()
	before := query(t, db.Pool(), "SELECT count(*) FROM t")
	connection, err := db.Pool().Conn(t.Context())
	require.NoError(t, err)
	mustExec(t, connection, "BEGIN", insert, "SAVEPOINT s", "DELETE FROM t", "ROLLBACK TO s", large)
	_, err = connection.ExecContext(t.Context(), "COMMIT")
	require.Error(t, err)
	require.NoError(t, connection.Close())
	return before[0][0] != query(t, db.Pool(), "SELECT count(*) FROM t")[0][0]
}

// fillTemporary makes the file of temporary tables nearly as large as a file may become.
func fillTemporary(t *testing.T, db *sqlite.DB) {
	t.Helper()
	mustExec(t, db.Pool(), "INSERT INTO o VALUES (zeroblob(380000))")
}
