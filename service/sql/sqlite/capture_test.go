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
		Schema: "main", Name: "users", HasRowID: true, Key: []int{0},
		Columns: []sqlapi.Column{{Name: "id", Type: "INTEGER"}, {Name: "name", Type: "TEXT"}, {Name: "score", Type: "REAL"}},
	}
	require.Equal(t, []sqlapi.RowChange{{Op: sqlapi.Insert, Table: table, NewRowID: 7, After: ada}}, changes(t, txs[0]))
	require.Equal(t, []sqlapi.RowChange{{Op: sqlapi.Update, Table: table, OldRowID: 7, NewRowID: 7, Before: ada, After: bob}}, changes(t, txs[1]))
	require.Equal(t, []sqlapi.RowChange{{Op: sqlapi.Delete, Table: table, OldRowID: 7, Before: bob}}, changes(t, txs[2]))
}
