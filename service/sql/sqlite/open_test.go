package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

func TestOpenMakesTheFileAndItsDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := &sqlapi.SQLiteConfig{File: "data/with space?and#more/app.db"}
	cfg.SetDefaults()
	db, err := sqlite.Open(t.Context(), registry.ID{Namespace: "app", Name: "db"}, cfg, dir)
	require.NoError(t, err)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	require.NoError(t, db.Close())
	require.FileExists(t, filepath.Join(dir, cfg.File))
}

func TestOpenAppliesTheConfiguration(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) {
		c.ForeignKeys = true
		c.Synchronous = "full"
		c.BusyTimeout = unit.Duration(1234 * 1e6)
		c.Options = map[string]string{"cache_size": "-4000", "user_version": "7"}
	})
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "foreign_keys": "1", "synchronous": "2", "busy_timeout": "1234", "cache_size": "-4000", "user_version": "7",
	} {
		var got string
		require.NoError(t, db.Pool().QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got))
		require.Equal(t, want, got, pragma)
	}
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "text.db"), []byte("this is not a database, and long enough to tell"), 0o600))
	for _, tc := range []struct {
		file, option, want string
	}{
		{file: ".", want: `sqlite: open "app:db": ` + dir + ` is a directory: file must name a database file`},
		{file: "text.db", want: "file is not a database"},
		{file: "text.db/below.db", want: "not a directory"},
		{file: "x.db", option: "cachesize", want: "options.cachesize: SQLite has no such pragma"},
	} {
		cfg := &sqlapi.SQLiteConfig{File: tc.file}
		cfg.SetDefaults()
		if tc.option != "" {
			cfg.Options = map[string]string{tc.option: "1"}
		}
		_, err := sqlite.Open(t.Context(), registry.ID{Namespace: "app", Name: "db"}, cfg, dir)
		require.ErrorContains(t, err, tc.want)
		require.Equal(t, errs.Invalid, errs.KindOf(err), err)
		require.Contains(t, err.Error(), `"app:db"`)
	}
}

func TestMemoryDatabaseKeepsItsConnection(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) {
		c.File = sqlapi.InMemory
		c.Pool.MaxLifetime = 1
	})
	r := record(t, db)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
	require.Len(t, r.take(t), 2)
}

func TestErrorsAreClassified(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a PRIMARY KEY, b NOT NULL)", "INSERT INTO t VALUES (1, 1)")
	for query, want := range map[string]errs.Kind{
		"INSERT INTO t VALUES (1, 2)":    errs.AlreadyExists,
		"INSERT INTO t VALUES (2, NULL)": errs.Invalid,
		"INSERT INTO":                    errs.Invalid,
	} {
		_, err := db.Pool().ExecContext(t.Context(), query)
		require.Equal(t, want, errs.KindOf(db.Classify(err)), query)
		require.EqualError(t, db.Classify(err), err.Error())
	}
	mustExec(t, db.Pool(), "PRAGMA query_only = 1")
	_, err := db.Pool().ExecContext(t.Context(), "DELETE FROM t")
	require.Equal(t, errs.PermissionDenied, errs.KindOf(db.Classify(err)))
	other := errors.New("other")
	require.Equal(t, other, db.Classify(other))
}

func TestLockedDatabaseIsUnavailable(t *testing.T) {
	t.Parallel()
	var file string
	db := open(t, func(c *sqlapi.SQLiteConfig) {
		file = c.File
		c.BusyTimeout = 1
	})
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	r := record(t, db)
	other, err := sql.Open("sqlite3", file)
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	tx, err := other.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	mustExec(t, tx, "INSERT INTO t VALUES (1)")
	_, err = db.Pool().ExecContext(t.Context(), "INSERT INTO t VALUES (2)")
	err = db.Classify(err)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.True(t, errs.Retryable(err))
	require.NoError(t, tx.Rollback())
	mustExec(t, db.Pool(), "INSERT INTO t VALUES (3)")
	txs := r.take(t)
	require.Len(t, txs, 1)
	require.Equal(t, int64(3), changes(t, txs[0])[0].After[0].Int64())
}

func TestDeclaredTypesDoNotChangeValues(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a DATE, b TIMESTAMP, c BOOLEAN)", "INSERT INTO t VALUES ('not a date', 1700000000000, 7)")
	stmt, err := db.Pool().PrepareContext(t.Context(), "SELECT a, b, c FROM t")
	require.NoError(t, err)
	defer func() { require.NoError(t, stmt.Close()) }()
	for range 2 {
		rows, err := stmt.QueryContext(t.Context())
		require.NoError(t, err)
		types, err := rows.ColumnTypes()
		require.NoError(t, err)
		require.Equal(t, "timestamp", types[1].DatabaseTypeName())
		for rows.Next() {
			var a, b, c any
			require.NoError(t, rows.Scan(&a, &b, &c))
			require.Equal(t, []any{"not a date", int64(1700000000000), int64(7)}, []any{a, b, c})
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
}
