package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// refusals are statements with the word that allows them.
func refusals(dir string) map[string]string {
	return map[string]string{
		"ATTACH '" + dir + "/other.db' AS o":                               sqlapi.AllowFiles,
		"ATTACH '" + dir + "' || '/other.db' AS o":                         sqlapi.AllowFiles,
		"ATTACH 'file::memory:?cache=shared' AS o":                         sqlapi.AllowFiles,
		"VACUUM INTO '" + dir + "/copy.db'":                                sqlapi.AllowFiles,
		"vacuum main into '" + dir + "/copy2.db'":                          sqlapi.AllowFiles,
		"PRAGMA hard_heap_limit = 1000000000":                              sqlapi.AllowSettings,
		"PRAGMA soft_heap_limit(1000000000)":                               sqlapi.AllowSettings,
		"PRAGMA Locking_Mode = normal":                                     sqlapi.AllowSettings,
		"PRAGMA main.journal_mode = wal":                                   sqlapi.AllowSettings,
		"PRAGMA query_only = off":                                          sqlapi.AllowSettings,
		"PRAGMA writable_schema = off":                                     sqlapi.AllowSchema,
		"PRAGMA schema_version = 77":                                       sqlapi.AllowSchema,
		"DROP TABLE wippy_cdc_offsets; CREATE TABLE WIPPY_cdc_offsets (a)": sqlapi.AllowCheckpoint,
		"INSERT INTO main.wippy_cdc_offsets VALUES (1)":                    sqlapi.AllowCheckpoint,
		"UPDATE wippy_cdc_offsets SET a = 1":                               sqlapi.AllowCheckpoint,
		"DELETE FROM wippy_cdc_offsets":                                    sqlapi.AllowCheckpoint,
		"ALTER TABLE wippy_cdc_offsets RENAME TO x; DROP TABLE x; CREATE TABLE wippy_cdc_offsets (a)":   sqlapi.AllowCheckpoint,
		"CREATE TRIGGER tr AFTER INSERT ON wippy_cdc_offsets BEGIN DELETE FROM t; END; DROP TRIGGER tr": sqlapi.AllowCheckpoint,
		"CREATE UNIQUE INDEX i ON wippy_cdc_offsets (a); DROP INDEX i":                                  sqlapi.AllowCheckpoint,
	}
}

// openAllowing opens a database that has the table of checkpoints.
func openAllowing(t *testing.T, words ...string) *sqlite.DB {
	t.Helper()
	file := filepath.Join(t.TempDir(), "test.db")
	plain, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	mustExec(t, plain, "CREATE TABLE wippy_cdc_offsets (a)", "CREATE TABLE t (a)")
	require.NoError(t, plain.Close())
	return open(t, func(c *sqlapi.SQLiteConfig) { c.File, c.Allow = file, words })
}

func TestWhatReachesFurtherIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, captured := range []bool{false, true} {
		db := openAllowing(t)
		if captured {
			record(t, db)
		}
		for statement, word := range refusals(dir) {
			for how, run := range map[string]func() error{
				"exec": func() error { _, err := db.Pool().ExecContext(t.Context(), statement); return err },
				"query": func() error {
					rows, err := db.Pool().QueryContext(t.Context(), statement)
					if err != nil {
						return err
					}
					defer func() { require.NoError(t, errors.Join(rows.Close())) }()
					for rows.Next() {
						t.Error("a row")
					}
					return rows.Err()
				},
				"prepare": func() error {
					s, err := db.Pool().PrepareContext(t.Context(), statement)
					if err != nil {
						return err
					}
					_, err = s.ExecContext(t.Context())
					require.NoError(t, s.Close())
					return err
				},
			} {
				err := run()
				require.ErrorContains(t, err, `add "`+word+`" to the field allow of the entry "app:db"`, "%s %s", how, statement)
				require.Equal(t, errs.PermissionDenied, errs.KindOf(err), statement)
				e, ok := errors.AsType[sqlite3.Error](err)
				require.True(t, ok)
				require.Equal(t, sqlite3.ErrAuth, e.Code)
			}
		}
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Empty(t, left)
		require.Equal(t, [][]any{{int64(0)}}, query(t, db.Pool(), "SELECT count(*) FROM t"))
	}
}

func TestWhatTheEntryAllowsIsNotRefused(t *testing.T) {
	t.Parallel()
	for statement, word := range refusals(t.TempDir()) {
		db := openAllowing(t, word)
		_, err := db.Pool().ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
		_, err = db.Pool().ExecContext(t.Context(), "SELECT load_extension('x')")
		require.ErrorContains(t, err, "load_extension would run code of a file, which is never allowed")
	}
}

// A trigger is refused when it is used.
func TestTriggersReachNoFurther(t *testing.T) {
	t.Parallel()
	db := openAllowing(t)
	mustExec(t, db.Pool(), "CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM wippy_cdc_offsets; END")
	_, err := db.Pool().ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
	require.ErrorContains(t, err, "the table wippy_cdc_offsets is kept by the sources of the database")
	mustExec(t, db.Pool(), "DROP TRIGGER tr", "INSERT INTO t VALUES (1)")
}

// What stays in the database is allowed.
func TestWhatStaysInTheDatabaseIsNotRefused(t *testing.T) {
	t.Parallel()
	db := openAllowing(t)
	s := newSession(t, db)
	conn := oneConn(t, db)
	mustExec(t, conn, "ATTACH ':memory:' AS m", "ATTACH '' AS temporary", "CREATE TABLE m.wippy_cdc_offsets (a)", "INSERT INTO m.wippy_cdc_offsets VALUES (1)",
		"PRAGMA m.journal_mode = off", "DETACH m", "CREATE TEMP TABLE wippy_cdc_offsets (a)", "DROP TABLE temp.wippy_cdc_offsets", "VACUUM",
		"PRAGMA foreign_keys = on", "PRAGMA temp_store = memory", "PRAGMA user_version = 3", "PRAGMA wal_checkpoint(passive)", "PRAGMA optimize",
		"INSERT INTO t VALUES (1)", "ALTER TABLE t ADD COLUMN b DEFAULT 7", "REINDEX", "ANALYZE")
	require.Equal(t, [][]any{{"wal"}}, query(t, conn, "PRAGMA journal_mode"))
	require.Equal(t, [][]any{{"normal"}}, query(t, conn, "PRAGMA locking_mode"))
	require.Empty(t, query(t, conn, "SELECT * FROM wippy_cdc_offsets"))
	for _, tx := range s.sink.take(t) {
		s.replica.apply(tx)
	}
}

// A transaction that is read only makes a database of options.query_only no other.
func TestReadOnlyTransactionsLeaveQueryOnlyAsItIs(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "on"} {
		db := open(t, func(c *sqlapi.SQLiteConfig) {
			c.Allow = nil
			if value != "" {
				c.Options = map[string]string{"query_only": value}
			}
		})
		tx, err := db.Pool().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "PRAGMA query_only = off")
		require.ErrorContains(t, err, "PRAGMA query_only is for all who use the database")
		_, err = tx.ExecContext(t.Context(), "CREATE TABLE t (a)")
		require.ErrorContains(t, err, "readonly")
		require.NoError(t, tx.Rollback())
		_, err = db.Pool().ExecContext(t.Context(), "CREATE TABLE t (a)")
		if value == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "readonly")
		}
	}
}
