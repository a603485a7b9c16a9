package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
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
	require.Equal(t, []sqlapi.RowChange{{Op: sqlapi.Insert, Table: table, NewRowID: 7, After: ada}}, changes(t, txs[0]))
	require.Equal(t, []sqlapi.RowChange{{Op: sqlapi.Update, Table: table, OldRowID: 7, NewRowID: 7, Before: ada, After: bob}}, changes(t, txs[1]))
	require.Equal(t, []sqlapi.RowChange{{Op: sqlapi.Delete, Table: table, OldRowID: 7, Before: bob}}, changes(t, txs[2]))
}

// A transaction is only looked at, not read, to find out whom it concerns.
func TestATransactionTellsWhatItTouches(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.CaptureMemory = 1 << 20 })
	mustExec(t, db.Pool(), "CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE hidden (x)")
	r := record(t, db, "a", "b")
	insertOfA := func(table *sqlapi.Table, op sqlapi.Op) bool { return table.Name == "a" && op == sqlapi.Insert }
	for script, want := range map[string]bool{
		"INSERT INTO a VALUES (1)":                                                     true,
		"INSERT INTO b VALUES (1)":                                                     false,
		"INSERT INTO b VALUES (1); DELETE FROM b; UPDATE a SET x = 2":                  false,
		"INSERT INTO b VALUES (1); DELETE FROM a; INSERT INTO a VALUES (1)":            true,
		"INSERT INTO hidden VALUES (1); INSERT INTO b VALUES (1); DELETE FROM b":       false,
		"INSERT INTO b VALUES (1), (2), (3), (4), (5), (6), (7), (8)":                  false,
		"INSERT INTO b VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9)":             true, // it may
		"INSERT INTO b VALUES (zeroblob(900000)), (zeroblob(900000)), (zeroblob(900))": true, // it is in a file
	} {
		mustExec(t, db.Pool(), "DELETE FROM a; DELETE FROM b; INSERT INTO a VALUES (1)")
		_ = r.take(t)
		mustExec(t, db.Pool(), "BEGIN; "+script+"; COMMIT")
		txs := r.take(t)
		require.Len(t, txs, 1, script)
		touches, passed := txs[0].Touches(insertOfA)
		require.Equal(t, want, touches, script)
		if !touches {
			var all sqlapi.Tally
			for _, change := range changes(t, txs[0]) {
				all[change.Op]++
			}
			require.Equal(t, all, passed, script)
		}
		touches, _ = txs[0].Touches(func(*sqlapi.Table, sqlapi.Op) bool { return true })
		require.True(t, touches, script)
	}
}
