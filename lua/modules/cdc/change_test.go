package cdc_test

import (
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestChangesOfOneTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, age)`)
	begun := time.Now()
	got := w.List(prelude + `
		local changes = ok(ok(cdc.stream("app:cdc")):channel())
		local tx = ok(db:begin())
		ok(tx:execute("INSERT INTO users VALUES (7, 'Ada', 36)"))
		ok(tx:execute("UPDATE users SET id = 8, age = NULL"))
		ok(tx:execute("DELETE FROM users"))
		ok(tx:commit())
		return take(changes, 3)`)
	first, isTable := got[0].(map[string]any)
	require.True(t, isTable)
	generation, lsn := first["generation"], first["lsn"]
	require.NotEmpty(t, generation)
	sequence, err := strconv.ParseUint(fmt.Sprint(lsn), 10, 64)
	require.NoError(t, err)
	require.InDelta(t, float64(begun.UnixMicro())/1e6, first["timestamp"], 60)
	common := func(index int, fields map[string]any) map[string]any {
		maps.Copy(fields, map[string]any{
			"schema": "main", "table": "users", "relation": "users", "columns": []any{"id", "name", "age"},
			"source": "app:cdc", "source_id": "app:cdc", "transaction": fmt.Sprintf("%s:%s", generation, lsn),
			"cursor": fmt.Sprintf("%s-%016x-%08x", generation, sequence, index), "last": index == 2,
			"lsn": lsn, "timestamp": first["timestamp"], "generation": generation,
		})
		return fields
	}
	ada := map[string]any{"id": int64(7), "name": "Ada", "age": int64(36)}
	moved := map[string]any{"id": int64(8), "name": "Ada"}
	require.Equal(t, []any{
		common(0, map[string]any{"op": "insert", "after": ada, "key": map[string]any{"id": int64(7)}}),
		common(1, map[string]any{"op": "update", "before": ada, "after": moved, "key": map[string]any{"id": int64(7)}, "new_key": map[string]any{"id": int64(8)}}),
		common(2, map[string]any{"op": "delete", "before": moved, "key": map[string]any{"id": int64(8)}}),
	}, got)
}

// The same stored value looks the same through a query and through a change.
func TestValuesAreThoseOfAQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for i, declared := range []string{"", "INTEGER", "TEXT", "BLOB", "REAL", "BOOLEAN", "DATE", "DATETIME", "NUMERIC"} {
		table := fmt.Sprintf("v%d", i)
		w.schema(fmt.Sprintf(`CREATE TABLE %s (id INTEGER PRIMARY KEY, x %s, big INTEGER)`, table, declared))
		require.Equal(t, []any{}, emptyIsList(w.Value(prelude+`
			local name = ...
			local changes = ok(ok(cdc.stream("app:cdc", {tables = {name}})):channel())
			ok(db:execute("INSERT INTO " .. name .. [[ (x, big) VALUES (0, 9007199254740992), (2, 9007199254740993), (-1, -9223372036854775808),
				(1700000000, 9223372036854775807), (2.5, -9007199254740992), (9e999, -9007199254740993), (-0.0, 0), ('2024-05-06', 1),
				('no date', 1), ('', 1), (X'00ff', 1), (X'', 1), (NULL, NULL), (CAST(X'00ff' AS TEXT), 1)]]))
			local rows = ok(db:query("SELECT * FROM " .. name .. " ORDER BY id"))
			local wrong = {}
			for i, change in ipairs(take(changes, #rows)) do
				for _, column in ipairs(change.columns) do
					local a, b = change.after[column], rows[i][column]
					if a ~= b or type(a) ~= type(b) or (a == 0 and 1 / a ~= 1 / b) then
						wrong[#wrong + 1] = {i, column, tostring(a), tostring(b)}
					end
				end
			end
			return wrong`, table)), declared)
	}
}

func emptyIsList(v any) any {
	if m, ok := v.(map[string]any); ok && len(m) == 0 {
		return []any{}
	}
	return v
}

func TestIntegersBeyondExactNumbersAreStrings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE n (x INTEGER PRIMARY KEY)`)
	require.Equal(t, []any{"-9223372036854775808", "-9007199254740993", int64(-1 << 53), int64(1 << 53), "9007199254740993", "9223372036854775807"},
		w.Value(prelude+`
			local changes = ok(ok(cdc.stream("app:cdc")):channel())
			ok(db:execute([[INSERT INTO n VALUES (-9223372036854775808), (-9007199254740993), (-9007199254740992),
				(9007199254740992), (9007199254740993), (9223372036854775807)]]))
			local values = {}
			for i, change in ipairs(take(changes, 6)) do
				if change.key.x ~= change.after.x then error("key and row differ") end
				values[i] = change.after.x
			end
			return values`))
}

func TestKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE plain (x); CREATE TABLE pair (a, b, c, PRIMARY KEY (c, a)) WITHOUT ROWID; CREATE TABLE named (x PRIMARY KEY);
		CREATE TABLE hidden (rowid, oid, _rowid_); CREATE TABLE half (rowid PRIMARY KEY)`)
	type key = map[string]any
	require.Equal(t, []any{
		[]any{key{"rowid": int64(5)}},
		[]any{key{"rowid": int64(5)}, key{"rowid": int64(6)}},
		[]any{key{"a": int64(1), "c": "k"}},
		[]any{key{"a": int64(1), "c": "k"}, key{"a": int64(9), "c": "k"}},
		[]any{key{"a": int64(9), "c": "k"}},
		[]any{key{"x": "key"}},
		[]any{key{"x": "key"}, key{"rowid": int64(1)}},
		[]any{key{"rowid": int64(1)}},
		[]any{"none"},
		[]any{"none"},
		[]any{key{"_rowid_": int64(1)}},
	}, w.Value(prelude+`
		local changes = ok(ok(cdc.stream("app:cdc")):channel())
		ok(db:execute([[INSERT INTO plain (rowid, x) VALUES (5, 'a'); UPDATE plain SET rowid = 6; INSERT INTO pair VALUES (1, 2, 'k');
			UPDATE pair SET a = 9; UPDATE pair SET b = 3; INSERT INTO named VALUES ('key'); UPDATE named SET x = NULL; DELETE FROM named;
			INSERT INTO hidden VALUES (1, 2, 3); UPDATE hidden SET rowid = 5; INSERT INTO half VALUES (NULL)]]))
		local keys = {}
		for i, change in ipairs(take(changes, 11)) do keys[i] = {change.key or "none", change.new_key} end
		return keys`))
}

func TestTransactionsAreContiguousAndMarked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE a (x); CREATE TABLE b (x)`)
	got := w.Value(prelude + `
		local all = ok(ok(cdc.stream("app:cdc")):channel())
		local some = ok(ok(cdc.stream("app:cdc", {tables = {"B"}, ops = {"insert", "delete"}})):channel())
		local tx = ok(db:begin())
		ok(tx:execute("INSERT INTO b VALUES (1); INSERT INTO a VALUES (1)"))
		ok(tx:commit())
		ok(db:execute("INSERT INTO a VALUES (2)"))
		ok(db:execute("UPDATE b SET x = 2"))
		ok(db:execute("DELETE FROM b"))
		local seen, cursor, base = {}, "", nil
		for _, c in ipairs(take(all, 5)) do
			base = base or c.lsn - 1
			if c.cursor <= cursor then error("cursors must increase") end
			cursor = c.cursor
			seen[#seen + 1] = c.op .. " " .. c.table .. " " .. c.lsn - base .. " " .. tostring(c.last)
		end
		for _, c in ipairs(take(some, 2)) do
			seen[#seen + 1] = c.op .. " " .. c.table .. " " .. c.lsn - base .. " " .. tostring(c.last)
		end
		return seen`)
	require.Equal(t, []any{
		"insert b 1 false", "insert a 1 true", "insert a 2 true", "update b 3 true", "delete b 4 true",
		"insert b 1 true", "delete b 4 true",
	}, got)
}

func TestWhatIsRolledBackIsNotSeen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE a (x UNIQUE)`)
	require.Equal(t, []any{int64(1), int64(4)}, w.Value(prelude+`
		local changes = ok(ok(cdc.stream("app:cdc")):channel())
		local tx = ok(db:begin())
		ok(tx:execute("INSERT INTO a VALUES (1)"))
		ok(tx:savepoint("s"))
		ok(tx:execute("INSERT INTO a VALUES (2)"))
		ok(tx:rollback_to("s"))
		local refused = err(tx:execute("INSERT INTO a VALUES (3), (1)"))
		ok(tx:commit())
		ok(ok(db:begin()):rollback())
		ok(db:execute("INSERT INTO a VALUES (4)"))
		local values = {}
		for i, change in ipairs(take(changes, 2)) do values[i] = change.after.x end
		return values`))
}

func TestColumnsAreSharedAndTellNullFromAbsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE a (x, y)`)
	require.Equal(t, []any{true, true, []any{"x", "y"}, []any{"x", "y", "z"}, true}, w.Value(prelude+`
		local one = ok(ok(cdc.stream("app:cdc", {ops = {"insert"}})):channel())
		local two = ok(ok(cdc.stream("app:cdc", {ops = {"insert"}})):channel())
		ok(db:execute("INSERT INTO a VALUES (1, NULL); INSERT INTO a VALUES (2, 3); ALTER TABLE a ADD COLUMN z; INSERT INTO a VALUES (1, 2, 3)"))
		local a, b = take(one, 3), take(two, 3)
		return {
			rawequal(a[1].columns, a[2].columns), rawequal(a[1].columns, b[1].columns), a[1].columns, a[3].columns,
			a[1].after.y == nil and a[1].after ~= b[1].after,
		}`))
}
