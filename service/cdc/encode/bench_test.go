package encode_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
)

// usual is an update of a row of six columns that changes its key, with a blob, so that everything is written.
func usual() *api.Change {
	row := []sqlapi.Value{
		sqlapi.IntegerValue(123456), sqlapi.TextValue("Ada Lovelace"), sqlapi.TextValue("ada@example.org"), sqlapi.IntegerValue(1<<53 + 1),
		sqlapi.RealValue(9.75), sqlapi.BlobValue("a note of forty characters, more or less"),
	}
	now := append([]sqlapi.Value{sqlapi.IntegerValue(123457)}, row[1:]...)
	return &api.Change{
		Op: api.OpUpdate, Before: row, After: now, Index: 1, Last: true,
		Table: &sqlapi.Table{Schema: "main", Name: "users", HasRowID: true, RowID: "rowid", Key: []int{0}, Columns: []sqlapi.Column{
			{Name: "id"}, {Name: "name"}, {Name: "email"}, {Name: "age"}, {Name: "score"}, {Name: "note"},
		}},
		Transaction: &api.Transaction{
			Source: registry.ID{Namespace: "app", Name: "cdc"}, Engine: api.EngineSQLite, Database: "app:db", Generation: "64f1c2a3b4d5e",
			Sequence: 17, LSN: "17", CommittedAt: time.Unix(1700000000, 250e6),
		},
	}
}

// What goes through an encoder is many changes: none of them may cost memory.
func TestEncodingTakesNoMemory(t *testing.T) {
	c, e := usual(), encode.New()
	dst := make([]byte, 0, 4096)
	for _, format := range api.Formats() {
		require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = e.AppendChange(dst, format, c) }), format)
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { e.AppendKey(dst, c, true) }))
}

func BenchmarkAppendChange(b *testing.B) {
	for _, format := range api.Formats() {
		b.Run(string(format), func(b *testing.B) {
			c, e := usual(), encode.New()
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				var err error
				if dst, err = e.AppendChange(dst[:0], format, c); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}
