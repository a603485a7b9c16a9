package cdc_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	cdcmodule "github.com/wippy-cdc/runtime/lua/modules/cdc"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
)

var errFault = errors.New("disk on fire")

// fakeSource is a source of kind db.cdc.postgres whose streams deliver given changes and then end with cause, or stay
// open if cause is nil.
type fakeSource struct {
	api.Consuming
	changes []*api.Change
	cause   error
	// subscribe, if not nil, is called by Subscribe.
	subscribe func(ctx context.Context) error

	mu   sync.Mutex
	open int
	made int
	// abandoned counts the streams that were closed for their readers.
	abandoned int
}

func (f *fakeSource) info() api.SourceInfo {
	return api.SourceInfo{ID: scripttest.ID("pg"), Kind: api.KindPostgres, State: api.StateRunning, Slot: "s", Publication: "p", Streaming: true}
}

func (f *fakeSource) Sources() []api.SourceInfo { return []api.SourceInfo{f.info()} }

func (f *fakeSource) Source(id registry.ID) (api.SourceInfo, bool) {
	return f.info(), id == scripttest.ID("pg")
}

func (f *fakeSource) Streams() []api.StreamInfo { return nil }

func (f *fakeSource) Tables(context.Context, registry.ID) ([]string, error) { return nil, nil }

func (f *fakeSource) Check(registry.ID, api.StreamOptions) error { return nil }

func (f *fakeSource) Subscribe(ctx context.Context, _ registry.ID, _ api.StreamOptions) (api.Stream, error) {
	if f.subscribe != nil {
		if err := f.subscribe(ctx); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open++
	f.made++
	return &fakeStream{source: f, rest: f.changes, ready: make(chan struct{}, 1)}, nil
}

func (f *fakeSource) counts() (made, open int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.made, f.open
}

type fakeStream struct {
	source *fakeSource
	ready  chan struct{}

	mu     sync.Mutex
	rest   []*api.Change
	closed bool
}

func (s *fakeStream) Next(context.Context) (*api.Change, error) { return s.Poll() }

func (s *fakeStream) Poll() (*api.Change, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, io.EOF
	}
	if len(s.rest) == 0 {
		return nil, s.source.cause
	}
	change := s.rest[0]
	s.rest = s.rest[1:]
	return change, nil
}

func (s *fakeStream) Ready() <-chan struct{} { return s.ready }

func (s *fakeStream) Err() error { return nil }

// Abandon implements api.Abandoner.
func (s *fakeStream) Abandon() {
	s.Close()
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	s.source.abandoned++
}

func (s *fakeStream) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.source.mu.Lock()
	s.source.open--
	s.source.mu.Unlock()
	s.ready <- struct{}{}
}

func fakeWorld(tb testing.TB, f api.Engine) *scripttest.World {
	tb.Helper()
	return scripttest.New(tb, cdcmodule.New(f, encode.New()), channel.New())
}

const fakePrelude = `
	local cdc = require("cdc")
	local function ok(v, e) if e then error(e) end return v end
`

func TestPostgresShapes(t *testing.T) {
	t.Parallel()
	table := &sqlapi.Table{Schema: "public", Name: "users", Columns: []sqlapi.Column{{Name: "id"}, {Name: "on"}}, Key: []int{0}}
	tx := &api.Transaction{Source: scripttest.ID("pg"), Generation: "g", Sequence: 3, LSN: "0/16B3748", CommitLSN: "0/16B3700", XID: 734, CommittedAt: time.Unix(1700000000, 250e6)}
	row := []sqlapi.Value{sqlapi.IntegerValue(1), sqlapi.BoolValue(true)}
	keyless := &sqlapi.Table{Schema: "public", Name: "users", Columns: table.Columns}
	f := &fakeSource{cause: errFault, changes: []*api.Change{
		{Op: api.OpSnapshot, Table: table, Transaction: tx, After: row},
		{Op: api.OpTruncate, Table: table, Transaction: tx, Index: 1},
		{Op: api.OpUpdate, Table: keyless, Transaction: tx, Index: 2, After: []sqlapi.Value{{}, {}}, Unchanged: []int{1}, Last: true},
	}}
	common := map[string]any{
		"schema": "public", "table": "users", "relation": "public.users", "columns": []any{"id", "on"}, "source": "app:pg",
		"source_id": "app:pg", "transaction": "g:0/16B3748", "lsn": "0/16B3748", "timestamp": 1700000000.25, "generation": "g",
		"commit_lsn": "0/16B3700", "xid": int64(734),
	}
	with := func(fields map[string]any) map[string]any {
		maps.Copy(fields, common)
		return fields
	}
	require.Equal(t, []any{
		with(map[string]any{
			"op": "snapshot", "after": map[string]any{"id": int64(1), "on": true}, "key": map[string]any{"id": int64(1)},
			"cursor": "g-0000000000000003-40000001", "last": false,
		}),
		with(map[string]any{"op": "truncate", "cursor": "g-0000000000000003-00000001", "last": false}),
		with(map[string]any{
			"op": "update", "after": map[string]any{}, "unchanged": []any{"on"}, "cursor": "g-0000000000000003-00000002", "last": true,
		}),
		"disk on fire", "disk on fire", true,
	}, fakeWorld(t, f).Value(fakePrelude+`
		local stream = ok(cdc.stream("pg"))
		local ch = ok(stream:channel())
		local one, two, three, e = ch:receive(), ch:receive(), ch:receive(), ch:receive()
		return {one, two, three, e:message(), stream:err():message(), (ch:receive()) == nil}`))
	_, open := f.counts()
	require.Zero(t, open)
}

func TestPostgresInfo(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{"s", "p", true, false}, fakeWorld(t, &fakeSource{}).Value(fakePrelude+`
		local info = cdc.list_sources()[1]
		return {info.slot, info.publication, info.streaming, info.temporary}`))
}

// A process remembers a bounded number of shapes; beyond it they are made again, not mixed up.
func TestManyShapes(t *testing.T) {
	t.Parallel()
	const shapes = 1000
	f := &fakeSource{}
	tx := &api.Transaction{Source: scripttest.ID("pg"), Generation: "g"}
	for i := range shapes {
		name := string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		table := &sqlapi.Table{Schema: "s", Name: name, Columns: []sqlapi.Column{{Name: name}}}
		for range 2 {
			f.changes = append(f.changes, &api.Change{Op: api.OpInsert, Table: table, Transaction: tx, After: []sqlapi.Value{sqlapi.TextValue(name)}})
		}
	}
	require.Equal(t, int64(shapes), fakeWorld(t, f).Value(fakePrelude+`
		local ch = ok(ok(cdc.stream("pg")):channel())
		local right = 0
		for i = 1, 1000 do
			local a, b = ch:receive(), ch:receive()
			if a.table == a.columns[1] and a.after[a.table] == a.table and rawequal(a.columns, b.columns) then right = right + 1 end
		end
		return right`))
}

// Two coroutines that ask for the channel at the same time get the same one.
func TestOnlyOneSubscriptionPerStream(t *testing.T) {
	t.Parallel()
	arrived, proceed := make(chan struct{}), make(chan struct{})
	f := &fakeSource{subscribe: func(ctx context.Context) error {
		close(arrived)
		select {
		case <-proceed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	w := fakeWorld(t, f)
	pid := w.Start(scripttest.Plain(), fakePrelude+`
		local stream, found = ok(cdc.stream("pg")), channel.new(2)
		for i = 1, 2 do coroutine.spawn(function() found:send(ok(stream:channel())) end) end
		return (found:receive()) == (found:receive())`)
	<-arrived
	close(proceed)
	require.Equal(t, true, w.End(pid).Value)
	made, open := f.counts()
	require.Equal(t, 1, made)
	require.Zero(t, open)
}

// A stream closed while it subscribes does not stay open.
func TestCloseWhileSubscribing(t *testing.T) {
	t.Parallel()
	arrived, proceed := make(chan struct{}), make(chan struct{})
	f := &fakeSource{subscribe: func(context.Context) error {
		close(arrived)
		<-proceed
		return nil
	}}
	w := fakeWorld(t, f)
	steps := w.NewSteps(scripttest.Plain(), fakePrelude+`
		local stream, found = ok(cdc.stream("pg")), channel.new(1)
		coroutine.spawn(function() found:send(ok(stream:channel())) end)
		steps.step()
		ok(stream:close())
		steps.step()
		local ch = found:receive()
		steps.step(select(2, ch:receive()))`)
	require.Empty(t, steps.Next())
	<-arrived
	require.Empty(t, steps.Next())
	close(proceed)
	require.Equal(t, []any{false}, steps.Next())
	_, open := f.counts()
	require.Zero(t, open)
	steps.End()
}

// Ack implements api.Stream.
func (*fakeStream) Ack(api.Position) error { return nil }

// Streams that a process leaves open are abandoned, however it ends; one that it has closed is closed.
func TestStreamsOfAProcessThatEndsAreAbandoned(t *testing.T) {
	t.Parallel()
	for end, abandoned := range map[string]int{"": 2, `error("failed")`: 2, "ok(a:close())": 1, "ok(a:close()) ok(b:close())": 0} {
		f := &fakeSource{}
		_ = fakeWorld(t, f).Run(fakePrelude + `
			local a, b = ok(cdc.stream("pg")), ok(cdc.stream("pg"))
			ok(a:channel())
			ok(b:channel())
			` + end)
		f.mu.Lock()
		require.Equal(t, abandoned, f.abandoned, end)
		f.mu.Unlock()
		made, open := f.counts()
		require.Equal(t, []int{2, 0}, []int{made, open})
	}
}
