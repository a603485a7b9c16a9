package sql_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/internal/pgtest"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	sqlmodule "github.com/wippy-cdc/runtime/lua/modules/sql"
	"github.com/wippy-cdc/runtime/service/resource"
	"github.com/wippy-cdc/runtime/service/sql/postgres"
)

// newPostgres runs scripts beside a real Postgres database app:db.
func newPostgres(t *testing.T) *world {
	t.Helper()
	server := pgtest.New(t)
	cfg := new(sqlapi.PostgresConfig)
	cfg.SetDefaults()
	cfg.Host, cfg.Port, cfg.Username, cfg.Password = server.Address()
	cfg.Database = server.Name
	db, err := postgres.Open(t.Context(), scripttest.ID("db"), cfg, func(string) (string, bool) { return "", false })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	directory := resource.New()
	t.Cleanup(directory.Publish(scripttest.ID("db"), db))
	return &world{World: scripttest.New(t, sqlmodule.New(directory)), tb: t, directory: directory}
}

func TestPostgresQueryAndExecute(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{
		"postgres",
		map[string]any{"rows_affected": int64(2)},
		[]any{map[string]any{"id": int64(1), "name": "Ada"}, map[string]any{"id": int64(2)}},
		int64(3),
		[]any{map[string]any{"id": int64(1)}},
	}, newPostgres(t).onDB(`
		ok(db:execute("CREATE TABLE users (id bigserial PRIMARY KEY, name text); CREATE INDEX ON users (name)"))
		local done = ok(db:execute("INSERT INTO users (name) VALUES ($1), ($2)", {"Ada", sql.NULL}))
		local rows = ok(db:query("SELECT * FROM users ORDER BY id"))
		local inserted = ok(db:query("INSERT INTO users (name) VALUES ('x') RETURNING id"))[1].id
		local stmt = ok(db:prepare("SELECT id FROM users WHERE name = $1"))
		local found = ok(stmt:query({"Ada"}))
		stmt:close()
		return {db:type(), done, rows, inserted, found}`))
}

func TestPostgresTransactions(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{int64(2), int64(0), []any{"INVALID", `sql: execute "app:db": ERROR: current transaction is aborted, commands ignored until end of transaction block (SQLSTATE 25P02)`}},
		newPostgres(t).onDB(`
		ok(db:execute("CREATE TABLE t (id int PRIMARY KEY)"))
		local tx = ok(db:begin({isolation = "serializable"}))
		ok(tx:execute("INSERT INTO t VALUES ($1)", {1}))
		ok(tx:savepoint("a"))
		ok(tx:execute("INSERT INTO t VALUES (2)"))
		assert(err(tx:execute("INSERT INTO t VALUES (2)"))[1] == "ALREADY_EXISTS")
		ok(tx:rollback_to("a"))
		ok(tx:execute("INSERT INTO t VALUES (3)"))
		local outside = ok(db:query("SELECT count(*) AS n FROM t"))[1].n
		ok(tx:commit())
		local inside = ok(db:query("SELECT count(*) AS n FROM t"))[1].n
		local broken = ok(db:begin())
		broken:execute("SELECT nonsense")
		local refused = err(broken:execute("SELECT 1"))
		ok(broken:rollback())
		return {inside, outside, refused}`))
}

// Each value goes in as a parameter of its type and comes back as scripts see it.
func TestPostgresValues(t *testing.T) {
	t.Parallel()
	w := newPostgres(t)
	for _, c := range []struct {
		kind, in string
		want     any
	}{
		{"bool", `true`, true},
		{"bool", `"f"`, false},
		{"smallint", `-3`, int64(-3)},
		{"bigint", `sql.as.int("9223372036854775807")`, "9223372036854775807"},
		{"bigint", `9007199254740992`, int64(9007199254740992)},
		{"float8", `1`, int64(1)},
		{"float8", `0.1`, 0.1},
		{"numeric", `"12345678901234567890.120"`, "12345678901234567890.120"},
		{"numeric", `1.5`, "1.5"},
		{"text", `"a\nö"`, "a\nö"},
		{"text", `sql.as.text(5)`, "5"},
		{"bytea", `sql.as.binary("\0\255")`, "\x00\xff"},
		{"date", `"2026-01-31"`, "2026-01-31"},
		{"timestamp", `"2026-01-31 10:11:12.5"`, "2026-01-31 10:11:12.5"},
		{"timestamptz", `"2026-01-31 10:11:12+02"`, "2026-01-31 08:11:12+00"},
		{"timestamptz", `"infinity"`, "infinity"},
		{"interval", `"1 day 2 hours"`, "1 day 02:00:00"},
		{"jsonb", `'{"a":[1, null]}'`, `{"a": [1, null]}`},
		{"json", `'{"a":1}'`, `{"a":1}`},
		{"uuid", `"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		{"int[]", `"{1,2,NULL}"`, "{1,2,NULL}"},
		{"text[]", `'{a,"b c"}'`, `{a,"b c"}`},
		{"inet", `"10.0.0.1/8"`, "10.0.0.1/8"},
		{"oid", `"4000000000"`, int64(4000000000)},
		{"text", `sql.NULL`, nil},
	} {
		got := w.onDB(`return {ok(db:query("SELECT $1::` + c.kind + ` AS v", {` + c.in + `}))[1].v}`)
		if c.want == nil {
			require.Equal(t, map[string]any{}, got, c.kind)
			continue
		}
		require.Equal(t, []any{c.want}, got, "%s %s", c.kind, c.in)
	}
}

func TestPostgresErrorsAreClassified(t *testing.T) {
	t.Parallel()
	w := newPostgres(t)
	const question = `; if a ? stands for a parameter, write $1, $2 and so on: postgres knows no ?`
	for body, want := range map[string][2]string{
		`db:query("SELECT :a", {a = 1})`:                              {"INVALID", `sql: query "app:db": params has the name "a", but postgres knows only positions: write $1, $2 and a list`},
		`db:query("SELECT * FROM nowhere")`:                           {"INVALID", `sql: query "app:db": ERROR: relation "nowhere" does not exist (SQLSTATE 42P01)`},
		`db:query("SELECT * FROM pg_class WHERE relname = ?", {"a"})`: {"INVALID", `sql: query "app:db": ERROR: syntax error at end of input (SQLSTATE 42601)` + question},
		`db:execute("SELECT 1 WHERE 1 =? 1", {1})`:                    {"INVALID", `sql: execute "app:db": ERROR: operator does not exist: integer =? integer (SQLSTATE 42883)` + question},
		`db:prepare("INSERT INTO t VALUES (?, ?)")`:                   {"INVALID", `sql: prepare "app:db": ERROR: syntax error at or near "," (SQLSTATE 42601)` + question},
		`db:query("SELEC '?'")`:                                       {"INVALID", `sql: query "app:db": ERROR: syntax error at or near "SELEC" (SQLSTATE 42601)` + question},
		`db:query("SELEC 1")`:                                         {"INVALID", `sql: query "app:db": ERROR: syntax error at or near "SELEC" (SQLSTATE 42601)`},
		`db:query("SELECT 1 AS a, 2 AS a")`:                           {"INVALID", `sql: query "app:db": two columns are named "a", and a row has one field of a name: rename one with AS`},
	} {
		require.Equal(t, []any{want[0], want[1]}, w.listOnDB(`return err(`+body+`)`), body)
	}
}
