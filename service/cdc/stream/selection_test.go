package stream_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

func TestSelectionOfTables(t *testing.T) {
	t.Parallel()
	table := func(name string) *sqlapi.Table { return &sqlapi.Table{Schema: "main", Name: name} }
	for _, test := range []struct {
		source, stream []string
		table          string
		want           bool
	}{
		{nil, nil, "users", true},
		{nil, []string{"users"}, "users", true},
		{nil, []string{"USERS"}, "Users", true},
		{nil, []string{"Main.uSers"}, "users", true},
		{nil, []string{"other.users"}, "users", false},
		{nil, []string{"main.users"}, "xmain.users", false},
		{nil, []string{"user"}, "users", false},
		{nil, []string{"users", "orders"}, "orders", true},
		{nil, []string{"a.b"}, "a.b", true},
		{nil, []string{"straße"}, "STRAßE", true},
		{nil, []string{"é"}, "É", false}, // to SQLite these are two tables
		{nil, []string{"@"}, "`", false},
		{[]string{"users"}, nil, "orders", false},
		{[]string{"main.USERS"}, []string{"users"}, "users", true},
		{[]string{}, []string{"users"}, "users", true},
		{nil, nil, api.OffsetsTable, false},
		{nil, []string{api.OffsetsTable}, api.OffsetsTable, false},
		{nil, []string{"wippy_cdc_parked"}, "Wippy_CDC_parked", false},
	} {
		selection := stream.NewSelection(test.source, api.StreamOptions{Tables: test.stream})
		require.Equal(t, test.want, selection.Accepts(table(test.table), api.OpInsert), "%+v", test)
	}
}

func TestSelectionOfOps(t *testing.T) {
	t.Parallel()
	selection := stream.NewSelection(nil, api.StreamOptions{Ops: []api.Op{api.OpUpdate, api.OpDelete}})
	require.False(t, selection.Accepts(users.Table(), api.OpInsert))
	require.False(t, selection.Accepts(users.Table(), api.OpTruncate))
	require.True(t, selection.Accepts(users.Table(), api.OpUpdate))
	require.True(t, selection.Accepts(users.Table(), api.OpDelete))
	require.True(t, selection.Accepts(users.Table(), api.OpSnapshot), "ops are about what happens later")

	all := stream.NewSelection(nil, api.StreamOptions{})
	for _, op := range api.Ops() {
		require.True(t, all.Accepts(users.Table(), op), op)
	}
	require.False(t, all.Accepts(users.Table(), api.OpSchema), "only on request")
	onRequest := stream.NewSelection(nil, api.StreamOptions{
		Tables: []string{"users"}, Ops: []api.Op{api.OpInsert}, Schema: true,
	})
	require.True(t, onRequest.Accepts(users.Table(), api.OpSchema), "whatever ops are")
	require.False(t, onRequest.Accepts(orders.Table(), api.OpSchema))
}

func TestStreamSkipsWhatItDoesNotSelect(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	s := open(t, streams, api.StreamOptions{Tables: []string{"orders"}, Ops: []api.Op{api.OpInsert}})
	w.commit(10, row{users, log.Insert, 1}, row{orders, log.Insert, 2}, row{orders, log.Delete, 3}, row{orders, log.Insert, 4}, row{users, log.Delete, 5})
	w.commit(10, inserts(6, 100)...)
	w.commit(10, row{orders, log.Insert, 7}, row{orders, log.Update, 8})
	require.Equal(t, []string{"1.1 insert Orders 2", "1.3 insert Orders 4 !", "3.0 insert Orders 7 !"}, lines(take(t, s, 3)))
}

func TestStreamOfATableThatTheSourceDoesNotCaptureIsRefused(t *testing.T) {
	set := settings(unit.MiB, new(engine))
	set.Tables = []string{"main.users", "orders"}
	streams, w := start(t, set)
	_, err := streams.Open(api.StreamOptions{Tables: []string{"users", "invoices"}})
	require.EqualError(t, err, `cdc: source "app:cdc": tables has "invoices", which the source does not capture: it captures main.users, orders`)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	for _, name := range []string{"USERS", "main.users", "main.Orders", "orders"} {
		s := open(t, streams, api.StreamOptions{Tables: []string{name}})
		w.commit(10, row{users, log.Insert, 1}, row{orders, log.Insert, 2})
		require.True(t, take(t, s, 1)[0].Last)
		s.Close()
	}
	for _, name := range []string{"ers", "xusers", "n.users", "main.user", "main."} {
		_, err := streams.Open(api.StreamOptions{Tables: []string{name}})
		require.ErrorContains(t, err, "does not capture", name)
	}
}
