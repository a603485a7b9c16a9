//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/resource"
)

// crashDir names the variable that makes the test binary a program to be killed.
const crashDir = "WIPPY_TEST_CRASH_DIR"

// TestCrashing is that program: it writes, follows a stream that bootstraps, and prints what it sees.
func TestCrashing(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("only for TestPromisesHoldAfterCrashes")
	}
	h := &house{t: t, directory: resource.New(), catalog: source.NewCatalog(), dir: dir, log: slog.DiscardHandler, config: new(sqlapi.SQLiteConfig)}
	h.config.SetDefaults()
	h.config.File = "app.db"
	h.openDB()
	h.exec("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name)")
	h.exec("INSERT OR IGNORE INTO users VALUES (1, 'first')")
	h.serve(h.source(cdcID, bootstrapping()))
	s := h.subscribe(cdcID, api.StreamOptions{})
	go func() {
		for t.Context().Err() == nil {
			h.user("x")
		}
	}()
	for {
		c, err := s.Next(t.Context())
		require.NoError(t, err)
		fmt.Println("saw", c.Op, c.Transaction.LSN, c.After[0].Int64()) //nolint:forbidigo // the parent reads it
	}
}

// bootstrapped reads from the checkpoint whether the bootstrap is done.
func bootstrapped(t *testing.T, dir string) (done bool) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+dir+"/app.db")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT snapshot_done FROM wippy_cdc_offsets").Scan(&done))
	return done
}

// TestPromisesHoldAfterCrashes is P6: a source is killed at any moment, and the next one bootstraps if and only if the
// checkpoint did not say yet that it is done, with every row that had been committed; positions are never used again.
func TestPromisesHoldAfterCrashes(t *testing.T) {
	dir := t.TempDir()
	sequence, row, done, runs := uint64(0), int64(0), false, 0
	for ; runs < 20; runs++ {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashing$")
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		output, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines, snapshot := bufio.NewScanner(output), int64(0)
		for n := 1 + rand.IntN(150); n > 0 && lines.Scan(); n-- {
			var op api.Op
			var at uint64
			var id int64
			_, err := fmt.Sscan(lines.Text(), new(string), &op, &at, &id)
			require.NoError(t, err, lines.Text())
			if op == api.OpSnapshot {
				snapshot++
				require.False(t, done, "it is done already")
				require.Equal(t, snapshot, id, "a row is missing")
				continue
			}
			require.Greater(t, at, sequence)
			require.Equal(t, done, snapshot == 0)
			if snapshot > 0 && row < snapshot {
				require.Equal(t, snapshot+1, id, "something is missing between the snapshot and what follows")
			}
			require.Greater(t, id, row)
			sequence, row = at, id
		}
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
		done = bootstrapped(t, dir)
	}
	require.True(t, done)
	t.Logf("%d runs killed, position %d, %d rows", runs, sequence, row)
}
