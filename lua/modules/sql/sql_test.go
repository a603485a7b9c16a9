package sql_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
)

func TestGetFindsDatabases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	withdraw := w.directory.Declare(scripttest.ID("later"))
	defer withdraw()
	defer w.directory.Publish(scripttest.ID("other"), "a string")()
	require.Equal(t, []any{"sqlite", "sqlite"}, w.Value(`
		local sql = require("sql")
		return {sql.get("app:db"):type(), sql.get("db"):type()}`))
	for argument, want := range map[string][2]string{
		`"app:missing"`: {"NOT_FOUND", `sql: database "app:missing": `},
		`"later"`:       {"UNAVAILABLE", `sql: database "app:later": `},
		`"other"`:       {"INVALID", `sql: database "app:other": `},
	} {
		got := w.listOnDB(`return err(sql.get(` + argument + `))`)
		require.Equal(t, want[0], got[0], argument)
		require.Contains(t, got[1], want[1], argument)
	}
	for argument, want := range map[string]string{
		`"a b"`: `bad argument #1 to get ("a b" is not an entry ID: write namespace:name)`,
		`""`:    `bad argument #1 to get ("" is not an entry ID`,
		`5`:     `bad argument #1 to get (the ID is 5, must be a string like app:db)`,
		``:      `bad argument #1 to get (the ID is nil, must be a string`,
	} {
		require.ErrorContains(t, w.Failure(prelude+`sql.get(`+argument+`)`), want)
	}
}

func TestQueryAndExecute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, []any{
		map[string]any{"last_insert_id": int64(1), "rows_affected": int64(1)},
		map[string]any{"last_insert_id": int64(3), "rows_affected": int64(2)},
		int64(2),
		[]any{
			map[string]any{"id": int64(1), "name": "Ada"},
			map[string]any{"id": int64(2)},
			map[string]any{"id": int64(3), "name": "Cy"},
		},
		map[string]any{},
	}, w.onDB(`
		ok(db:execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)"))
		local first = ok(db:execute("INSERT INTO users (name) VALUES (?)", {"Ada"}))
		local more = ok(db:execute("INSERT INTO users (name) VALUES (:a), (:b)", {a = sql.NULL, b = "Cy"}))
		local updated = ok(db:execute("UPDATE users SET name = name WHERE id > 1"))
		local rows = ok(db:query("SELECT id, name FROM users ORDER BY id"))
		return {first, more, updated.rows_affected, rows, ok(db:query("SELECT id FROM users WHERE id > 9", {}))}`))
}

func TestExecuteRunsSeveralStatements(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.onDB(`ok(db:execute("CREATE TABLE a (x); INSERT INTO a VALUES (?); INSERT INTO a VALUES (?), (?);", {1, 2, 3}))`)
	require.Equal(t, 3, w.count("a"))
}

func TestQueryReturnsWhatRETURNINGGives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (id INTEGER PRIMARY KEY, x)`)
	require.Equal(t, []any{map[string]any{"id": int64(1)}, map[string]any{"id": int64(2)}},
		w.onDB(`return ok(db:query("INSERT INTO a (x) VALUES (7), (8) RETURNING id"))`))
	require.Equal(t, 2, w.count("a"))
}

func TestTwoColumnsOfOneNameAreRefused(t *testing.T) {
	t.Parallel()
	got := newWorld(t).listOnDB(`return err(db:query("SELECT 1 AS id, 2 AS x, 3 AS id"))`)
	require.Equal(t, []any{"INVALID", `sql: query "app:db": two columns are named "id", and a row has one field of a name: rename one with AS`}, got)
}

func TestErrorsOfSQLiteHaveKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`
		CREATE TABLE p (id INTEGER PRIMARY KEY, u UNIQUE, n NOT NULL DEFAULT 0, c CHECK (c > 0));
		CREATE TABLE f (p REFERENCES p);
		CREATE TABLE w (k PRIMARY KEY) WITHOUT ROWID;
		INSERT INTO p (id, u) VALUES (1, 1); INSERT INTO w VALUES (1)`)
	for statement, want := range map[string][2]string{
		`SELEC 1`:                          {"INVALID", `sql: execute "app:db": near "SELEC": syntax error`},
		`SELECT x FROM nowhere`:            {"INVALID", `no such table: nowhere`},
		`INSERT INTO p (u) VALUES (1)`:     {"ALREADY_EXISTS", `UNIQUE constraint failed: p.u`},
		`INSERT INTO p (id) VALUES (1)`:    {"ALREADY_EXISTS", `UNIQUE constraint failed: p.id`},
		`INSERT INTO w VALUES (1)`:         {"ALREADY_EXISTS", `UNIQUE constraint failed: w.k`},
		`INSERT INTO p (n) VALUES (NULL)`:  {"INVALID", `NOT NULL constraint failed: p.n`},
		`INSERT INTO p (c) VALUES (-1)`:    {"INVALID", `CHECK constraint failed`},
		`INSERT INTO f VALUES (9)`:         {"INVALID", `FOREIGN KEY constraint failed`},
		`INSERT INTO p (id) VALUES ('a')`:  {"INVALID", `datatype mismatch`},
		`INSERT INTO p (u) VALUES (?)`:     {"", `not enough args to execute query: want 1 got 0`},
		`ATTACH '/nonexistent/x.db' AS y;`: {"PERMISSION_DENIED", `add "files" to the field allow of the entry "app:db"`},
	} {
		got := w.listOnDB(`return err(db:execute(...))`, statement)
		if want[0] != "" {
			require.Equal(t, want[0], got[0], statement)
		}
		require.Contains(t, got[1], want[1], statement)
	}
}

func TestTheStatementMustBeAString(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, call := range []string{"query", "execute", "prepare"} {
		require.ErrorContains(t, w.Failure(prelude+`db:`+call+`()`), `bad argument #2 to `+call+` (the statement is nil, must be a string)`)
		if call != "prepare" {
			err := w.Failure(prelude + `ok(db:begin()):` + call + `({})`)
			require.ErrorContains(t, err, `bad argument #2 to `+call+` (the statement is a table, must be a string)`)
		}
	}
}

func TestMethodsWantAColon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for call, want := range map[string]string{
		`db.query("SELECT 1")`:                          `database expected, call the method with a colon: database:query()`,
		`ok(db:begin()).commit()`:                       `transaction expected, call the method with a colon: transaction:commit()`,
		`ok(db:prepare("SELECT 1")).query({1})`:         `statement expected, call the method with a colon: statement:query()`,
		`local tx = ok(db:begin()) db.query(tx, "")`:    `database expected`,
		`setmetatable(db, {})`:                          `table expected`,
		`local q = db.query q(setmetatable({}, {}), 1)`: `database expected`,
	} {
		require.ErrorContains(t, w.Failure(prelude+call), want, call)
	}
}

func TestAReleasedHandleIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{true, true, []any{"INVALID", `sql: query "app:db": the handle was released; get a new one`}, "sqlite"},
		newWorld(t).onDB(`return {db:release(), db:release(), err(db:query("SELECT 1")), sql.get("app:db"):type()}`))
}

// A handle outlives a restart of its database, and says so while it is stopped.
func TestAHandleFindsARestartedDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (x)`)
	steps := w.NewSteps(scripttest.Plain(), prelude+`
		local st = ok(db:prepare("SELECT 1 AS one"))
		steps.step(ok(st:query())[1].one, ok(db:execute("INSERT INTO a VALUES (1)")).rows_affected)
		steps.step(err(db:execute("INSERT INTO a VALUES (2)")), err(st:query()), err(db:type()))
		steps.step(err(st:query()), ok(db:execute("INSERT INTO a VALUES (3)")).rows_affected)`)
	require.Equal(t, []any{int64(1), int64(1)}, steps.Next())
	w.stop()
	for _, answer := range steps.Next() {
		refused := scripttest.AsList(t, answer)
		require.Equal(t, "UNAVAILABLE", refused[0], refused)
		require.Contains(t, refused[1], `"app:db"`)
	}
	w.open()
	after := steps.Next()
	require.Equal(t, "UNAVAILABLE", scripttest.AsList(t, after[0])[0]) // a statement belongs to the database that has prepared it
	require.Equal(t, int64(1), after[1])
	steps.End()
	require.Equal(t, 2, w.count("a"))
}

func TestADatabaseBlocksOnlyTheCoroutineThatUsesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (x)`)
	tx, err := w.db.Pool().BeginTx(t.Context(), nil) // holds the only connection
	require.NoError(t, err)
	pid := w.Start(scripttest.Terminal(), prelude+`
		coroutine.spawn(function() require("io").print("meanwhile") end)
		return ok(db:execute("INSERT INTO a VALUES (1)")).rows_affected`)
	w.Out.Await(t, "meanwhile")
	require.NoError(t, tx.Rollback())
	require.Equal(t, int64(1), w.End(pid).Value)
}

func TestATerminatedProcessStopsWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, call := range []string{`db:query("SELECT 1")`, `db:execute("SELECT 1")`, `db:begin()`, `db:prepare("SELECT 1")`} {
		tx, err := w.db.Pool().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		pid := w.Start(scripttest.Terminal(), prelude+`require("io").print("`+t.Name()+`") `+call)
		w.Out.Await(t, t.Name())
		require.True(t, errs.Is(w.Kill(pid).Err, errs.Canceled))
		require.NoError(t, tx.Rollback())
	}
}

func TestATerminatedProcessInterruptsItsStatement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pid := w.Start(scripttest.Terminal(), prelude+`
		require("io").print("counting")
		db:query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
		while true do end`)
	w.Out.Await(t, "counting")
	require.True(t, errs.Is(w.Kill(pid).Err, errs.Canceled))
	require.NoError(t, w.db.Pool().PingContext(t.Context()))
}
