package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3" // the replica uses the bare driver
	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// replica is a second database that is changed by what was captured alone. It has no triggers, no foreign keys and no
// constraints but the keys of its tables, and a before image that is not the row it has fails the test. Its columns
// have no affinity, so that values stay what they are. Its first column holds the rowid of the source, and its second
// what identifies the row, as the key and the new key of changes have told; rows are found by that.
type replica struct {
	tb testing.TB
	db *sql.DB
	// shapes are the tables as they are here.
	shapes map[string]*sqlapi.Table
}

func newReplica(tb testing.TB) *replica {
	tb.Helper()
	db, err := sql.Open("sqlite3", ":memory:")
	require.NoError(tb, err)
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return &replica{tb: tb, db: db, shapes: map[string]*sqlapi.Table{}}
}

// apply replays a transaction.
func (r *replica) apply(tx *transaction) {
	r.tb.Helper()
	for _, change := range changes(r.tb, tx) {
		switch change.Op {
		case api.OpSchema:
			r.changeSchema(change)
		case api.OpTruncate:
			r.ensure(change.Table)
			r.exec("DELETE FROM " + quote(change.Table.Name))
		case api.OpSnapshot, api.OpBegin, api.OpEnd:
			require.Fail(r.tb, "a transaction has no rows of snapshots")
		case api.OpInsert, api.OpUpdate, api.OpDelete:
			r.ensure(change.Table)
			old, now := keysOf(r.tb, change)
			if len(change.Before) > 0 {
				r.remove(change, old)
			}
			if len(change.After) > 0 {
				r.insert(change, now)
			}
		}
	}
}

func (r *replica) exec(query string, args ...any) int64 {
	r.tb.Helper()
	result, err := r.db.ExecContext(r.tb.Context(), query, args...)
	require.NoError(r.tb, err, query)
	n, err := result.RowsAffected()
	require.NoError(r.tb, err)
	return n
}

// ensure makes a table that was there before capture began.
func (r *replica) ensure(table *sqlapi.Table) {
	r.tb.Helper()
	if have := r.shapes[table.Name]; have != nil {
		require.Equal(r.tb, have, table, "the shape of a row is not that of its table")
		return
	}
	r.create(table)
}

func (r *replica) create(table *sqlapi.Table) {
	r.tb.Helper()
	r.shapes[table.Name] = table
	columns := names(table)
	suffix := ""
	if !table.HasRowID {
		key := make([]string, len(table.Key))
		for i, c := range table.Key {
			key[i] = columns[c]
		}
		suffix = ", PRIMARY KEY (" + strings.Join(key, ", ") + ")"
	}
	r.exec("CREATE TABLE " + quote(table.Name) + " (" + ownRowID + ", " + ownKey + " UNIQUE, " + strings.Join(columns, ", ") + suffix + ")")
}

const (
	ownRowID = `"the rowid"`
	ownKey   = `"the key"`
)

func names(table *sqlapi.Table) []string {
	columns := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		columns[i] = quote(c.Name)
	}
	return columns
}

func (r *replica) changeSchema(change api.Change) {
	r.tb.Helper()
	name := change.Table.Name
	switch change.Schema.Action {
	case api.Create:
		require.Contains(r.tb, strings.ToUpper(change.Schema.SQL), "CREATE TABLE")
		require.Nil(r.tb, r.shapes[name])
		r.create(change.Table)
	case api.Drop:
		r.ensure(change.Table)
		r.exec("DROP TABLE " + quote(name))
		delete(r.shapes, name)
	case api.Alter:
		from := change.Schema.From
		if from == "" {
			from = name
		}
		old := r.shapes[from]
		if old == nil {
			r.create(change.Table)
			return
		}
		delete(r.shapes, from)
		r.exec("ALTER TABLE " + quote(from) + " RENAME TO old")
		r.create(change.Table)
		r.exec("INSERT INTO " + quote(name) + " SELECT " + ownRowID + ", NULL, " + strings.Join(r.carry(old, change), ", ") + " FROM old")
		r.exec("DROP TABLE old")
		r.identifyAll(change.Table)
	}
}

// carry tells where the columns of an altered table come from: the old column of that name or, when just a name has
// changed, of that place; else the default.
func (r *replica) carry(old *sqlapi.Table, change api.Change) []string {
	r.tb.Helper()
	var from []string
	for i, c := range change.Table.Columns {
		here := slices.IndexFunc(old.Columns, func(o sqlapi.Column) bool { return o.Name == c.Name })
		switch {
		case here >= 0:
			from = append(from, quote(c.Name))
		case len(old.Columns) == len(change.Table.Columns):
			from = append(from, quote(old.Columns[i].Name))
		default:
			from = append(from, r.defaultOf(change, c))
		}
	}
	return from
}

// defaultOf returns the default of a new column as a literal of the type that the column gives it.
func (r *replica) defaultOf(change api.Change, c sqlapi.Column) string {
	r.tb.Helper()
	scratch, err := sql.Open("sqlite3", ":memory:")
	require.NoError(r.tb, err)
	defer func() { require.NoError(r.tb, scratch.Close()) }()
	scratch.SetMaxOpenConns(1)
	mustExec(r.tb, scratch, change.Schema.SQL)
	var value sql.NullString
	require.NoError(r.tb, scratch.QueryRowContext(r.tb.Context(),
		"SELECT dflt_value FROM pragma_table_xinfo(?) WHERE name = ?", change.Table.Name, c.Name).Scan(&value))
	if !value.Valid {
		return "NULL"
	}
	// A word is a default without brackets only, an expression only with them.
	if _, err := scratch.ExecContext(r.tb.Context(), "CREATE TABLE one (c "+c.Type+" DEFAULT ("+value.String+"\n))"); err != nil {
		mustExec(r.tb, scratch, "CREATE TABLE one (c "+c.Type+" DEFAULT "+value.String+"\n)")
	}
	mustExec(r.tb, scratch, "INSERT INTO one DEFAULT VALUES")
	var literal string
	require.NoError(r.tb, scratch.QueryRowContext(r.tb.Context(), "SELECT quote(c) FROM one").Scan(&literal))
	return literal
}

// remove deletes the row that the change says was there: by its key or, if it has none, by its rowid.
func (r *replica) remove(change api.Change, key any) {
	r.tb.Helper()
	where, args := []string{ownKey + " IS ?"}, []any{key}
	if key == nil {
		where, args = append(where, ownRowID+" = ?"), append(args, change.OldRowID)
	}
	for i, c := range change.Table.Columns {
		where = append(where, quote(c.Name)+" IS ?", "typeof("+quote(c.Name)+") = ?")
		args = append(args, change.Before[i].Any(), change.Before[i].Type().String())
	}
	n := r.exec("DELETE FROM "+quote(change.Table.Name)+" WHERE "+strings.Join(where, " AND "), args...)
	require.EqualValues(r.tb, 1, n, "%s of %s: the replica has no row %v %v", change.Op, change.Table.Name, key, change.Before)
}

func (r *replica) insert(change api.Change, key any) {
	r.tb.Helper()
	args := []any{change.NewRowID, key}
	for _, v := range change.After {
		args = append(args, v.Any())
	}
	marks := strings.Repeat(", ?", len(change.After))
	r.exec("INSERT INTO "+quote(change.Table.Name)+" VALUES (?, ?"+marks+")", args...)
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// same fails the test unless the replica has the rows that the source has, with types and bytes.
func (r *replica) same(source *sqlite.DB) {
	r.tb.Helper()
	require.Equal(r.tb, nonEmpty(contents(r.tb, source.Pool())), nonEmpty(r.contents()))
}

func (r *replica) contents() map[string][]string {
	r.tb.Helper()
	all := map[string][]string{}
	for name, table := range r.shapes {
		if isRowID(table.RowID) {
			all[name+" by "+table.RowID] = dump(r.tb, r.db, table, ownRowID)
		} else {
			all[name] = dump(r.tb, r.db, table, "0")
		}
	}
	return all
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// contents dumps all ordinary tables of the main schema by their name and that of the rowid.
func contents(tb testing.TB, db querier) map[string][]string {
	tb.Helper()
	all := map[string][]string{}
	for _, row := range query(tb, db, "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND (type = 'table' OR name = 'notes_content') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'") {
		table := &sqlapi.Table{Name: row[0].(string)}
		rowids := rowIDs()
		for _, column := range query(tb, db, "SELECT name, hidden FROM pragma_table_xinfo(?, 'main')", table.Name) {
			name := column[0].(string)
			rowids = slices.DeleteFunc(rowids, func(rowid string) bool { return strings.EqualFold(rowid, name) })
			if column[1] != int64(2) {
				table.Columns = append(table.Columns, sqlapi.Column{Name: name})
			}
		}
		if row[1] == int64(0) && len(rowids) > 0 {
			all[table.Name+" by "+rowids[0]] = dump(tb, db, table, rowids[0])
		} else {
			all[table.Name] = dump(tb, db, table, "0")
		}
	}
	return all
}

func query(tb testing.TB, db querier, text string, args ...any) [][]any {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), text, args...)
	require.NoError(tb, err, text)
	defer func() { require.NoError(tb, rows.Close()) }()
	columns, err := rows.Columns()
	require.NoError(tb, err)
	var all [][]any
	for rows.Next() {
		row, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			pointers[i] = &row[i]
		}
		require.NoError(tb, rows.Scan(pointers...))
		all = append(all, row)
	}
	require.NoError(tb, rows.Err())
	return all
}

// dump returns a line for each row, with the storage type and the bytes of each value.
func dump(tb testing.TB, db querier, table *sqlapi.Table, rowid string) []string {
	tb.Helper()
	parts := []string{"quote(" + rowid + ")"}
	for _, c := range names(table) {
		parts = append(parts, fmt.Sprintf("quote(%[1]s) || ' ' || typeof(%[1]s) || ' ' || hex(%[1]s)", c))
	}
	lines := []string{}
	for _, row := range query(tb, db, "SELECT "+strings.Join(parts, " || ' | ' || ")+" AS line FROM main."+quote(table.Name)+" ORDER BY line") {
		lines = append(lines, row[0].(string))
	}
	return lines
}
