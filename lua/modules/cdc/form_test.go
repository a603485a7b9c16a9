package cdc_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
)

// hesitant is a source whose streams make their reader wait for each change.
type hesitant struct{ fakeSource }

func (h *hesitant) Subscribe(ctx context.Context, id registry.ID, opts api.StreamOptions) (api.Stream, error) {
	s, err := h.fakeSource.Subscribe(ctx, id, opts)
	opened, _ := s.(*fakeStream)
	return &hesitantStream{fakeStream: opened}, err
}

type hesitantStream struct {
	*fakeStream
	waited bool
}

func (s *hesitantStream) Poll() (*api.Change, error) {
	if s.waited = !s.waited; s.waited {
		select {
		case s.ready <- struct{}{}:
		default:
		}
		return nil, nil
	}
	return s.fakeStream.Poll()
}

// What a script sees does not depend on whether it has waited for the change.
func TestChangesThatWereWaitedForAreTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		changes := rapid.SliceOfN(rapid.Custom(anyChange), 1, 12).Draw(r, "changes")
		const script = fakePrelude + `
			local n = ...
			local ch = ok(ok(cdc.stream("pg")):channel())
			local seen = {}
			for i = 1, n do
				local change, copy = ch:receive(), {}
				for field, value in pairs(change) do
					if copy[field] ~= nil then error("twice: " .. field) end
					copy[field] = value
				end
				seen[i] = copy
				change.op, change.mine = nil, "the script's own"
			end
			return seen`
		n := int64(len(changes))
		want := fakeWorld(t, &fakeSource{changes: changes}).Value(script, n)
		require.Equal(t, want, fakeWorld(t, &hesitant{fakeSource{changes: changes}}).Value(script, n))
	})
}

var (
	formTables = []*sqlapi.Table{
		{
			Schema: "main", Name: "nullable", Columns: []sqlapi.Column{{Name: "a"}, {Name: "rowid"}}, Key: []int{1, 0},
			HasRowID: true, RowID: "oid",
		},
		{Schema: "public", Name: "keyed", Columns: []sqlapi.Column{{Name: "id"}, {Name: "a"}, {Name: "b"}}, Key: []int{0, 1}},
		{Schema: "public", Name: "counted", Columns: []sqlapi.Column{{Name: "a"}}, HasRowID: true, RowID: "rowid"},
		{Schema: "public", Name: "nameless", Columns: []sqlapi.Column{{Name: "a"}, {Name: "b"}}},
	}
	formTransactions = []*api.Transaction{
		{Source: scripttest.ID("pg"), Generation: "g", Sequence: 1, LSN: "1", CommittedAt: time.Unix(1, 0)},
		{Source: scripttest.ID("pg"), Generation: "h", Sequence: 2, LSN: "2", CommitLSN: "0/2", XID: 7, CommittedAt: time.Unix(2, 0)},
	}
)

// anyChange draws a change from few enough that neighbours are often alike.
func anyChange(r *rapid.T) *api.Change {
	c := &api.Change{
		Op:          rapid.SampledFrom([]api.Op{api.OpInsert, api.OpUpdate, api.OpDelete, api.OpTruncate}).Draw(r, "op"),
		Table:       rapid.SampledFrom(formTables).Draw(r, "table"),
		Transaction: rapid.SampledFrom(formTransactions).Draw(r, "transaction"),
		Index:       rapid.IntRange(0, 3).Draw(r, "index"),
		Last:        rapid.Bool().Draw(r, "last"),
		OldRowID:    1, NewRowID: rapid.Int64Range(1, 2).Draw(r, "rowid"),
	}
	row := func(name string) []sqlapi.Value {
		return rapid.SliceOfN(rapid.SampledFrom([]sqlapi.Value{{}, sqlapi.IntegerValue(1), sqlapi.TextValue("t"), sqlapi.BoolValue(false)}),
			len(c.Table.Columns), len(c.Table.Columns)).Draw(r, name)
	}
	if c.Op == api.OpDelete || c.Op == api.OpUpdate && rapid.Bool().Draw(r, "full") {
		c.Before = row("before")
	}
	if c.Op == api.OpInsert || c.Op == api.OpUpdate {
		c.After = row("after")
	}
	if c.Op == api.OpUpdate && rapid.Bool().Draw(r, "toast") {
		c.After[0], c.Unchanged = sqlapi.Value{}, []int{0}
	}
	return c
}
