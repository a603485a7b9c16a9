package sqlite_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"
)

// VACUUM numbers the rows of some tables anew. Where rows are identified by that number, it is said.
func TestVacuumThatNumbersRowsAnew(t *testing.T) {
	t.Parallel()
	const lost = `VACUUM: the rows of table "t", which are identified by their rowids, have got new ones: give it an INTEGER PRIMARY KEY`
	for _, c := range []struct {
		name, table string
		// remove is what is deleted before.
		remove string
		tables []string
		lost   bool
	}{
		{"rows without a key", "(a, b)", "a = 1", nil, true},
		{"rows without a key, the first of which is negative", "(a, b)", "0; UPDATE t SET rowid = -rowid WHERE a = 1", nil, true},
		{"rows that are numbered from 1 on", "(a, b)", "a = 3", nil, false},
		{"no rows", "(a, b)", "1", nil, false},
		{"the rowid itself", "(a INTEGER PRIMARY KEY, b)", "a = 1", nil, false},
		{"a key", "(a TEXT PRIMARY KEY, b)", "a = 1", nil, false},
		{"no rowid", "(a PRIMARY KEY, b) WITHOUT ROWID", "a = 1", nil, false},
		{"an index", "(a, b UNIQUE)", "a = 1", nil, false},
		{"no rowid that any name reaches", "(rowid, oid, a AS (rowid), _rowid_ AS (1))", "a = 1", nil, false},
		{"another table is captured", "(a, b)", "a = 1", []string{"other"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			mustExec(t, db.Pool(), "CREATE TABLE t "+c.table, "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)", "DELETE FROM t WHERE "+c.remove,
				"CREATE TABLE other (x)")
			r := record(t, db, c.tables...)
			mustExec(t, db.Pool(), "VACUUM")
			if !c.lost {
				require.Empty(t, r.take(t))
				return
			}
			require.Len(t, r.lost, 1)
			require.EqualError(t, r.lost[0], lost)
			r.lost = nil
			mustExec(t, db.Pool(), "VACUUM", "INSERT INTO t VALUES (4, 4)")
			require.Len(t, r.take(t), 1)
		})
	}
}

func TestVacuumInATransactionIsRefusedAsEver(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2)", "DELETE FROM t WHERE a = 1")
	r := record(t, db)
	conn := oneConn(t, db)
	mustExec(t, conn, "BEGIN", "INSERT INTO t VALUES (3)")
	_, err := conn.ExecContext(t.Context(), "VACUUM")
	require.ErrorContains(t, err, "cannot VACUUM from within a transaction")
	mustExec(t, conn, "COMMIT")
	require.Len(t, r.take(t), 1)
}

// A query for VACUUM is no different: by one that runs when its rows are asked for, new rowids would not be noticed.
func TestVacuumAsAQuery(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)", "INSERT INTO t VALUES (1), (2)", "DELETE FROM t WHERE a = 1", "CREATE TABLE u (a)")
	r := record(t, db)
	prepared, err := db.Pool().PrepareContext(t.Context(), "VACUUM")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, prepared.Close()) })
	for n, query := range []func() (*sql.Rows, error){
		func() (*sql.Rows, error) { return db.Pool().QueryContext(t.Context(), "VACUUM") },
		func() (*sql.Rows, error) { return prepared.QueryContext(t.Context()) },
		func() (*sql.Rows, error) {
			return db.Pool().QueryContext(t.Context(), "CREATE INDEX u_a ON u (a); VACUUM")
		},
	} {
		rows, err := query()
		require.NoError(t, err)
		require.False(t, rows.Next())
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		require.Len(t, r.lost, n+1)
		mustExec(t, db.Pool(), "INSERT INTO t VALUES (3), (4)", "DELETE FROM t WHERE a = 3")
	}
}
