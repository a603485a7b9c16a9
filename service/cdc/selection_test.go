package cdc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

func TestSelectionOfTables(t *testing.T) {
	t.Parallel()
	table := func(name string) *sql.Table { return &sql.Table{Schema: "main", Name: name} }
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
	} {
		selection := cdc.NewSelection(test.source, api.StreamOptions{Tables: test.stream})
		require.Equal(t, test.want, selection.Accepts(table(test.table), api.OpInsert), "%+v", test)
	}
}

func TestSelectionOfOps(t *testing.T) {
	t.Parallel()
	selection := cdc.NewSelection(nil, api.StreamOptions{Ops: []api.Op{api.OpUpdate, api.OpDelete}})
	require.False(t, selection.Accepts(users, api.OpInsert))
	require.False(t, selection.Accepts(users, api.OpTruncate))
	require.True(t, selection.Accepts(users, api.OpUpdate))
	require.True(t, selection.Accepts(users, api.OpDelete))
	require.True(t, selection.Accepts(users, api.OpSnapshot), "ops are about what happens later")

	all := cdc.NewSelection(nil, api.StreamOptions{})
	for _, op := range api.Ops() {
		require.True(t, all.Accepts(users, op), op)
	}
	require.False(t, all.Accepts(users, api.OpSchema), "only on request")
	onRequest := cdc.NewSelection(nil, api.StreamOptions{
		Tables: []string{"users"}, Ops: []api.Op{api.OpInsert}, Schema: true,
	})
	require.True(t, onRequest.Accepts(users, api.OpSchema), "whatever ops are")
	require.False(t, onRequest.Accepts(orders, api.OpSchema))
}

func TestStreamSkipsWhatItDoesNotSelect(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	s := subscribe(t, log, api.StreamOptions{Tables: []string{"orders"}, Ops: []api.Op{api.OpInsert}})
	w.commit(10, row{users, api.OpInsert, 1}, row{orders, api.OpInsert, 2}, row{orders, api.OpDelete, 3}, row{orders, api.OpInsert, 4}, row{users, api.OpDelete, 5})
	w.commit(10, inserts(6, 100)...)
	w.commit(10, row{orders, api.OpInsert, 7}, row{orders, api.OpUpdate, 8})
	require.Equal(t, []string{"1.1 insert Orders 2", "1.3 insert Orders 4 !", "3.0 insert Orders 7 !"}, lines(take(t, s, 3)))
}

func TestStreamOfATableThatTheSourceDoesNotCaptureIsRefused(t *testing.T) {
	log := cdc.NewLog(cdc.LogSettings{Source: sourceID, Bytes: unit.MiB, Tables: []string{"main.users", "orders"}})
	defer log.Close(errs.New(errs.Unavailable, "over"))
	_, err := log.Subscribe(api.StreamOptions{Tables: []string{"users", "invoices"}})
	require.EqualError(t, err, `cdc: source "app:cdc": tables has "invoices", which the source does not capture: it captures main.users, orders`)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	for _, name := range []string{"USERS", "main.users", "main.Orders", "orders"} {
		s, err := log.Subscribe(api.StreamOptions{Tables: []string{name}})
		require.NoError(t, err)
		s.Close()
	}
	for _, name := range []string{"ers", "xusers", "n.users", "main.user", "main."} {
		_, err := log.Subscribe(api.StreamOptions{Tables: []string{name}})
		require.ErrorContains(t, err, "does not capture", name)
	}
}
