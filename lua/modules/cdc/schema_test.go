package cdc_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSchemaChangesOnRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE users (id INTEGER PRIMARY KEY)`)
	require.Equal(t, []any{
		map[string]any{"op": "schema", "table": "notes", "action": "create", "sql": "CREATE TABLE notes (a)", "columns": []any{"a"}, "last": true},
		map[string]any{
			"op": "schema", "table": "memos", "action": "alter", "sql": `CREATE TABLE "memos" (a)`, "renamed_from": "notes",
			"columns": []any{"a"}, "last": true,
		},
		map[string]any{"op": "truncate", "table": "memos", "columns": []any{"a"}, "last": false},
		map[string]any{"op": "schema", "table": "memos", "action": "drop", "columns": []any{"a"}, "last": true},
		"truncate memos true",
	}, w.Value(prelude+`
		local asks = ok(ok(cdc.stream("app:cdc", {schema = true})):channel())
		local plain = ok(ok(cdc.stream("app:cdc", {schema = false})):channel())
		ok(db:execute("CREATE TABLE notes (a)"))
		ok(db:execute("ALTER TABLE notes RENAME TO memos"))
		ok(db:execute("DROP TABLE memos"))
		local list = {}
		for i, c in ipairs(take(asks, 4)) do
			if c.before or c.after or c.key then error("a change of a whole table has no row") end
			list[i] = {op = c.op, table = c.table, action = c.action, sql = c.sql, renamed_from = c.renamed_from, columns = c.columns, last = c.last}
		end
		local c = plain:receive()
		list[5] = c.op .. " " .. c.table .. " " .. tostring(c.last)
		return list`))
}
