package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// Whatever takes the savepoint sentinel away, it is back before the next transaction needs it.
func TestTheSentinelComesBack(t *testing.T) {
	t.Parallel()
	for name, takeAway := range map[string][]string{
		"temp_store":           {"PRAGMA temp_store = MEMORY"},
		"temp_store in turns":  {"PRAGMA temp_store = 1", "PRAGMA temp_store = 2", "PRAGMA temp_store = 0"},
		"temp_store_directory": {"PRAGMA temp_store_directory = ''"},
		"DROP":                 {"DROP TABLE temp.wippy_capture_sentinel"},
		"a script that drops":  {"BEGIN; DROP TABLE temp.wippy_capture_sentinel; COMMIT"},
		"RENAME":               {"ALTER TABLE temp.wippy_capture_sentinel RENAME TO other"},
		"a schema read anew":   {"PRAGMA writable_schema = RESET"},
		"rows of the schema": {
			"PRAGMA writable_schema = ON", "DELETE FROM temp.sqlite_schema WHERE name LIKE 'wippy%'", "PRAGMA writable_schema = RESET",
		},
		"a DROP undone": {"BEGIN; DROP TABLE temp.wippy_capture_sentinel; ROLLBACK"},
		"a table of that name": {
			"BEGIN; DROP TABLE temp.wippy_capture_sentinel; CREATE TEMP TABLE wippy_capture_sentinel (a); COMMIT",
			"INSERT INTO wippy_capture_sentinel VALUES (1)",
		},
		"a table of the module": {
			"CREATE VIRTUAL TABLE temp.mine USING wippy_capture_sentinel", "DELETE FROM mine", "DROP TABLE temp.wippy_capture_sentinel",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			mustExec(t, db.Pool(), "CREATE TABLE t (a)")
			s := newSession(t, db)
			for range 2 {
				for _, statement := range takeAway {
					_, _ = db.Pool().ExecContext(t.Context(), statement) // the second time there may be no such table
					s.run(1, "BEGIN", "INSERT INTO t VALUES (1)", "SAVEPOINT s", "INSERT INTO t VALUES (2)", "ROLLBACK TO s", "COMMIT")
				}
			}
			s.run(1, "INSERT INTO t VALUES (3)")
			s.run(1, "BEGIN", "DELETE FROM t WHERE a = 3", "COMMIT")
		})
	}
}

// The sentinel stays away from a table of the app that has taken its name.
func TestATableOfTheNameOfTheSentinelKeepsItsRows(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	s := newSession(t, db)
	mustExec(t, db.Pool(), "BEGIN; DROP TABLE temp.wippy_capture_sentinel; CREATE TEMP TABLE wippy_capture_sentinel (a); COMMIT",
		"INSERT INTO wippy_capture_sentinel VALUES (1), (2)")
	s.run(1, "BEGIN", "INSERT INTO t VALUES (1)", "COMMIT")
	require.Equal(t, [][]any{{int64(2)}}, query(t, db.Pool(), "SELECT count(*) FROM wippy_capture_sentinel"))
}

// It may go away while nothing is captured.
func TestTheSentinelComesBackForANewStream(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)", "PRAGMA temp_store = MEMORY")
	s := newSession(t, db)
	s.run(1, "BEGIN", "INSERT INTO t VALUES (1)", "COMMIT")
}

// A transaction that drops the sentinel after it has written cannot be followed to its end. That is told once.
func TestADropInATransactionIsToldOnce(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	r := record(t, db)
	drop := func(end string) {
		mustExec(t, db.Pool(), "BEGIN; SAVEPOINT s; INSERT INTO t VALUES (1); DROP TABLE temp.wippy_capture_sentinel; ROLLBACK TO s; "+
			"INSERT INTO t VALUES (2); "+end)
	}
	drop("ROLLBACK")
	require.Empty(t, told(t, r), "what is undone as a whole is not missed")
	drop("COMMIT")
	require.Len(t, r.lost, 1)
	require.ErrorContains(t, r.lost[0], "savepoints could not be followed")
	r.lost = nil
	for range 3 {
		mustExec(t, db.Pool(), "BEGIN; INSERT INTO t VALUES (3); COMMIT")
		require.Equal(t, []string{"insert t 3"}, told(t, r))
	}
	requireRows(t, db, 4)
}

func requireRows(t *testing.T, db *sqlite.DB, n int64) {
	t.Helper()
	require.Equal(t, [][]any{{n}}, query(t, db.Pool(), "SELECT count(*) FROM t"))
}
