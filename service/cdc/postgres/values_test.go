package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
)

func TestValuesKeepTheirTypes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(`CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN age AS int CHECK (VALUE > 0); CREATE DOMAIN old AS age;
		SET timezone = 'Asia/Tokyo'`)
	type value struct {
		kind, in string
		want     sqlapi.Value
	}
	values := []value{
		{"bool", "true", sqlapi.BoolValue(true)},
		{"bool", "false", sqlapi.BoolValue(false)},
		{"int2", "-32768", sqlapi.IntegerValue(-32768)},
		{"int4", "7", sqlapi.IntegerValue(7)},
		{"int8", "9223372036854775807", sqlapi.IntegerValue(9223372036854775807)},
		{"oid", "4000000000", sqlapi.IntegerValue(4000000000)},
		{"float8", "0.1", sqlapi.RealValue(0.1)},
		{"float8", "'1e308'", sqlapi.RealValue(1e308)},
		{"float4", "0.1", sqlapi.RealValue(0.1)},
		{"numeric(30,3)", "123456789012345678901234.5", sqlapi.TextValue("123456789012345678901234.500")},
		{"text", "E'a\\n\\'ö'", sqlapi.TextValue("a\n'ö")},
		{"text", "''", sqlapi.TextValue("")},
		{"varchar(10)", "'abc'", sqlapi.TextValue("abc")},
		{"char(5)", "'ab'", sqlapi.TextValue("ab   ")},
		{"bytea", `'\x00ff'`, sqlapi.BlobValue("\x00\xff")},
		{"bytea", `''`, sqlapi.BlobValue("")},
		{"json", `'{"a": [1,null]}'`, sqlapi.TextValue(`{"a": [1,null]}`)},
		{"jsonb", `'{"b":1,"a":2}'`, sqlapi.TextValue(`{"a": 2, "b": 1}`)},
		{"date", "'2026-01-31'", sqlapi.TextValue("2026-01-31")},
		{"timestamp", "'2026-01-31 10:11:12.5'", sqlapi.TextValue("2026-01-31 10:11:12.5")},
		{"timestamptz", "'2026-01-31 10:11:12+02'", sqlapi.TextValue("2026-01-31 08:11:12+00")},
		{"interval", "'1 day 2 hours'", sqlapi.TextValue("1 day 02:00:00")},
		{"uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", sqlapi.TextValue("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")},
		{"int[]", "'{1,2,NULL}'", sqlapi.TextValue("{1,2,NULL}")},
		{"text[]", `'{a,"b c"}'`, sqlapi.TextValue(`{a,"b c"}`)},
		{"mood", "'ok'", sqlapi.TextValue("ok")},
		{"age", "41", sqlapi.IntegerValue(41)},
		{"old", "42", sqlapi.IntegerValue(42)},
		{"int", "NULL", sqlapi.Value{}},
		{"inet", "'10.0.0.1/8'", sqlapi.TextValue("10.0.0.1/8")},
	}
	var columns, row []string
	var want []sqlapi.Value
	for i, v := range values {
		columns = append(columns, "c"+string(rune('a'+i%26))+string(rune('a'+i/26))+" "+v.kind)
		row, want = append(row, v.in), append(want, v.want)
	}
	h.exec("CREATE TABLE everything (" + strings.Join(columns, ", ") + ", made int GENERATED ALWAYS AS (1) STORED)")
	h.serve(h.source(h.config("everything")))
	s := h.subscribe(api.StreamOptions{})
	h.exec("INSERT INTO everything VALUES (" + strings.Join(row, ", ") + ")")
	change := take(t, s, 1)[0]
	made := 1
	if h.older(t, 18) {
		made = 0
	}
	require.Len(t, change.Table.Columns, len(values)+made, "servers send generated columns from version 18 on")
	for i, v := range values {
		require.Equal(t, want[i], change.After[i], v.kind+" "+v.in)
	}
	require.Equal(t, "numeric(30,3)", change.Table.Columns[9].Type)
	require.Equal(t, "old", change.Table.Columns[27].Type)
	names, _ := change.Key()
	require.Empty(t, names)
}

func TestReplicaIdentities(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(`CREATE TABLE full_ (id int PRIMARY KEY, a text, big text); ALTER TABLE full_ REPLICA IDENTITY FULL;
		CREATE TABLE keyed (b int, a int, c text, PRIMARY KEY (a, b));
		CREATE TABLE indexed (id int PRIMARY KEY, code text NOT NULL, n int); CREATE UNIQUE INDEX by_code ON indexed (code);
		ALTER TABLE indexed REPLICA IDENTITY USING INDEX by_code;
		CREATE TABLE bare (a int); ALTER TABLE bare REPLICA IDENTITY NOTHING`)
	h.serve(h.source(h.config()))
	s := h.subscribe(api.StreamOptions{})
	h.exec("INSERT INTO full_ VALUES (1, 'x', NULL); UPDATE full_ SET a = 'y'; DELETE FROM full_")
	h.exec("INSERT INTO keyed VALUES (1, 2, 'x'); UPDATE keyed SET c = 'y'; UPDATE keyed SET b = 5; DELETE FROM keyed")
	h.exec("INSERT INTO indexed VALUES (1, 'k', 1); UPDATE indexed SET n = 2; UPDATE indexed SET code = 'l'; DELETE FROM indexed")
	h.exec("INSERT INTO bare VALUES (1)")
	changes := take(t, s, 12)
	require.Equal(t, []string{
		"0 insert full_ -> 1 x <nil>", "1 update full_ 1 x <nil> -> 1 y <nil>", "2 delete full_ 1 y <nil> -> !",
		"0 insert keyed -> 1 2 x", "1 update keyed -> 1 2 y", "2 update keyed 1 2 <nil> -> 5 2 y", "3 delete keyed 5 2 <nil> -> !",
		"0 insert indexed -> 1 k 1", "1 update indexed -> 1 k 2", "2 update indexed <nil> k <nil> -> 1 l 2", "3 delete indexed <nil> l <nil> -> !",
		"0 insert bare -> 1 !",
	}, lines(changes))
	for i, change := range changes {
		table := change.Table.Name
		require.Equal(t, change.Before != nil && table != "full_", change.KeyOnly, "%d of %s", i, table)
		require.Equal(t, api.EnginePostgres, change.Transaction.Engine)
		require.Equal(t, h.Name, change.Transaction.Database)
	}
	names, values := changes[5].Key()
	require.Equal(t, []string{"a", "b"}, names, "in the order of the key")
	require.Equal(t, []int64{2, 1}, []int64{values[0].Int64(), values[1].Int64()})
	names, _ = changes[8].Key()
	require.Equal(t, []string{"code"}, names)
	names, _ = changes[0].Key()
	require.Equal(t, []string{"id"}, names)
}

func TestLargeValuesThatAreUnchanged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(`CREATE TABLE big (id int PRIMARY KEY, n int, body text); ALTER TABLE big ALTER body SET STORAGE EXTERNAL;
		CREATE TABLE whole (LIKE big INCLUDING ALL); ALTER TABLE whole REPLICA IDENTITY FULL`)
	body := strings.Repeat("x", 10_000)
	h.serve(h.source(h.config("big", "whole")))
	s := h.subscribe(api.StreamOptions{})
	for _, name := range []string{"big", "whole"} {
		h.Exec(t, "INSERT INTO "+name+" VALUES (1, 1, $1)", body)
		h.exec("UPDATE " + name + " SET n = 2")
	}
	changes := take(t, s, 4)
	require.Equal(t, body, changes[0].After[2].Bytes())
	require.Equal(t, []int{2}, changes[1].Unchanged)
	require.True(t, changes[1].After[2].IsNull())
	require.Empty(t, changes[3].Unchanged, "it is known from the old row")
	require.Equal(t, body, changes[3].After[2].Bytes())
}

func TestTablesThatChangeInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, streaming := range []bool{false, true} {
		h := newHouse(t)
		c := h.config("users")
		c.Streaming, c.StatusInterval = streaming, unit.Duration(time.Hour) // a default that is added ends streams when it is noticed
		h.serve(h.source(c))
		s := h.subscribe(api.StreamOptions{})
		h.transact("INSERT INTO users VALUES (1, 'a')", "ALTER TABLE users ADD extra bool DEFAULT true", "INSERT INTO users VALUES (2, 'b', false)",
			"SAVEPOINT s", "ALTER TABLE users DROP name", "INSERT INTO users VALUES (3, true)", "ROLLBACK TO s", "INSERT INTO users VALUES (4, 'd', NULL)")
		h.exec("ALTER TABLE users RENAME name TO title; UPDATE users SET title = 'z' WHERE id = 1")
		changes := take(t, s, 4)
		require.Equal(t, []string{
			"0 insert users -> 1 a", "1 insert users -> 2 b false", "2 insert users -> 4 d <nil> !", "0 update users -> 1 z true !",
		}, lines(changes))
		require.Equal(t, "title", changes[3].Table.Columns[1].Name)
		require.Equal(t, "name", changes[2].Table.Columns[1].Name)
	}
}

func TestPartitionsAreTheirTable(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(`CREATE TABLE events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
		CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')`)
	h.serve(h.source(h.config("events")))
	s := h.subscribe(api.StreamOptions{Tables: []string{"events"}})
	h.exec("INSERT INTO events VALUES (1, '2026-01-05'), (2, '2026-02-05'); UPDATE events SET at = '2026-02-07' WHERE id = 1")
	changes := take(t, s, 4)
	require.Equal(t, []string{
		"0 insert events -> 1 2026-01-05", "1 insert events -> 2 2026-02-05", "2 delete events 1 2026-01-05 ->", "3 insert events -> 1 2026-02-07 !",
	}, lines(changes))
	require.Len(t, changes[0].Table.Key, 2)
}

func TestWhatIsNoChangeDoesNotDisturb(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(`CREATE TABLE "Odd ""name""" ("select" int PRIMARY KEY, "Ä" text)`)
	h.serve(h.source(h.config(`odd "NAME"`)))
	s := h.subscribe(api.StreamOptions{})
	h.exec(`SELECT pg_logical_emit_message(true, 'wippy', 'hello'); INSERT INTO "Odd ""name""" VALUES (1, 'a')`)
	h.exec(`SELECT pg_logical_emit_message(false, 'wippy', 'hello')`)
	h.exec(`CREATE TYPE pair AS (a int); ALTER TABLE "Odd ""name""" ADD p pair; UPDATE "Odd ""name""" SET p = ROW(5)`)
	require.Equal(t, []string{`0 insert Odd "name" -> 1 a !`, `0 update Odd "name" -> 1 a (5) !`}, lines(take(t, s, 2)))
}
