package sqlite_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// rowIDs are the names of the rowid: https://www.sqlite.org/lang_createtable.html#rowid.
func rowIDs() []string { return []string{"rowid", "_rowid_", "oid"} }

func isRowID(name string) bool { return slices.Contains(rowIDs(), name) }

// keysOf returns what identifies the row before the change and after it as a reader would know it: by the key, and by
// the new key where there is one. A row that cannot be told apart has nil.
func keysOf(tb testing.TB, c api.Change) (old, now any) {
	tb.Helper()
	change := &c
	names, values := change.Key()
	old = keyText(tb, c.Table, names, values)
	if names, values = change.NewKey(); len(names) > 0 {
		require.Equal(tb, api.OpUpdate, c.Op)
		return old, keyText(tb, c.Table, names, values)
	}
	return old, old
}

// keyText writes a key so that it stays the same when columns are renamed.
func keyText(tb testing.TB, table *sqlapi.Table, names []string, values []sqlapi.Value) any {
	tb.Helper()
	if len(names) == 0 {
		require.Empty(tb, table.Key)
		require.Empty(tb, table.RowID)
		return nil
	}
	kind := "rowid"
	if len(names) != 1 || names[0] != table.RowID || !isRowID(table.RowID) {
		kind = "key"
		for i, column := range table.Key {
			require.Equal(tb, table.Columns[column].Name, names[i])
		}
		require.Len(tb, names, len(table.Key))
	}
	return kind + images(values)
}

// identifyAll makes the keys of all rows anew, after the table was altered.
func (r *replica) identifyAll(table *sqlapi.Table) {
	r.tb.Helper()
	key := "NULL"
	if isRowID(table.RowID) {
		key = "'rowid integer \"' || " + ownRowID + " || '\"'"
	}
	if len(table.Key) > 0 {
		// What has the form of a key is left to keyText, so each row is read.
		for _, row := range query(r.tb, r.db, "SELECT rowid, "+strings.Join(keyColumns(table), ", ")+" FROM "+quote(table.Name)) {
			values := make([]sqlapi.Value, len(table.Key))
			for i := range values {
				values[i] = valueOf(row[1+2*i], row[2+2*i].(string))
			}
			if slices.ContainsFunc(values, sqlapi.Value.IsNull) {
				r.exec("UPDATE "+quote(table.Name)+" SET "+ownKey+" = "+key+" WHERE rowid = ?", row[0])
			} else {
				r.exec("UPDATE "+quote(table.Name)+" SET "+ownKey+" = ? WHERE rowid = ?", "key"+images(values), row[0])
			}
		}
		return
	}
	r.exec("UPDATE " + quote(table.Name) + " SET " + ownKey + " = " + key)
}

func keyColumns(table *sqlapi.Table) []string {
	var columns []string
	for _, column := range table.Key {
		name := quote(table.Columns[column].Name)
		columns = append(columns, name, "typeof("+name+")")
	}
	return columns
}

func valueOf(v any, kind string) sqlapi.Value {
	switch v := v.(type) {
	case int64:
		return sqlapi.IntegerValue(v)
	case float64:
		return sqlapi.RealValue(v)
	case string:
		return sqlapi.TextValue(v)
	case []byte:
		if kind == "text" {
			return sqlapi.TextValue(string(v))
		}
		return sqlapi.BlobValue(string(v))
	default:
		return sqlapi.Value{}
	}
}

// keys runs statements and returns the keys of the changes of the last, as "names=values → names=values".
func keys(tb testing.TB, statements ...string) []string {
	tb.Helper()
	db := open(tb)
	last := len(statements) - 1
	mustExec(tb, db.Pool(), statements[:last]...)
	r := record(tb, db)
	mustExec(tb, db.Pool(), statements[last])
	var all []string
	for _, tx := range r.take(tb) {
		for _, c := range changes(tb, tx) {
			change := &c
			text := keyString(change.Key())
			if names, values := change.NewKey(); len(names) > 0 {
				text += " → " + keyString(names, values)
			}
			all = append(all, text)
		}
	}
	return all
}

func keyString(names []string, values []sqlapi.Value) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v.Any())
	}
	return strings.Join(names, ",") + "=" + strings.Join(texts, ",")
}

func TestKeysTellRowsApart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, table, first, last string
		want                     []string
	}{
		{
			"a rowid that changes", "(doc)", "INSERT INTO t VALUES ('a'), ('a')",
			"UPDATE t SET rowid = 3, doc = 'b' WHERE rowid = 1",
			[]string{"rowid=1 → rowid=3"},
		},
		{"a rowid that stays", "(doc)", "INSERT INTO t VALUES ('a')", "UPDATE t SET doc = 'b'", []string{"rowid=1"}},
		{
			"NULL in a key", "(a TEXT PRIMARY KEY, b)", "INSERT INTO t VALUES (NULL, 1), (NULL, 1)",
			"UPDATE t SET b = 2 WHERE rowid = 2",
			[]string{"rowid=2"},
		},
		{"a key that is filled", "(a TEXT PRIMARY KEY)", "INSERT INTO t VALUES (NULL)", "UPDATE t SET a = 'x'", []string{"rowid=1 → a=x"}},
		{"a key that is emptied", "(a, b, PRIMARY KEY (b, a))", "INSERT INTO t VALUES (1, 2)", "UPDATE t SET a = NULL", []string{"b,a=2,1 → rowid=1"}},
		{"another rowid of a row with a key", "(a TEXT PRIMARY KEY)", "INSERT INTO t VALUES ('x')", "UPDATE t SET rowid = 7", []string{"a=x"}},
		{"a key of another case", "(a COLLATE NOCASE PRIMARY KEY)", "INSERT INTO t VALUES ('x')", "UPDATE t SET a = 'X'", []string{"a=x → a=X"}},
		{"the rowid itself", "(id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)", "UPDATE t SET rowid = 2", []string{"id=1 → id=2"}},
		{"INTEGER DESC is no rowid", "(id INTEGER PRIMARY KEY DESC)", "INSERT INTO t VALUES (NULL)", "DELETE FROM t", []string{"rowid=1"}},
		{"WITHOUT ROWID", "(a, b, PRIMARY KEY (b, a)) WITHOUT ROWID", "INSERT INTO t VALUES (1, 2)", "UPDATE t SET a = 3", []string{"b,a=2,1 → b,a=2,3"}},
		{"a column called rowid", "(RowID)", "INSERT INTO t VALUES (9)", "UPDATE t SET rowid = 8, _rowid_ = 5", []string{"_rowid_=1 → _rowid_=5"}},
		{"a key called rowid", "(rowid PRIMARY KEY)", "INSERT INTO t VALUES (NULL), (2)", "DELETE FROM t", []string{"_rowid_=1", "rowid=2"}},
		{"two of three names are columns", "(rowid, _rowid_ AS (1))", "INSERT INTO t VALUES (9)", "DELETE FROM t", []string{"oid=1"}},
		{"all three names are columns", "(rowid, _rowid_, oid)", "INSERT INTO t VALUES (7, 8, 9)", "DELETE FROM t", []string{"="}},
		{
			"all three names are columns, and a key may hold NULL", "(k PRIMARY KEY, rowid, _rowid_, oid)", "INSERT INTO t (k) VALUES (1), (NULL)",
			"DELETE FROM t",
			[]string{"=", "="},
		},
		{
			"all three names are columns, and a key holds none", "(k NOT NULL PRIMARY KEY, rowid, _rowid_, oid)", "INSERT INTO t (k) VALUES (1)",
			"DELETE FROM t",
			[]string{"k=1"},
		},
		{
			"all three names are columns beside the rowid itself", "(k INTEGER PRIMARY KEY, rowid, _rowid_, oid)", "INSERT INTO t (k) VALUES (1)",
			"UPDATE t SET k = 2",
			[]string{"k=1 → k=2"},
		},
		{
			"INTEGER DESC beside all three names", "(k INTEGER PRIMARY KEY DESC, rowid, _rowid_, oid)", "INSERT INTO t (rowid) VALUES (1)",
			"DELETE FROM t",
			[]string{"="},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, keys(t, "CREATE TABLE t "+c.table, c.first, c.last))
		})
	}
}

// A snapshot knows a row by what later changes call it.
func TestSnapshotsHaveTheKeysOfLiveChanges(t *testing.T) {
	t.Parallel()
	const two, withNulls = "(5, 6)", "(5, 6), (NULL, 7), (NULL, 7)"
	for table, rows := range map[string]string{
		"(a, b)": withNulls, "(a PRIMARY KEY, b)": withNulls, "(a INTEGER PRIMARY KEY, b)": withNulls, "(a INTEGER PRIMARY KEY DESC, b)": withNulls,
		"(a NOT NULL, b, PRIMARY KEY (b, a)) WITHOUT ROWID": two, "(rowid, b)": withNulls, "(rowid PRIMARY KEY, oid)": withNulls,
		"(rowid, _rowid_, oid AS (1))": withNulls, "(rowid, b, _rowid_ AS (1))": withNulls,
		"(a INTEGER PRIMARY KEY, b, oid AS (1), rowid AS (a), _rowid_ AS (b))":  withNulls,
		"(a NOT NULL PRIMARY KEY, b, rowid AS (1), oid AS (1), _rowid_ AS (1))": two,
	} {
		db := open(t)
		mustExec(t, db.Pool(), "CREATE TABLE t "+table, "INSERT INTO t VALUES "+rows)
		s, err := db.Snapshot(t.Context(), func() {})
		require.NoError(t, err)
		tables, err := s.Tables()
		require.NoError(t, err)
		var first []string
		for _, row := range readTable(t, s, tables[0]) {
			change := api.Change{Op: api.OpInsert, Table: tables[0].Table(), After: row.values, NewRowID: row.rowid}
			first = append(first, keyString(change.Key()))
		}
		require.NoError(t, s.Close())
		r := record(t, db)
		mustExec(t, db.Pool(), "DELETE FROM t")
		var later []string
		for _, c := range changes(t, r.take(t)[0]) {
			later = append(later, keyString(c.Key()))
		}
		require.ElementsMatch(t, later, first, table)
	}
}
