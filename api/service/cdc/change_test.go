package cdc_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wippy-cdc/runtime/api/errs"
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

func TestACursorIsParsedAsItWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		generation := rapid.StringMatching(`[0-9a-f-]{0,16}`).Draw(t, "generation")
		p := cdc.Position{Sequence: rapid.Uint64().Draw(t, "sequence"), Index: rapid.IntRange(0, 1<<31-1).Draw(t, "index")}
		of, parsed, err := cdc.ParseCursor(p.Cursor(generation))
		require.NoError(t, err)
		require.Equal(t, generation, of)
		require.Equal(t, p, parsed)
	})
	for _, text := range []string{
		"", "12", "g-0000000000000001", "g-0000000000000001-0000000", "g-0000000000000001-80000000", "g-000000000000000A-00000000",
		"g-000000000000000x-00000000", "g_0000000000000001-00000000", "g-0000000000000001_00000000", "g-+000000000000001-00000000",
	} {
		_, _, err := cdc.ParseCursor(text)
		require.Equal(t, errs.Invalid, errs.KindOf(err), text)
	}
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
	table := &sql.Table{Columns: []sql.Column{{Name: "a"}}, HasRowID: true, RowID: "rowid"}
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
	for _, table := range []*sql.Table{{HasRowID: true, RowID: "rowid"}, {Columns: []sql.Column{{Name: "a"}}, Key: []int{0}}} {
		for _, c := range []cdc.Change{
			{Op: cdc.OpTruncate, Table: table},
			{Op: cdc.OpSchema, Table: table, Schema: &cdc.SchemaChange{Action: cdc.Drop}},
		} {
			names, values := c.Key()
			require.Empty(t, names)
			require.Empty(t, values)
		}
	}
}

func TestNewKeyIsToldWhenItHasChanged(t *testing.T) {
	t.Parallel()
	columns := []sql.Column{{Name: "a"}, {Name: "b"}}
	one, two, null := sql.IntegerValue(1), sql.IntegerValue(2), sql.Value{}
	keyed := &sql.Table{Columns: columns, Key: []int{0}, HasRowID: true, RowID: "oid"}
	server := &sql.Table{Columns: columns, Key: []int{0}}
	counted := &sql.Table{Columns: columns, HasRowID: true, RowID: "_rowid_"}
	for name, c := range map[string]struct {
		change        cdc.Change
		names         []string
		values        []sql.Value
		newNames      []string
		newValues     []sql.Value
		before, after []sql.Value
	}{
		"the key stays": {change: cdc.Change{Table: keyed, NewRowID: 3}, before: []sql.Value{one, one}, after: []sql.Value{one, two}, names: []string{"a"}, values: []sql.Value{one}},
		"the key changes": {
			change: cdc.Change{Table: keyed}, before: []sql.Value{one, one}, after: []sql.Value{two, one}, names: []string{"a"}, values: []sql.Value{one},
			newNames: []string{"a"}, newValues: []sql.Value{two},
		},
		"the type of the key changes": {
			change: cdc.Change{Table: keyed}, before: []sql.Value{one, one}, after: []sql.Value{sql.RealValue(1), one}, names: []string{"a"},
			values: []sql.Value{one}, newNames: []string{"a"}, newValues: []sql.Value{sql.RealValue(1)},
		},
		"the key is emptied": {
			change: cdc.Change{Table: keyed, OldRowID: 2, NewRowID: 2}, before: []sql.Value{one, one}, after: []sql.Value{null, one}, names: []string{"a"},
			values: []sql.Value{one}, newNames: []string{"oid"}, newValues: []sql.Value{two},
		},
		"the rowid changes": {
			change: cdc.Change{Table: counted, OldRowID: 1, NewRowID: 2}, before: []sql.Value{null, null}, after: []sql.Value{null, null},
			names: []string{"_rowid_"}, values: []sql.Value{one}, newNames: []string{"_rowid_"}, newValues: []sql.Value{two},
		},
		"no old row on a server": {change: cdc.Change{Table: server}, after: []sql.Value{one, two}, names: []string{"a"}, values: []sql.Value{one}},
		"a key that the server did not send": {
			change: cdc.Change{Table: server, Unchanged: []int{0}}, before: []sql.Value{one, one}, after: []sql.Value{null, two}, names: []string{"a"}, values: []sql.Value{one},
		},
		"a key that is nowhere": {change: cdc.Change{Table: server, Unchanged: []int{0}}, after: []sql.Value{null, two}},
		"no identity at all":    {change: cdc.Change{Table: &sql.Table{Columns: columns, HasRowID: true}, OldRowID: 1, NewRowID: 2}, before: []sql.Value{one, one}, after: []sql.Value{one, two}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.change.Op, c.change.Before, c.change.After = cdc.OpUpdate, c.before, c.after
			names, values := c.change.Key()
			require.Equal(t, c.names, names)
			require.Equal(t, c.values, values)
			names, values = c.change.NewKey()
			require.Equal(t, c.newNames, names)
			require.Equal(t, c.newValues, values)
		})
	}
}
