package cdc_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
)

func TestCursorIsGenerationSequenceAndIndex(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := cdc.Change{
			Transaction: &cdc.Transaction{
				Generation: rapid.StringMatching(`[0-9a-f]{0,16}`).Draw(t, "generation"),
				Sequence:   rapid.Uint64().Draw(t, "sequence"),
			},
			Index: rapid.IntRange(0, 1<<31-1).Draw(t, "index"),
		}
		want := fmt.Sprintf("%s-%016x-%08x", c.Transaction.Generation, c.Transaction.Sequence, c.Index)
		require.Equal(t, want, c.Cursor())
		require.Equal(t, "x"+want, string(c.AppendCursor([]byte("x"))))
	})
}

func TestCursorsOfOneGenerationCompareInTheOrderOfDelivery(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) (uint64, int, string) {
			sequence, index := rapid.Uint64().Draw(t, label), rapid.IntRange(0, 1<<31-1).Draw(t, label)
			c := cdc.Change{Transaction: &cdc.Transaction{Generation: "g", Sequence: sequence}, Index: index}
			return sequence, index, c.Cursor()
		}
		s1, i1, c1 := draw("first")
		s2, i2, c2 := draw("second")
		require.Equal(t, s1 < s2 || s1 == s2 && i1 < i2, c1 < c2)
	})
}

func TestKeyOfAnUpdateIsThatOfTheOldRow(t *testing.T) {
	t.Parallel()
	table := &sql.Table{Columns: []sql.Column{{Name: "a"}, {Name: "b"}}, Key: []int{1, 0}}
	row := func(a, b int64) []sql.Value { return []sql.Value{sql.IntegerValue(a), sql.IntegerValue(b)} }
	update := cdc.Change{Table: table, Before: row(1, 2), After: row(3, 4)}
	names, values := update.Key()
	require.Equal(t, []string{"b", "a"}, names)
	require.Equal(t, row(2, 1), values)
	insert := cdc.Change{Table: table, After: row(3, 4)}
	_, values = insert.Key()
	require.Equal(t, row(4, 3), values)
}

func TestKeyWithoutAPrimaryKeyIsTheRowID(t *testing.T) {
	t.Parallel()
	table := &sql.Table{Columns: []sql.Column{{Name: "a"}}, HasRowID: true}
	deleted := cdc.Change{Table: table, Before: []sql.Value{{}}, OldRowID: 7, NewRowID: 8}
	names, values := deleted.Key()
	require.Equal(t, []string{"rowid"}, names)
	require.Equal(t, []sql.Value{sql.IntegerValue(7)}, values)
	deleted.Table = &sql.Table{Columns: table.Columns}
	names, values = deleted.Key()
	require.Empty(t, names, "Postgres has no rowid")
	require.Empty(t, values)
}

func TestChangesOfAWholeTableHaveNoKey(t *testing.T) {
	t.Parallel()
	for _, table := range []*sql.Table{{HasRowID: true}, {Columns: []sql.Column{{Name: "a"}}, Key: []int{0}}} {
		for _, c := range []cdc.Change{
			{Op: cdc.OpTruncate, Table: table},
			{Op: cdc.OpSchema, Table: table, Reshape: &sql.Reshape{Action: sql.Drop}},
		} {
			names, values := c.Key()
			require.Empty(t, names)
			require.Empty(t, values)
		}
	}
}
