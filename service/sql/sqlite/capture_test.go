package sqlite_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

func TestEachOperationHasItsImages(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, score REAL)")
	r := record(t, db)
	mustExec(t, db.Pool(),
		"INSERT INTO users VALUES (7, 'ada', 1)",
		"UPDATE users SET name = 'bob' WHERE id = 7",
		"DELETE FROM users",
	)
	txs := r.take(t)
	require.Len(t, txs, 3)
	ada := []sqlapi.Value{sqlapi.IntegerValue(7), sqlapi.TextValue("ada"), sqlapi.RealValue(1)}
	bob := []sqlapi.Value{sqlapi.IntegerValue(7), sqlapi.TextValue("bob"), sqlapi.RealValue(1)}
	table := &sqlapi.Table{
		Schema: "main", Name: "users", HasRowID: true, RowID: "rowid", Key: []int{0},
		Columns: []sqlapi.Column{{Name: "id", Type: "INTEGER"}, {Name: "name", Type: "TEXT"}, {Name: "score", Type: "REAL"}},
	}
	require.Equal(t, []api.Change{{Op: api.OpInsert, Table: table, NewRowID: 7, After: ada}}, changes(t, txs[0]))
	require.Equal(t, []api.Change{{Op: api.OpUpdate, Table: table, OldRowID: 7, NewRowID: 7, Before: ada, After: bob}}, changes(t, txs[1]))
	require.Equal(t, []api.Change{{Op: api.OpDelete, Table: table, OldRowID: 7, Before: bob}}, changes(t, txs[2]))
}

// A summary says for which streams a transaction is, without its records being read. What was undone may be in it as a
// table, but is not counted.
func TestATransactionHasASummary(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.CaptureMemory = 1 << 20 })
	mustExec(t, db.Pool(), "CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE hidden (x)")
	r := record(t, db, "a", "b")
	for script, want := range map[string]string{
		"INSERT INTO a VALUES (1)": "a insert 1",
		"INSERT INTO hidden VALUES (1); INSERT INTO b VALUES (1), (2); DELETE FROM b WHERE x = 2":     "b insert delete 3",
		"INSERT INTO b VALUES (1); SAVEPOINT s; UPDATE a SET x = 2; ROLLBACK TO s":                    "b insert a update 1",
		"SAVEPOINT s; INSERT INTO b VALUES (1); ROLLBACK TO s; INSERT INTO a VALUES (2)":              "b insert a insert 1",
		"INSERT INTO b VALUES (zeroblob(900000)), (zeroblob(900000)), (zeroblob(900000))":             "b insert 3",
		"INSERT INTO a VALUES (1); INSERT INTO a VALUES (1); COMMIT; BEGIN; INSERT INTO b VALUES (1)": "a insert 2, b insert 1",
	} {
		mustExec(t, db.Pool(), "DELETE FROM a; DELETE FROM b; INSERT INTO a VALUES (1)")
		_ = r.take(t)
		mustExec(t, db.Pool(), "BEGIN; "+script+"; COMMIT")
		var got []string
		for _, tx := range r.take(t) {
			got = append(got, summary(tx))
			changes(t, tx)
		}
		require.Equal(t, want, strings.Join(got, ", "), script)
	}
}

// Readers that know tables by slot have to forget what they know when slots start again, so these do not with every change of the
// schema; and there are never many.
func TestSlotsGoOnOverSchemaChanges(t *testing.T) {
	t.Parallel()
	db := open(t)
	r := record(t, db)
	for i := range 300 {
		name := "t" + strconv.Itoa(i)
		mustExec(t, db.Pool(), "CREATE TABLE "+name+" (x)", "INSERT INTO "+name+" VALUES (1)")
	}
	last, starts := uint32(0), 0
	for i, tx := range r.take(t) {
		require.Len(t, tx.touched, 1)
		slot := tx.touched[0].Slot
		require.Equal(t, "t"+strconv.Itoa(i/2), tx.touched[0].Shape.Table().Name)
		require.Less(t, slot, uint32(64))
		if slot < last {
			starts++
		}
		last = slot
		changes(t, tx)
	}
	require.Positive(t, starts)
	require.Less(t, starts, 20)
}

func summary(tx *transaction) string {
	var words []string
	for _, touched := range tx.touched {
		words = append(words, touched.Shape.Table().Name)
		for op := capture.OpInsert; op <= capture.OpSchema; op++ {
			if touched.Ops>>op&1 != 0 {
				words = append(words, string(opOf(op)))
			}
		}
	}
	sum := uint32(0)
	for _, n := range tx.counts {
		sum += n
	}
	return strings.Join(words, " ") + " " + strconv.Itoa(int(sum))
}
