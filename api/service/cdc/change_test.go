package cdc_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

func TestCursorIsGenerationSequenceAndIndex(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := api.Change{
			Transaction: &api.Transaction{
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
		p := api.Position{Sequence: rapid.Uint64().Draw(t, "sequence"), Index: rapid.IntRange(0, 1<<31-1).Draw(t, "index")}
		of, parsed, err := api.ParseCursor(p.Cursor(generation))
		require.NoError(t, err)
		require.Equal(t, generation, of)
		require.Equal(t, p, parsed)
	})
	for _, text := range []string{
		"", "12", "g-0000000000000001", "g-0000000000000001-0000000", "g-0000000000000001-80000000", "g-000000000000000A-00000000",
		"g-000000000000000x-00000000", "g_0000000000000001-00000000", "g-0000000000000001_00000000", "g-+000000000000001-00000000",
	} {
		_, _, err := api.ParseCursor(text)
		require.Equal(t, errs.Invalid, errs.KindOf(err), text)
	}
}

func TestPositionsOfASnapshotLieBehindWhatItShows(t *testing.T) {
	t.Parallel()
	tx := &api.Transaction{Generation: "g", Sequence: 5}
	order := []*api.Change{
		{Op: api.OpInsert, Transaction: tx, Index: 1 << 20, Last: true},
		{Op: api.OpBegin, Transaction: tx},
		{Op: api.OpSnapshot, Transaction: tx},
		{Op: api.OpSnapshot, Transaction: tx, Index: 1},
		{Op: api.OpSnapshot, Transaction: tx, Index: 1 << 31},
		{Op: api.OpSnapshot, Transaction: tx, Index: 2, Last: true},
		{Op: api.OpInsert, Transaction: &api.Transaction{Generation: "g", Sequence: 6}},
	}
	for i := 1; i < len(order); i++ {
		require.Negative(t, order[i-1].Position().Compare(order[i].Position()))
		require.Less(t, order[i-1].Cursor(), order[i].Cursor())
	}
	require.Equal(t, api.SnapshotOf(5), order[1].Position())
	for i, within := range []bool{false, true, true, true, true, false, false} {
		require.Equal(t, within, order[i].Position().InSnapshot())
	}
	require.Equal(t, api.Behind(5), order[5].Position(), "the last row stands for all of it")
	require.Equal(t, api.Behind(5), (&api.Change{Op: api.OpEnd, Transaction: tx, Index: 4}).Position())
	require.Equal(t, []uint64{5, 4, 4, 0}, []uint64{
		api.Behind(5).Whole(), api.Position{Sequence: 5, Index: 3}.Whole(), api.SnapshotOf(5).Whole(), api.Position{}.Whole(),
	})
}

func TestCursorsOfOneGenerationCompareInTheOrderOfDelivery(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) (uint64, int, string) {
			sequence, index := rapid.Uint64().Draw(t, label), rapid.IntRange(0, 1<<31-1).Draw(t, label)
			c := api.Change{Transaction: &api.Transaction{Generation: "g", Sequence: sequence}, Index: index}
			return sequence, index, c.Cursor()
		}
		s1, i1, c1 := draw("first")
		s2, i2, c2 := draw("second")
		require.Equal(t, s1 < s2 || s1 == s2 && i1 < i2, c1 < c2)
	})
}

func TestKeyOfAnUpdateIsThatOfTheOldRow(t *testing.T) {
	t.Parallel()
	table := &sqlapi.Table{Columns: []sqlapi.Column{{Name: "a"}, {Name: "b"}}, Key: []int{1, 0}}
	row := func(a, b int64) []sqlapi.Value { return []sqlapi.Value{sqlapi.IntegerValue(a), sqlapi.IntegerValue(b)} }
	update := api.Change{Table: table, Before: row(1, 2), After: row(3, 4)}
	names, values := update.Key()
	require.Equal(t, []string{"b", "a"}, names)
	require.Equal(t, row(2, 1), values)
	insert := api.Change{Table: table, After: row(3, 4)}
	_, values = insert.Key()
	require.Equal(t, row(4, 3), values)
}

func TestKeyWithoutAPrimaryKeyIsTheRowID(t *testing.T) {
	t.Parallel()
	table := &sqlapi.Table{Columns: []sqlapi.Column{{Name: "a"}}, HasRowID: true, RowID: "rowid"}
	deleted := api.Change{Table: table, Before: []sqlapi.Value{{}}, OldRowID: 7, NewRowID: 8}
	names, values := deleted.Key()
	require.Equal(t, []string{"rowid"}, names)
	require.Equal(t, []sqlapi.Value{sqlapi.IntegerValue(7)}, values)
	deleted.Table = &sqlapi.Table{Columns: table.Columns}
	names, values = deleted.Key()
	require.Empty(t, names, "Postgres has no rowid")
	require.Empty(t, values)
}

func TestChangesOfAWholeTableHaveNoKey(t *testing.T) {
	t.Parallel()
	for _, table := range []*sqlapi.Table{{HasRowID: true, RowID: "rowid"}, {Columns: []sqlapi.Column{{Name: "a"}}, Key: []int{0}}} {
		for _, c := range []api.Change{
			{Op: api.OpTruncate, Table: table},
			{Op: api.OpSchema, Table: table, Schema: &api.SchemaChange{Action: api.Drop}},
		} {
			names, values := c.Key()
			require.Empty(t, names)
			require.Empty(t, values)
		}
	}
}

func TestNewKeyIsToldWhenItHasChanged(t *testing.T) {
	t.Parallel()
	columns := []sqlapi.Column{{Name: "a"}, {Name: "b"}}
	one, two, null := sqlapi.IntegerValue(1), sqlapi.IntegerValue(2), sqlapi.Value{}
	keyed := &sqlapi.Table{Columns: columns, Key: []int{0}, HasRowID: true, RowID: "oid"}
	server := &sqlapi.Table{Columns: columns, Key: []int{0}}
	counted := &sqlapi.Table{Columns: columns, HasRowID: true, RowID: "_rowid_"}
	for name, c := range map[string]struct {
		change        api.Change
		names         []string
		values        []sqlapi.Value
		newNames      []string
		newValues     []sqlapi.Value
		before, after []sqlapi.Value
	}{
		"the key stays": {change: api.Change{Table: keyed, NewRowID: 3}, before: []sqlapi.Value{one, one}, after: []sqlapi.Value{one, two}, names: []string{"a"}, values: []sqlapi.Value{one}},
		"the key changes": {
			change: api.Change{Table: keyed}, before: []sqlapi.Value{one, one}, after: []sqlapi.Value{two, one}, names: []string{"a"}, values: []sqlapi.Value{one},
			newNames: []string{"a"}, newValues: []sqlapi.Value{two},
		},
		"the type of the key changes": {
			change: api.Change{Table: keyed}, before: []sqlapi.Value{one, one}, after: []sqlapi.Value{sqlapi.RealValue(1), one}, names: []string{"a"},
			values: []sqlapi.Value{one}, newNames: []string{"a"}, newValues: []sqlapi.Value{sqlapi.RealValue(1)},
		},
		"the key is emptied": {
			change: api.Change{Table: keyed, OldRowID: 2, NewRowID: 2}, before: []sqlapi.Value{one, one}, after: []sqlapi.Value{null, one}, names: []string{"a"},
			values: []sqlapi.Value{one}, newNames: []string{"oid"}, newValues: []sqlapi.Value{two},
		},
		"the rowid changes": {
			change: api.Change{Table: counted, OldRowID: 1, NewRowID: 2}, before: []sqlapi.Value{null, null}, after: []sqlapi.Value{null, null},
			names: []string{"_rowid_"}, values: []sqlapi.Value{one}, newNames: []string{"_rowid_"}, newValues: []sqlapi.Value{two},
		},
		"no old row on a server": {change: api.Change{Table: server}, after: []sqlapi.Value{one, two}, names: []string{"a"}, values: []sqlapi.Value{one}},
		"a key that the server did not send": {
			change: api.Change{Table: server, Unchanged: []int{0}}, before: []sqlapi.Value{one, one}, after: []sqlapi.Value{null, two}, names: []string{"a"}, values: []sqlapi.Value{one},
		},
		"a key that is nowhere": {change: api.Change{Table: server, Unchanged: []int{0}}, after: []sqlapi.Value{null, two}},
		"no identity at all":    {change: api.Change{Table: &sqlapi.Table{Columns: columns, HasRowID: true}, OldRowID: 1, NewRowID: 2}, before: []sqlapi.Value{one, one}, after: []sqlapi.Value{one, two}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.change.Op, c.change.Before, c.change.After = api.OpUpdate, c.before, c.after
			names, values := c.change.Key()
			require.Equal(t, c.names, names)
			require.Equal(t, c.values, values)
			names, values = c.change.NewKey()
			require.Equal(t, c.newNames, names)
			require.Equal(t, c.newValues, values)
		})
	}
}
