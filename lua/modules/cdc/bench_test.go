package cdc_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
)

// endless is a source whose streams deliver inserts of six columns for ever, in transactions of a thousand.
type endless struct{ fakeSource }

func (*endless) Subscribe(context.Context, registry.ID, api.StreamOptions) (api.Stream, error) {
	table := &sqlapi.Table{Schema: "main", Name: "users", HasRowID: true, RowID: "rowid", Key: []int{0}, Columns: []sqlapi.Column{
		{Name: "id"}, {Name: "name"}, {Name: "email"}, {Name: "age"}, {Name: "score"}, {Name: "note"},
	}}
	row := []sqlapi.Value{
		sqlapi.IntegerValue(123456), sqlapi.TextValue("Ada Lovelace"), sqlapi.TextValue("ada@example.org"), sqlapi.IntegerValue(36),
		sqlapi.RealValue(9.75), sqlapi.TextValue("a note of forty characters, more or less"),
	}
	return &endlessStream{change: api.Change{Op: api.OpInsert, Table: table, After: row}}, nil
}

type endlessStream struct {
	fakeStream
	change api.Change
	count  int
}

func (s *endlessStream) Poll() (*api.Change, error) {
	const size = 1000
	if s.change.Index = s.count % size; s.change.Index == 0 {
		sequence := uint64(s.count/size + 1)
		s.change.Transaction = &api.Transaction{
			Source: scripttest.ID("pg"), Generation: "64f1c2a3b4d5e", Sequence: sequence, LSN: strconv.FormatUint(sequence, 10), CommittedAt: time.Now(),
		}
	}
	s.change.Last = s.change.Index == size-1
	s.count++
	return &s.change, nil
}

func (*endlessStream) Close() {}

// What a script pays for a change, beside what it would pay for making the same tables itself: the first must not be
// slower than 1/0.7 of the second.
func BenchmarkReceive(b *testing.B) {
	run(b, fakePrelude+`
		local ch = ok(ok(cdc.stream("pg")):channel())
		for i = 1, ... do ch:receive() end`)
}

func BenchmarkPlainTables(b *testing.B) {
	run(b, `
		local columns = {"id", "name", "email", "age", "score", "note"}
		for i = 1, ... do
			local change = {
				op = "insert", schema = "main", table = "users", relation = "users",
				after = {
					id = 123456, name = "Ada Lovelace", email = "ada@example.org", age = 36, score = 9.75,
					note = "a note of forty characters, more or less",
				},
				columns = columns, key = {id = 123456}, source = "app:pg", source_id = "app:pg", transaction = "64f1c2a3b4d5e:17",
				last = false, cursor = "64f1c2a3b4d5e-0000000000000011-00000001", lsn = "17", timestamp = 1700000000.25,
				generation = "64f1c2a3b4d5e",
			}
		end`)
}

func run(b *testing.B, body string) {
	b.Helper()
	w := fakeWorld(b, new(endless))
	b.ReportAllocs()
	b.ResetTimer()
	require.NoError(b, w.Run(body, b.N).Err)
}

// Ack implements api.Stream.
func (*endlessStream) Ack(api.Position) error { return nil }
