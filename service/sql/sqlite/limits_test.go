package sqlite_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// wide returns n columns from c0 on.
func wide(n int) string {
	columns := make([]string, n)
	for i := range columns {
		columns[i] = fmt.Sprintf("c%d", i)
	}
	return strings.Join(columns, ", ")
}

// A table has as many columns as SQLite lets it have, so that no result has room for its rowid as well.
func TestTablesOfAsManyColumnsAsThereMayBe(t *testing.T) {
	t.Parallel()
	const most, last = 2000, "c1995"
	for name, create := range map[string]string{
		"rowid": "(" + wide(most) + ")", "without rowid": "(" + wide(most) + ", PRIMARY KEY (c7)) WITHOUT ROWID",
		"the rowid is a column": "(" + strings.Replace(wide(most), "c7", "c7 INTEGER PRIMARY KEY", 1) + ")",
		"one less":              "(" + wide(most-1) + ")", "one is virtual": "(" + wide(most-1) + ", v AS (c0) VIRTUAL)",
		"no name reaches the rowid": "(" + wide(most-3) + ", rowid, oid, _rowid_)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			r := record(t, db)
			mustExec(t, db.Pool(), "CREATE TABLE w "+create,
				"INSERT INTO w (c0, c7, c1995) VALUES (1, 10, 'a'), (2, 30, NULL)", "INSERT INTO w (c7, c0) VALUES (20, 3)",
				"UPDATE w SET c1995 = c0, c7 = c7 + 1 WHERE c0 < 3", "DELETE FROM w WHERE c0 = 1",
				"CREATE TABLE copy AS SELECT * FROM w")
			// The replica has no room for such tables.
			live := map[string]map[any][]any{"w": {}, "copy": {}}
			for _, tx := range r.take(t) {
				for _, c := range changes(t, tx) {
					if c.Op == api.OpTruncate || c.Op == api.OpSchema {
						continue
					}
					old, now := keysOf(t, c)
					if old == nil {
						old, now = images(c.Before), images(c.After)
					}
					delete(live[c.Table.Name], old)
					if len(c.After) > 0 {
						live[c.Table.Name][now] = []any{c.After[0].Any(), c.After[7].Any(), c.After[1995].Any()}
					}
				}
			}
			for table, rows := range live {
				require.ElementsMatch(t, query(t, db.Pool(), "SELECT c0, c7, "+last+" FROM "+table), slices.Collect(maps.Values(rows)))
			}
			snapshot := snapshotOf(t, db)
			_, rows := content(t, snapshot)
			require.Len(t, rows["w"], 2)
			want := query(t, db.Pool(), "SELECT c0, c7, "+last+" FROM w NOT INDEXED")
			for i, row := range rows["w"] {
				require.Equal(t, []any{row.values[0].Any(), row.values[7].Any(), row.values[1995].Any()}, want[i])
			}
			if name == "rowid" {
				require.Equal(t, []int64{2, 3}, []int64{rows["w"][0].rowid, rows["w"][1].rowid})
			}
		})
	}
}

// Other limits of SQLite: https://www.sqlite.org/limits.html.
func TestOtherLimitsOfSQLite(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 100_000)
	deep := "1" + strings.Repeat("+1", 990)
	for name, create := range map[string]string{
		"a long name of a table":    "CREATE TABLE " + long + " (a, b DEFAULT 1)",
		"a long name of a column":   "CREATE TABLE t (a, " + long + " PRIMARY KEY)",
		"a long type":               "CREATE TABLE t (a, b " + long + " VARCHAR(1))",
		"a deep default":            "CREATE TABLE t (a, b DEFAULT (" + deep + "))",
		"a deep generated column":   "CREATE TABLE t (a, b, c AS (" + deep + ") STORED, d AS (" + deep + ") VIRTUAL)",
		"names that need quotes":    "CREATE TABLE \"t \"\" ; -- \n'\" (\"a \"\"\", \"b'\n\" DEFAULT 1)",
		"a name with other letters": "CREATE TABLE \"täblé\u00a0\U0001F600\" (\"ä\", \"\" UNIQUE)",
		"many columns in a key":     "CREATE TABLE t (" + wide(150) + ", PRIMARY KEY (" + wide(150) + "))",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			s := newSession(t, db)
			mustExec(t, db.Pool(), create)
			table := query(t, db.Pool(), "SELECT name FROM sqlite_schema WHERE type = 'table'")[0][0].(string)
			first := query(t, db.Pool(), "SELECT name FROM pragma_table_xinfo(?)", table)[0][0].(string)
			mustExec(t, db.Pool(), "INSERT INTO "+quote(table)+" ("+quote(first)+") VALUES (1), (2)",
				"UPDATE "+quote(table)+" SET "+quote(first)+" = 3 WHERE "+quote(first)+" = 2", "ALTER TABLE "+quote(table)+" ADD COLUMN added DEFAULT 1",
				"DELETE FROM "+quote(table)+" WHERE "+quote(first)+" = 1")
			for _, tx := range s.sink.take(t) {
				s.replica.apply(tx)
			}
			s.replica.same(db)
			_, rows := content(t, snapshotOf(t, db))
			require.Len(t, rows[table], 1)
		})
	}
}

// A database may have ten others attached.
func TestBesideAsManyAttachedDatabasesAsThereMayBe(t *testing.T) {
	t.Parallel()
	db := open(t)
	s := newSession(t, db)
	conn := oneConn(t, db)
	for i := range 10 {
		mustExec(t, conn, fmt.Sprintf("ATTACH ':memory:' AS a%d", i), fmt.Sprintf("CREATE TABLE a%d.t (x)", i))
	}
	mustExec(t, conn, "CREATE TABLE main.t (x)", "BEGIN", "INSERT INTO main.t VALUES (1)", "SAVEPOINT s", "INSERT INTO a9.t VALUES (2)",
		"INSERT INTO main.t VALUES (3)", "ROLLBACK TO s", "INSERT INTO main.t VALUES (4)", "COMMIT")
	for _, tx := range s.sink.take(t) {
		s.replica.apply(tx)
	}
	require.Equal(t, contents(t, conn), s.replica.contents())
}

func TestPagesOf64KiB(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.Options = map[string]string{"page_size": "65536"} })
	s := newSession(t, db)
	mustExec(t, db.Pool(), "CREATE TABLE t (x)", "INSERT INTO t VALUES (zeroblob(300000)), (1)", "UPDATE t SET x = zeroblob(65535) WHERE x = 1")
	for _, tx := range s.sink.take(t) {
		s.replica.apply(tx)
	}
	s.replica.same(db)
	require.Equal(t, [][]any{{int64(65536)}}, query(t, db.Pool(), "PRAGMA page_size"))
	_, rows := content(t, snapshotOf(t, db))
	require.Len(t, rows["t"], 2)
}
