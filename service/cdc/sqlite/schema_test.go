//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

func TestSchemaChangesReachTheStreamsThatAskForThem(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	asks := h.subscribe(cdcID, api.StreamOptions{Schema: true})
	onlyDeletes := h.subscribe(cdcID, api.StreamOptions{Schema: true, Ops: []api.Op{api.OpDelete}, Tables: []string{"copy", "users"}})
	rows := h.subscribe(cdcID, api.StreamOptions{})
	noTruncate := h.subscribe(cdcID, api.StreamOptions{Ops: []api.Op{api.OpInsert}})

	h.exec("INSERT INTO users VALUES (1, 'ann', 1.5)")
	h.transact(
		"CREATE TABLE copy AS SELECT id, name FROM users",
		"ALTER TABLE copy ADD COLUMN age",
		"ALTER TABLE copy RENAME TO people",
		"SAVEPOINT s", "DROP TABLE people", "ROLLBACK TO s",
	)
	h.exec("ALTER TABLE users ADD COLUMN nick") // a transaction of its own, of the schema only
	h.exec("DROP TABLE people")

	changes := take(t, asks, 8)
	require.Equal(t, []string{
		"1.0 insert users -> 1 ann 1.5 !",
		"2.0 schema copy ->", "2.1 insert copy -> 1 ann", "2.2 schema copy ->", "2.3 schema people -> !",
		"3.0 schema users -> !",
		"4.0 truncate people ->", "4.1 schema people -> !",
	}, lines(changes))
	require.Equal(t, []api.SchemaChange{
		{Action: api.Create, SQL: "CREATE TABLE copy(id INT,name TEXT)"},
		{Action: api.Alter, SQL: "CREATE TABLE copy(id INT,name TEXT, age)"},
		{Action: api.Alter, SQL: `CREATE TABLE "people"(id INT,name TEXT, age)`, From: "copy"},
		{Action: api.Drop},
	}, []api.SchemaChange{*changes[1].Schema, *changes[3].Schema, *changes[4].Schema, *changes[7].Schema})
	require.Len(t, changes[3].Table.Columns, 3)
	require.Nil(t, changes[6].Schema)
	for _, c := range []*api.Change{changes[1], changes[6]} {
		require.Nil(t, c.Before)
		require.Nil(t, c.After)
		names, _ := c.Key()
		require.Empty(t, names)
	}

	require.Equal(t, []string{"2.0 schema copy ->", "2.2 schema copy -> !", "3.0 schema users -> !"}, lines(take(t, onlyDeletes, 3)))
	require.Equal(t, []string{
		"1.0 insert users -> 1 ann 1.5 !", "2.1 insert copy -> 1 ann !", "4.0 truncate people -> !",
	}, lines(take(t, rows, 3)), "what was filtered out does not hide the last one")
	require.Equal(t, []string{"1.0 insert users -> 1 ann 1.5 !", "2.1 insert copy -> 1 ann !"}, lines(take(t, noTruncate, 2)))
	info, _ := h.catalog.Source(cdcID)
	require.Equal(t, "4", info.LSN, "a transaction of the schema only counts")
}
