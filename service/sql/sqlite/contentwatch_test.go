package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// watched is a database with a row per page, most of them in the file, and its watch.
type watched struct {
	*sqlite.ContentWatch
	t    *testing.T
	file string
	db   *sqlite.DB
}

func watch(t *testing.T) *watched {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	w := &watched{t: t, file: filepath.Join(dir, "data.db")}
	cfg := &sqlapi.SQLiteConfig{File: w.file}
	cfg.SetDefaults()
	cfg.Allow = []string{sqlapi.AllowFiles}
	w.db, err = sqlite.Open(t.Context(), registry.ID{Namespace: "app", Name: "db"}, cfg, dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.db.Close()) })
	w.execute(t, "CREATE TABLE a (n INTEGER PRIMARY KEY, b)",
		"INSERT INTO a WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100) SELECT n, randomblob(4000) FROM s",
		"PRAGMA wal_checkpoint(TRUNCATE)", "INSERT INTO a VALUES (101, randomblob(4000))")
	w.ContentWatch, err = sqlite.WatchContent(w.file)
	require.NoError(t, err)
	for range 3 {
		w.intact(t)
	}
	return w
}

func (w *watched) execute(t *testing.T, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := w.db.Pool().ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

func (w *watched) intact(t *testing.T) {
	t.Helper()
	damage, how := w.Look()
	require.Equal(t, sqlite.Intact, damage, how)
}

// away closes the watch while the database is still open.
func (w *watched) away(t *testing.T) {
	t.Helper()
	require.NoError(t, w.Close())
}

// beside runs statements as another program does.
func (w *watched) beside(t *testing.T, statements ...string) {
	t.Helper()
	other, err := sql.Open("sqlite3", w.file)
	require.NoError(t, err)
	other.SetMaxOpenConns(1)
	for _, statement := range statements {
		_, err := other.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	require.NoError(t, other.Close())
}

func TestWatchIsNotAlarmedByWhatSQLiteDoes(t *testing.T) {
	w := watch(t)
	defer w.away(t)
	for _, statement := range []string{
		"INSERT INTO a (b) VALUES (randomblob(4000))", "PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(FULL)",
		"UPDATE a SET b = randomblob(4000)", "PRAGMA wal_checkpoint(RESTART)", "CREATE TABLE more (x)", "DELETE FROM a WHERE n > 20",
		"PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "DROP TABLE more", "PRAGMA user_version = 7",
		"PRAGMA wal_checkpoint(PASSIVE)",
	} {
		w.execute(t, statement)
		w.intact(t)
		w.intact(t)
	}
	tx, err := w.db.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO a (b) VALUES (zeroblob(9000000))") // more than the cache holds
	require.NoError(t, err)
	w.intact(t)
	require.NoError(t, tx.Rollback())
	w.intact(t)
	w.beside(t, "INSERT INTO a (b) VALUES (randomblob(9000))", "SELECT count(*) FROM a", "PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM",
		"PRAGMA integrity_check")
	w.intact(t)
	w.intact(t)
	w.execute(t, "DELETE FROM a", "PRAGMA wal_checkpoint(FULL)")
	w.intact(t)
}

// Checkpoints go on while the watch looks.
func TestWatchIsNotAlarmedWhileCheckpointsRun(t *testing.T) {
	w := watch(t)
	defer w.away(t)
	done := make(chan error, 1)
	go func() {
		for i := range 400 {
			for _, statement := range []string{
				"INSERT INTO a (b) VALUES (randomblob(20000))", "DELETE FROM a WHERE n % 7 = 0",
				[]string{"PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "SELECT 1"}[i%4],
			} {
				if _, err := w.db.Pool().ExecContext(t.Context(), statement); err != nil {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	for {
		select {
		case err := <-done:
			require.NoError(t, err)
			return
		default:
			w.intact(t)
		}
	}
}

func TestWatchSeesWhatSQLiteDoesNotDo(t *testing.T) {
	old := watch(t)
	old.away(t)
	older := filepath.Join(t.TempDir(), "older.db")
	old.execute(t, "VACUUM INTO '"+older+"'")
	copied := func(t *testing.T, from, to string) {
		t.Helper()
		content, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, content, 0o600)) // as cp does: the same file, truncated and written
	}
	for name, c := range map[string]struct {
		damage  sqlite.Damage
		how     string
		disturb func(w *watched)
	}{
		"nothing": {sqlite.Intact, "", func(*watched) {}},
		"an older database": {sqlite.Overwritten, "older", func(w *watched) {
			w.execute(w.t, "CREATE TABLE b (x)", "CREATE TABLE c (x)", "DROP TABLE b", "PRAGMA wal_checkpoint(FULL)")
			w.intact(w.t)
			copied(w.t, older, w.file)
		}},
		"an older copy of the same size": {sqlite.Overwritten, "something other than SQLite", func(w *watched) {
			w.execute(w.t, "PRAGMA wal_checkpoint(FULL)")
			copied(w.t, w.file, older+".same")
			w.execute(w.t, "UPDATE a SET b = randomblob(4000) WHERE n = 50", "PRAGMA wal_checkpoint(FULL)")
			w.intact(w.t)
			copied(w.t, older+".same", w.file)
			require.NoError(w.t, os.Chtimes(w.file, time.Time{}, time.Now().Add(time.Second)))
		}},
		"no database": {sqlite.Overwritten, "no database any more", func(w *watched) {
			require.NoError(w.t, os.WriteFile(w.file, []byte(strings.Repeat("x", 500000)), 0o600))
		}},
		"truncation": {sqlite.Overwritten, "truncated", func(w *watched) { require.NoError(w.t, os.Truncate(w.file, 0)) }},
		"a part cut off": {sqlite.Overwritten, "", func(w *watched) {
			w.execute(w.t, "PRAGMA wal_checkpoint(FULL)")
			require.NoError(w.t, os.Truncate(w.file, 8192))
		}},
		"one page": {sqlite.Overwritten, "something other than SQLite", func(w *watched) {
			f, err := os.OpenFile(w.file, os.O_RDWR, 0)
			require.NoError(w.t, err)
			_, err = f.WriteAt([]byte("xxxx"), 3*4096+100)
			require.NoError(w.t, err)
			require.NoError(w.t, f.Close())
			require.NoError(w.t, os.Chtimes(w.file, time.Time{}, time.Now().Add(time.Second)))
		}},
		"a new time": {sqlite.Touched, "", func(w *watched) {
			require.NoError(w.t, os.Chtimes(w.file, time.Time{}, time.Now().Add(time.Hour)))
		}},
		"the log deleted":   {sqlite.LogDeleted, "-wal", func(w *watched) { require.NoError(w.t, os.Remove(w.file+"-wal")) }},
		"the index deleted": {sqlite.LogDeleted, "-shm", func(w *watched) { require.NoError(w.t, os.Remove(w.file+"-shm")) }},
		"the log truncated": {sqlite.Overwritten, "-wal", func(w *watched) { require.NoError(w.t, os.Truncate(w.file+"-wal", 0)) }},
		"another log": {sqlite.Overwritten, "-wal", func(w *watched) {
			content, err := os.ReadFile(w.file + "-wal")
			require.NoError(w.t, err)
			content[17]++
			require.NoError(w.t, os.WriteFile(w.file+"-wal", content, 0o600))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := watch(t)
			defer w.away(t)
			c.disturb(w)
			damage, how := w.Look()
			require.Equal(t, c.damage, damage, how)
			require.Contains(t, how, c.how)
			sqlite.Abandon(w.db)
			_, err := w.db.Pool().ExecContext(t.Context(), "INSERT INTO a (b) VALUES (1)")
			require.Error(t, err)
		})
	}
}

// Without a write-ahead log there is nothing to compare, and nothing is left behind.
func TestWatchNeedsALog(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data.db")
	cfg := &sqlapi.SQLiteConfig{File: file}
	cfg.SetDefaults()
	cfg.Options = map[string]string{"journal_mode": "delete"}
	db, err := sqlite.Open(t.Context(), registry.ID{Namespace: "app", Name: "db"}, cfg, "")
	require.NoError(t, err)
	_, err = sqlite.WatchContent(file)
	require.ErrorContains(t, err, "its journal_mode is delete")
	require.NoFileExists(t, file+"-shm")
	require.NoError(t, db.Close())
}

func TestALockSaysWhatToDo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "data.db")
	cfg := &sqlapi.SQLiteConfig{File: file}
	cfg.SetDefaults()
	cfg.BusyTimeout = 0
	db, err := sqlite.Open(t.Context(), registry.ID{Namespace: "app", Name: "db"}, cfg, "")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	other, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	other.SetMaxOpenConns(1)
	_, err = other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	_, err = db.Pool().ExecContext(t.Context(), "CREATE TABLE a (n)")
	require.ErrorContains(t, db.Classify(err), "database is locked: another connection, perhaps of another program, had it locked")
	require.Equal(t, errs.Unavailable, errs.KindOf(db.Classify(err)))
}
