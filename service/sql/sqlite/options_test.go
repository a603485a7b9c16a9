package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

func openWith(t *testing.T, file string, options map[string]string) (*sqlite.DB, error) {
	t.Helper()
	cfg := &sqlapi.SQLiteConfig{File: file}
	cfg.SetDefaults()
	cfg.Options = options
	require.NoError(t, cfg.Validate())
	return sqlite.Open(t.Context(), idOf("db"), cfg, ".")
}

// What a file can be given only as long as it is empty is given to a new one, and is the same when it is opened again.
func TestOptionsOfANewFile(t *testing.T) {
	t.Parallel()
	for _, memory := range []bool{false, true} {
		for name, c := range map[string]struct{ value, want string }{
			"encoding": {"UTF-16le", "UTF-16le"}, "Encoding": {"utf16be", "UTF-16be"}, "page_size": {"65536", "65536"}, "PAGE_SIZE": {"512", "512"},
			"auto_vacuum": {"full", "1"}, "auto_Vacuum": {"INCREMENTAL", "2"},
		} {
			file := filepath.Join(t.TempDir(), "new.db")
			if memory {
				file = sqlapi.InMemory
			}
			for i := range 2 {
				db, err := openWith(t, file, map[string]string{name: c.value})
				require.NoError(t, err, name)
				var now string
				require.NoError(t, db.Pool().QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&now))
				require.Equal(t, c.want, now, name)
				r := record(t, db)
				mustExec(t, db.Pool(), "CREATE TABLE IF NOT EXISTS t (a)", "INSERT INTO t VALUES ('ä€')")
				txs := r.take(t)
				require.Len(t, txs, 1+len(txs)/2, name)
				last := changes(t, txs[len(txs)-1])
				require.Equal(t, "ä€", last[0].After[0].Bytes(), name)
				_, rows := content(t, snapshotOf(t, db))
				require.NotEmpty(t, rows["t"], i)
				t.Cleanup(func() { require.NoError(t, db.Close()) })
			}
		}
	}
}

func TestOptionsThatDoNotTakeEffectAreRefused(t *testing.T) {
	t.Parallel()
	const exists = ": a database that exists keeps what it was made with; remove the option, or move the rows to a new file"
	for _, c := range []struct{ name, value, want string }{
		{"encoding", "UTF-16le", `options.encoding: it is UTF-8, which is not what the option says` + exists},
		{"page_size", "8192", `options.page_size: it is 4096, which is not what the option says` + exists},
		{"page_size", "5000", `options.page_size: it is 4096, which is not what the option says` + exists},
		{"auto_vacuum", "full", `options.auto_vacuum: it is 0, which is not what the option says` + exists},
		{"journal_mode", "wall", `options.journal_mode: it is wal, which is not what the option says: see https://www.sqlite.org/pragma.html#pragma_journal_mode`},
		{"temp_store", "ram", `options.temp_store: it is 0, which is not what the option says: see https://www.sqlite.org/pragma.html#pragma_temp_store`},
		{"recursive_triggers", "si", `options.recursive_triggers: it is 0, which is not what the option says`},
		{"cache_size", "8MiB", `options.cache_size: it is 8, which is not what the option says`},
		{"mmap_size", "99999999999999", `options.mmap_size: it is 2147418112, which is not what the option says`},
	} {
		file := filepath.Join(t.TempDir(), "old.db")
		db, err := openWith(t, file, nil)
		require.NoError(t, err)
		mustExec(t, db.Pool(), "CREATE TABLE t (a)")
		require.NoError(t, db.Close())
		_, err = openWith(t, file, map[string]string{c.name: c.value})
		require.ErrorContains(t, err, c.want)
		require.Equal(t, errs.Invalid, errs.KindOf(err))
		require.ErrorContains(t, err, `sqlite: open "app:db"`)
	}
}

// Options that are right are taken, however they are written.
func TestOptionsThatTakeEffect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value string }{
		{"encoding", "utf8"},
		{"page_size", "4096"},
		{"auto_vacuum", "NONE"},
		{"journal_mode", "Delete"},
		{"locking_mode", "EXCLUSIVE"},
		{"synchronous", "EXTRA"},
		{"temp_store", "Memory"},
		{"secure_delete", "fast"},
		{"secure_delete", "true"},
		{"cache_size", "-100"},
		{"recursive_triggers", "yes"},
		{"trusted_schema", "off"},
		{"foreign_keys", "1"},
		{"wal_autocheckpoint", "50"},
		{"query_only", "on"},
		{"mmap_size", "1048576"},
		{"journal_size_limit", "-1"},
		{"optimize", "0x10002"},
		{"case_sensitive_like", "true"},
		{"busy_timeout", "7"},
	} {
		db, err := openWith(t, filepath.Join(t.TempDir(), "x.db"), map[string]string{c.name: c.value})
		require.NoError(t, err, c.name)
		require.NoError(t, db.Close())
	}
}

func TestExclusiveLockingSaysWhyNothingElseReads(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.Options = map[string]string{"locking_mode": "exclusive"} })
	r := record(t, db)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
	require.Len(t, r.take(t), 2)
	const why = "the locking mode of the writer is exclusive, so that nothing else can use the file: remove options.locking_mode: database is locked"
	_, err := db.Snapshot(t.Context(), func() {})
	require.ErrorContains(t, err, why)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	err = db.WithSideConnection(t.Context(), func(ctx context.Context, side *sql.DB) error {
		_, err := side.ExecContext(ctx, "INSERT INTO t VALUES (2)")
		return err
	})
	require.ErrorContains(t, err, why)
}
