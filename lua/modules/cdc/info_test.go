package cdc_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/source"
)

func TestSourceInfo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *api.SQLiteConfig) { c.Tables = []string{"users"} })
	w.schema(`CREATE TABLE users (id INTEGER PRIMARY KEY)`)
	got := w.List(prelude + `
		local stream = ok(cdc.stream("app:cdc", {max_bytes = 1000}))
		ok(stream:channel())
		ok(db:execute("INSERT INTO users VALUES (1)"))
		return {cdc.source("cdc"), ok(stream:channel()):receive()}`)
	info := got[0]
	change, isTable := got[1].(map[string]any)
	require.True(t, isTable)
	require.Equal(t, map[string]any{
		"id": "app:cdc", "kind": "db.cdc.sqlite", "name": "cdc", "state": "running", "generation": change["generation"], "epoch": int64(1),
		"engine": "sqlite", "db_resource": "app:db", "tables": []any{"users"}, "snapshot": false,
		"streaming": false, "failover": false, "temporary": false, "faulted": false, "lsn": change["lsn"],
		"admission": map[string]any{"active": int64(1), "snapshots": int64(0), "reserved_bytes": int64(1000), "rejected": int64(0)},
		"capabilities": map[string]any{
			"snapshot": true, "capture_resume": false, "replayable": false, "captures_external_writes": false,
			"before_images": true, "coalesced": false,
		},
	}, info)
}

func TestAnUnknownSourceIsNilWithoutAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	require.Equal(t, []any{true, true}, w.Value(prelude+`
		local info, e = cdc.source("app:nothing")
		return {info == nil, e == nil}`))
	require.ErrorContains(t, w.Failure(prelude+`cdc.source(5)`), "bad argument #1 to source (the ID is 5, must be a string like app:cdc)")
}

func TestListSources(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	stop := w.source("another", func(c *api.SQLiteConfig) { c.Tables = []string{"a", "b"} })
	stop()
	require.Equal(t, []any{
		[]any{"app:another", "stopped", []any{"a", "b"}},
		[]any{"app:cdc", "running", "all"},
	}, w.Value(prelude+`
		local list = {}
		for i, s in ipairs(ok(cdc.list_sources())) do list[i] = {s.id, s.state, s.tables or "all"} end
		return list`))
}

func TestAFaultedSourceTellsWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.stop()
	require.ErrorIs(t, source.New(faulty{w.engine("cdc")}, w.catalog, slog.New(slog.DiscardHandler)).Serve(t.Context(), nil), errFault)
	require.Equal(t, []any{"faulted", true, "disk on fire"}, w.Value(prelude+`
		local info = cdc.source("app:cdc")
		return {info.state, info.faulted, info.error:message()}`))
}

// faulty is an engine that cannot open a session.
type faulty struct{ source.Engine }

func (faulty) Open(context.Context, *source.Run) (source.Session, error) { return nil, errFault }
