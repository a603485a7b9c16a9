package cdc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

func TestSnapshotAndThenLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE users (id INTEGER PRIMARY KEY, name); CREATE TABLE pair (a, b, PRIMARY KEY (b)) WITHOUT ROWID; CREATE TABLE plain (x)`)
	got := w.List(prelude + `
		ok(db:execute("INSERT INTO users VALUES (1, 'ann'), (9007199254740993, NULL); INSERT INTO pair VALUES (1, 'k'); INSERT INTO plain (rowid, x) VALUES (5, x'00')"))
		local changes = ok(ok(cdc.stream("app:cdc", {snapshot = true, ops = {"delete"}})):channel())
		ok(db:execute("INSERT INTO users VALUES (2, 'bob')"))
		ok(db:execute("DELETE FROM users WHERE id = 1"))
		return take(changes, 5)`)
	first, isTable := got[0].(map[string]any)
	require.True(t, isTable)
	var list []any
	for _, c := range got {
		change, isTable := c.(map[string]any)
		require.True(t, isTable)
		if change["op"] == "snapshot" {
			require.Equal(t, first["transaction"], change["transaction"])
			require.Equal(t, first["lsn"], change["lsn"])
			require.NotContains(t, change, "before")
		} else {
			require.Greater(t, change["lsn"], first["lsn"])
			require.Greater(t, change["cursor"], first["cursor"])
		}
		list = append(list, []any{change["op"], change["table"], change["key"], change["after"], change["last"]})
	}
	require.Equal(t, []any{
		[]any{"snapshot", "pair", map[string]any{"b": "k"}, map[string]any{"a": int64(1), "b": "k"}, false},
		[]any{"snapshot", "plain", map[string]any{"rowid": int64(5)}, map[string]any{"x": "\x00"}, false},
		[]any{"snapshot", "users", map[string]any{"id": int64(1)}, map[string]any{"id": int64(1), "name": "ann"}, false},
		[]any{
			"snapshot", "users", map[string]any{"id": "9007199254740993"}, map[string]any{"id": "9007199254740993"}, true,
		},
		[]any{"delete", "users", map[string]any{"id": int64(1)}, nil, true},
	}, list)
}

func TestSnapshotByDefaultOnlyOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *api.SQLiteConfig) { c.Snapshot = true })
	w.schema(`CREATE TABLE users (id INTEGER PRIMARY KEY); INSERT INTO users VALUES (1)`)
	require.Equal(t, []any{"snapshot", "insert", "snapshot", "insert"}, w.Value(prelude+`
		local ops = {}
		local function first(options)
			local stream = ok(cdc.stream("app:cdc", options))
			local changes = ok(stream:channel())
			ok(db:execute("INSERT INTO users DEFAULT VALUES"))
			ops[#ops + 1] = changes:receive().op
			ok(stream:close())
		end
		first({})
		first({})
		first({snapshot = true})
		first({snapshot = false})
		return ops`))
}

func TestSnapshotsThatCannotBegin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *api.SQLiteConfig) { c.Subscriptions.MaxSnapshotSubscriptions = 1 })
	w.schema(`CREATE TABLE users (id INTEGER PRIMARY KEY); INSERT INTO users VALUES (1), (2), (3)`)
	got := w.List(prelude + `
		local first = ok(cdc.stream("app:cdc", {snapshot = true, buffer = 1}))
		ok(first:channel())
		local second = ok(cdc.stream("app:cdc", {snapshot = true}))
		local refused = err(second:channel())
		local during = cdc.source("app:cdc").admission.snapshots
		ok(first:close())
		local rows = #take(ok(second:channel()), 3)
		return {refused[1], refused[2], during, rows, cdc.source("app:cdc").checkpoint_error or "none"}`)
	require.Equal(t, "UNAVAILABLE", got[0])
	require.Contains(t, got[1], "1 streams are reading a snapshot")
	require.Equal(t, []any{int64(1), int64(3), "none"}, got[2:])
	w.stop()
	require.Equal(t, []any{"UNAVAILABLE", `cdc: source "app:cdc" is not running (stopped): name it under lifecycle.requires of what needs it, or give it auto_start`}, w.Value(prelude+`
		return err(ok(cdc.stream("app:cdc", {snapshot = true})):channel())`))
}

func TestAProcessThatEndsDuringItsSnapshot(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.schema(`CREATE TABLE users (id INTEGER PRIMARY KEY)`)
	w.schema(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO users SELECT i FROM n`)
	require.Equal(t, "snapshot", w.Value(prelude+`
		return ok(ok(cdc.stream("app:cdc", {snapshot = true})):channel()):receive().op`))
	require.Zero(t, w.active())
}

func TestACheckpointThatCannotBeKeptIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.stop()
	w.schema(`DROP TABLE wippy_cdc_offsets; CREATE TABLE wippy_cdc_offsets (x)`)
	stop := w.source("cdc", nil)
	defer stop()
	require.Equal(t, []any{"running", true, false}, w.Value(prelude+`
		local info = cdc.source("app:cdc")
		return {info.state, info.checkpoint_error:message():find("wippy_cdc_offsets", 1, true) ~= nil, info.faulted}`))
}
