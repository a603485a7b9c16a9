package sqlite_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

func TestValuesArriveAsTheyAreStored(t *testing.T) {
	t.Parallel()
	text, blob, integer, real := sqlapi.TextValue, sqlapi.BlobValue, sqlapi.IntegerValue, sqlapi.RealValue
	for literal, want := range map[string]sqlapi.Value{
		"NULL": {}, "''": text(""), "x''": blob(""), "'a' || char(0) || 'b'": text("a\x00b"), "x'006100'": blob("\x00a\x00"),
		"CAST(x'ff80fe' AS TEXT)": text("\xff\x80\xfe"), "'héllo ✓'": text("héllo ✓"),
		"0": integer(0), "1": integer(1), "-1": integer(-1), "127": integer(127), "128": integer(128), "-128": integer(-128), "-129": integer(-129),
		"32767": integer(32767), "32768": integer(32768), "-32769": integer(-32769), "2147483647": integer(math.MaxInt32),
		"2147483648": integer(math.MaxInt32 + 1), "9223372036854775807": integer(math.MaxInt64), "-9223372036854775808": integer(math.MinInt64),
		"9007199254740993": integer(1<<53 + 1),
		"0.0":              real(0), "-0.0": real(math.Copysign(0, -1)), "1.5": real(1.5), "1e308": real(1e308), "9e999": real(math.Inf(1)), "-9e999": real(math.Inf(-1)),
		"zeroblob(300)":               blob(strings.Repeat("\x00", 300)),
		"hex(zeroblob(600000))":       text(strings.Repeat("00", 600000)),
		"CAST(zeroblob(255) AS TEXT)": text(strings.Repeat("\x00", 255)), "CAST(zeroblob(256) AS TEXT)": text(strings.Repeat("\x00", 256)),
	} {
		name := literal
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, func(c *sqlapi.SQLiteConfig) { c.File = sqlapi.InMemory })
			mustExec(t, db.Pool(), "CREATE TABLE t (v)")
			s := newSession(t, db)
			mustExec(t, db.Pool(), "INSERT INTO t VALUES ("+literal+")", "UPDATE t SET v = v", "UPDATE t SET v = 'other'", "DELETE FROM t")
			txs := s.sink.take(t)
			require.Equal(t, []sqlapi.Value{want}, changes(t, txs[0])[0].After)
			same := changes(t, txs[1])[0]
			require.Equal(t, [][]sqlapi.Value{{want}, {want}}, [][]sqlapi.Value{same.Before, same.After})
			require.Equal(t, []sqlapi.Value{want}, changes(t, txs[2])[0].Before)
		})
	}
}

func TestIntegersInRealColumnsAreReal(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (id INTEGER PRIMARY KEY, v REAL)", "INSERT INTO t VALUES (1, 1)", "ALTER TABLE t ADD COLUMN w REAL DEFAULT 3")
	s := newSession(t, db)
	mustExec(t, db.Pool(), "UPDATE t SET v = 5", "INSERT INTO t VALUES (2, 7, 8)", "DELETE FROM t WHERE id = 1")
	txs := s.sink.take(t)
	update, insert, deleted := changes(t, txs[0])[0], changes(t, txs[1])[0], changes(t, txs[2])[0]
	require.Equal(t, []sqlapi.Value{sqlapi.IntegerValue(1), sqlapi.RealValue(1), sqlapi.RealValue(3)}, update.Before)
	require.Equal(t, []sqlapi.Value{sqlapi.IntegerValue(1), sqlapi.RealValue(5), sqlapi.RealValue(3)}, update.After)
	require.Equal(t, []sqlapi.Value{sqlapi.IntegerValue(2), sqlapi.RealValue(7), sqlapi.RealValue(8)}, insert.After)
	require.Equal(t, []sqlapi.Value{sqlapi.IntegerValue(1), sqlapi.RealValue(5), sqlapi.RealValue(3)}, deleted.Before)
}

func TestUTF16TextIsConverted(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.Options = map[string]string{"encoding": "UTF-16le"} })
	mustExec(t, db.Pool(), "CREATE TABLE t (v)")
	s := newSession(t, db)
	mustExec(t, db.Pool(), "INSERT INTO t VALUES ('héllo ✓')", "UPDATE t SET v = v || '!'")
	txs := s.sink.take(t)
	require.Equal(t, "héllo ✓", changes(t, txs[0])[0].After[0].Bytes())
	require.Equal(t, "héllo ✓!", changes(t, txs[1])[0].After[0].Bytes())
}

func TestShadowTablesOfVirtualTablesAreNotCaptured(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE VIRTUAL TABLE docs USING fts3(body)", "CREATE VIRTUAL TABLE area USING rtree(id, a, b)", "CREATE TABLE t (v)")
	s := newSession(t, db)
	mustExec(t, oneConn(t, db), "BEGIN", "INSERT INTO docs VALUES ('some text')", "INSERT INTO area VALUES (1, 2, 3)", "INSERT INTO t VALUES (1)", "COMMIT")
	txs := s.sink.take(t)
	require.Len(t, txs, 1)
	require.Len(t, changes(t, txs[0]), 1)
}

func TestLargeTransactionsSpill(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.CaptureMemory = 1 << 20 })
	mustExec(t, db.Pool(), "CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
	s := newSession(t, db)
	fill := "WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO t SELECT i, randomblob(1000) FROM n"
	insert := func(from, to string) string {
		return strings.Replace(strings.Replace(fill, "%d", from, 1), "%d", to, 1)
	}
	s.run(1, "BEGIN", insert("1", "3000"), "SAVEPOINT a", insert("3001", "6000"), "ROLLBACK TO a", insert("6001", "6010"),
		"SAVEPOINT b", "UPDATE t SET v = 'short'", "ROLLBACK TO b", "INSERT INTO t VALUES (7000, zeroblob(3000000))", "COMMIT")
	s.run(1, "DELETE FROM t WHERE id > 100")
	s.run(0, "BEGIN", insert("8000", "12000"), "ROLLBACK")
}

func TestATransactionBeyondTheLimitIsLostLoudly(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.CaptureMemory, c.MaxTransactionBytes = 1<<20, 1<<20 })
	mustExec(t, db.Pool(), "CREATE TABLE t (v)")
	r := record(t, db)
	conn := oneConn(t, db)
	mustExec(t, conn, "BEGIN", "INSERT INTO t VALUES (1)", "SAVEPOINT s", "INSERT INTO t VALUES (zeroblob(2000000))",
		"INSERT INTO t VALUES (2)", "ROLLBACK TO s", "COMMIT")
	require.Len(t, r.take(t), 1, "what was too large is undone")
	mustExec(t, conn, "BEGIN", "INSERT INTO t VALUES (zeroblob(2000000))", "INSERT INTO t VALUES (2)", "COMMIT", "INSERT INTO t VALUES (3)")
	require.Len(t, r.lost, 1)
	require.ErrorContains(t, r.lost[0], "max_transaction_bytes")
	require.Len(t, r.transactions, 1, "capture goes on")
	var n int
	require.NoError(t, conn.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&n))
	require.Equal(t, 4, n, "the user's transactions went through")
}
