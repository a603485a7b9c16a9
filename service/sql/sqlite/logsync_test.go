//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// A commit that waits for the disk is in the log on the disk before a sink has it; another one is not worth a sync.
func TestALogIsSyncedAsCommitsAre(t *testing.T) {
	t.Parallel()
	for synchronous, want := range map[string]int{"off": 0, "normal": 0, "full": 4, "extra": 4} {
		t.Run(synchronous, func(t *testing.T) {
			t.Parallel()
			var said bytes.Buffer
			cfg := &sqlapi.SQLiteConfig{File: filepath.Join(t.TempDir(), "app.db")}
			cfg.SetDefaults()
			cfg.Synchronous = synchronous
			db, err := sqlite.Open(t.Context(), idOf("db"), cfg, ".", sqlite.WithLogger(slog.New(slog.NewTextHandler(&said, nil))))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			mustExec(t, db.Pool(), "CREATE TABLE t (a)")
			settings := sqlite.LogSettings{Source: "app:cdc", Generation: "a", MaxBytes: 1 << 30, MaxAge: time.Hour}
			require.NoError(t, db.KeepLog(t.Context(), settings, 0))
			sink := record(t, db)
			handed := func() int {
				sink.mu.Lock()
				defer sink.mu.Unlock()
				return len(sink.transactions)
			}
			syncs, had := 0, []int(nil)
			var broken error
			sqlite.AfterLogSync(db, func(err error) error {
				require.NoError(t, err)
				syncs++
				had = append(had, handed())
				return broken
			})
			mustExec(t, db.Pool(), "INSERT INTO t VALUES (1)")
			mustExec(t, db.Pool(), "BEGIN; INSERT INTO t VALUES (2); UPDATE t SET a = 3; COMMIT")
			broken = errors.New("no disk")
			mustExec(t, db.Pool(), "INSERT INTO t VALUES (4)")
			mustExec(t, db.Pool(), "INSERT INTO t VALUES (5)")
			require.Equal(t, want, syncs)
			require.Equal(t, 4, handed(), "commits go on without")
			require.Equal(t, []int{0, 1, 2, 3}[:want], append([]int{}, had...))
			require.Equal(t, min(want, 1), strings.Count(said.String(), "cannot be synced"), "it is told once")
		})
	}
}
