package sqlite_test

import (
	"database/sql"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// logFrames returns how many frames the write-ahead log holds, and how many of them are in the database. It checkpoints.
func logFrames(t *testing.T, db *sqlite.DB) (frames, done int) {
	t.Helper()
	var busy int
	// https://www.sqlite.org/pragma.html#pragma_wal_checkpoint
	require.NoError(t, db.Pool().QueryRowContext(t.Context(), "PRAGMA wal_checkpoint").Scan(&busy, &frames, &done))
	return frames, done
}

// update commits n transactions of one frame each.
func update(t *testing.T, db *sqlite.DB, n int) {
	t.Helper()
	for range n {
		mustExec(t, db.Pool(), "UPDATE t SET n = n + 1")
	}
}

func withOption(name, value string) func(*sqlapi.SQLiteConfig) {
	return func(c *sqlapi.SQLiteConfig) { c.Options = map[string]string{name: value} }
}

func openCounter(t *testing.T, configure ...func(*sqlapi.SQLiteConfig)) *sqlite.DB {
	t.Helper()
	db := open(t, configure...)
	mustExec(t, db.Pool(), "CREATE TABLE t (n)", "INSERT INTO t VALUES (0)")
	return db
}

func TestTheLogBeginsAnewByItself(t *testing.T) {
	const frame = 4096 + 24
	for name, c := range map[string]struct {
		configure []func(*sqlapi.SQLiteConfig)
		at        int64
	}{
		"as SQLite does": {nil, 1000},
		"as asked":       {[]func(*sqlapi.SQLiteConfig){withOption("wal_autocheckpoint", "50")}, 50},
	} {
		t.Run(name, func(t *testing.T) {
			db := openCounter(t, c.configure...)
			update(t, db, 2500)
			size, ok := db.WALBytes()
			require.True(t, ok)
			require.InDelta(t, c.at*frame, size, 5*frame)
		})
	}
	t.Run("not at all", func(t *testing.T) {
		db := openCounter(t, withOption("wal_autocheckpoint", "0"))
		update(t, db, 2500)
		frames, _ := logFrames(t, db)
		require.GreaterOrEqual(t, frames, 2500)
	})
	t.Run("as asked later", func(t *testing.T) {
		db := openCounter(t)
		mustExec(t, db.Pool(), "PRAGMA wal_autocheckpoint = 0")
		update(t, db, 2500)
		frames, _ := logFrames(t, db)
		require.GreaterOrEqual(t, frames, 2500)
	})
}

func TestTheLogBeginsAnewAfterALongReadHasEnded(t *testing.T) {
	const every = 40
	file := ""
	db := openCounter(t, withOption("wal_autocheckpoint", "40"), func(c *sqlapi.SQLiteConfig) { file = c.File })
	other, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	for range 3 {
		tx, err := other.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		var n int
		require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT n FROM t").Scan(&n))
		update(t, db, 20*every)
		frames, done := logFrames(t, db)
		require.GreaterOrEqual(t, frames, 20*every, "it is being read")
		require.Less(t, done, every+every/4+5, "what the reader does not see stays in the log")
		require.NoError(t, tx.Rollback())

		update(t, db, every/2)
		frames, done = logFrames(t, db)
		require.Less(t, frames, every, "it has begun anew")
		require.Equal(t, frames, done)
	}
}

// During a long read only some commits try a checkpoint, so that after it the log waits for the next of these.
func TestNotEachCommitBesideALongReadTriesACheckpoint(t *testing.T) {
	const every = 40
	for name, c := range map[string]struct {
		further     string
		least, most int
	}{
		"ours":         {"PRAGMA user_version", 2, every/4 + 2},
		"SQLite's own": {"PRAGMA wal_autocheckpoint = 40", 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			file := ""
			db := openCounter(t, withOption("wal_autocheckpoint", "40"), func(c *sqlapi.SQLiteConfig) { file = c.File })
			mustExec(t, db.Pool(), c.further)
			other, err := sql.Open("sqlite3", file)
			require.NoError(t, err)
			defer func() { require.NoError(t, other.Close()) }()
			tx, err := other.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT n FROM t").Scan(new(int)))
			insert := func() int64 { // grows the file as soon as it is in there
				mustExec(t, db.Pool(), "INSERT INTO t VALUES (zeroblob(3000))")
				info, err := os.Stat(file)
				require.NoError(t, err)
				return info.Size()
			}
			var before int64
			for range 2 * every {
				before = insert()
			}
			require.NoError(t, tx.Rollback())
			commits := 1
			for insert() == before {
				commits++
			}
			require.GreaterOrEqual(t, commits, c.least)
			require.LessOrEqual(t, commits, c.most)
		})
	}
}

// Where SQLite's own hook keeps the log short, so does ours: between short reads there are moments in which the log can
// begin anew, and a transaction may be as long as a whole log.
func TestTheLogIsNoLongerThanSQLiteLetsItBe(t *testing.T) {
	for name, write := range map[string]func(t *testing.T, db *sqlite.DB, other *sql.DB, i int){
		"short reads": func(t *testing.T, db *sqlite.DB, other *sql.DB, i int) {
			t.Helper()
			tx, err := other.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			if i%10 > 0 {
				require.NoError(t, tx.QueryRowContext(t.Context(), "SELECT n FROM t").Scan(new(int)))
			}
			update(t, db, 1)
			require.NoError(t, tx.Rollback())
		},
		"long transactions": func(t *testing.T, db *sqlite.DB, _ *sql.DB, _ int) {
			t.Helper()
			mustExec(t, db.Pool(), "INSERT INTO t VALUES (randomblob(300000))")
		},
	} {
		t.Run(name, func(t *testing.T) {
			var longest [2]int64
			for i, further := range [2]string{"PRAGMA user_version", "PRAGMA wal_autocheckpoint = 40"} {
				file := ""
				db := openCounter(t, withOption("wal_autocheckpoint", "40"), func(c *sqlapi.SQLiteConfig) { file = c.File })
				mustExec(t, db.Pool(), further) // the second puts SQLite's own back
				other, err := sql.Open("sqlite3", file)
				require.NoError(t, err)
				for n := range 300 {
					write(t, db, other, n)
					size, _ := db.WALBytes()
					longest[i] = max(longest[i], size)
				}
				require.NoError(t, other.Close())
			}
			require.Equal(t, longest[1], longest[0])
		})
	}
}

// Attached databases have logs of their own.
func TestTheLogOfAnAttachedDatabaseBeginsAnew(t *testing.T) {
	db := openCounter(t, withOption("wal_autocheckpoint", "40"))
	mustExec(t, db.Pool(), "ATTACH '"+t.TempDir()+"/side.db' AS side", "PRAGMA side.journal_mode = WAL",
		"CREATE TABLE side.s (n)", "INSERT INTO side.s VALUES (0)")
	for range 500 {
		mustExec(t, db.Pool(), "UPDATE side.s SET n = n + 1")
	}
	var busy, frames, done int
	require.NoError(t, db.Pool().QueryRowContext(t.Context(), "PRAGMA side.wal_checkpoint").Scan(&busy, &frames, &done))
	require.Less(t, frames, 45)
}
