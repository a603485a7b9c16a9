package sqlite_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3" // the replica uses the bare driver
	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// replica is a second database that is changed by what was captured alone. It has no triggers, no foreign keys and no
// constraints but the keys of its tables, and a before image that is not the row it has fails the test.
type replica struct {
	tb testing.TB
	db *sql.DB
}

func newReplica(tb testing.TB) *replica {
	tb.Helper()
	db, err := sql.Open("sqlite3", ":memory:")
	require.NoError(tb, err)
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return &replica{tb: tb, db: db}
}

// apply replays a transaction.
func (r *replica) apply(tx sqlapi.Transaction) {
	r.tb.Helper()
	for _, change := range changes(r.tb, tx) {
		r.ensure(change.Table)
		if change.Before != nil {
			r.remove(change)
		}
		if change.After != nil {
			r.insert(change)
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

// ensure makes the table, with columns of no affinity, so that values stay what they are.
func (r *replica) ensure(table *sqlapi.Table) {
	r.tb.Helper()
	columns := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		columns[i] = quote(c.Name)
	}
	suffix := ""
	if !table.HasRowID {
		key := make([]string, len(table.Key))
		for i, c := range table.Key {
			key[i] = columns[c]
		}
		suffix = ", PRIMARY KEY (" + strings.Join(key, ", ") + ")"
	}
	r.exec("CREATE TABLE IF NOT EXISTS " + quote(table.Name) + " (_rowid, " + strings.Join(columns, ", ") + suffix + ")")
}

func (r *replica) remove(change sqlapi.RowChange) {
	r.tb.Helper()
	where, args := []string{"_rowid = ?"}, []any{change.OldRowID}
	for i, c := range change.Table.Columns {
		where = append(where, quote(c.Name)+" IS ?", "typeof("+quote(c.Name)+") = ?")
		args = append(args, change.Before[i].Any(), change.Before[i].Type().String())
	}
	n := r.exec("DELETE FROM "+quote(change.Table.Name)+" WHERE "+strings.Join(where, " AND "), args...)
	require.EqualValues(r.tb, 1, n, "%s of %s: the replica has no row %d %v", change.Op, change.Table.Name, change.OldRowID, change.Before)
}

func (r *replica) insert(change sqlapi.RowChange) {
	r.tb.Helper()
	args := []any{change.NewRowID}
	for _, v := range change.After {
		args = append(args, v.Any())
	}
	marks := strings.Repeat(", ?", len(change.After))
	r.exec("INSERT INTO "+quote(change.Table.Name)+" VALUES (?"+marks+")", args...)
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// same fails the test unless the replica has the rows of the tables that the source has, with types and bytes.
func (r *replica) same(source *sqlite.DB, tables ...*sqlapi.Table) {
	r.tb.Helper()
	for _, table := range tables {
		r.ensure(table)
		rowid := "rowid"
		if !table.HasRowID {
			rowid = "0"
		}
		want := dump(r.tb, source.Pool(), table, rowid)
		got := dump(r.tb, r.db, table, "_rowid")
		require.Equal(r.tb, want, got, table.Name)
	}
}

func dump(tb testing.TB, db *sql.DB, table *sqlapi.Table, rowid string) []string {
	tb.Helper()
	parts := []string{"quote(" + rowid + ")"}
	for _, c := range table.Columns {
		parts = append(parts, fmt.Sprintf("quote(%[1]s) || ' ' || typeof(%[1]s) || ' ' || hex(%[1]s)", quote(c.Name)))
	}
	rows, err := db.QueryContext(tb.Context(), "SELECT "+strings.Join(parts, " || ' | ' || ")+" AS line FROM "+
		quote(table.Name)+" ORDER BY line")
	require.NoError(tb, err)
	defer func() { require.NoError(tb, rows.Close()) }()
	var lines []string
	for rows.Next() {
		var line string
		require.NoError(tb, rows.Scan(&line))
		lines = append(lines, line)
	}
	require.NoError(tb, rows.Err())
	return lines
}
