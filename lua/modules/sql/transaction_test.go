package sql_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
)

func TestCommitKeepsAndRollbackUndoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (x)`)
	require.Equal(t, []any{true, true, int64(1)}, w.onDB(`
		local tx = ok(db:begin())
		ok(tx:execute("INSERT INTO a VALUES (?)", {1}))
		local committed = ok(tx:commit())
		tx = ok(db:begin({}))
		ok(tx:execute("INSERT INTO a VALUES (:x)", {x = 2}))
		local seen = #ok(tx:query("SELECT x FROM a"))
		if seen ~= 2 then error("a transaction must see its own rows, saw " .. seen) end
		return {committed, ok(tx:rollback()), #ok(db:query("SELECT x FROM a"))}`))
	require.Equal(t, 1, w.count("a"))
}

func TestSavepoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (x)`)
	require.Equal(t, []any{
		map[string]any{"x": int64(1)}, map[string]any{"x": int64(3)}, map[string]any{"x": int64(4)},
	}, w.onDB(`
		local tx = ok(db:begin())
		local insert = ok(tx:prepare("INSERT INTO a VALUES (?)"))
		ok(insert:execute({1}))
		ok(tx:savepoint('odd "name"; DROP TABLE a'))
		ok(insert:execute({2}))
		ok(tx:rollback_to('odd "name"; DROP TABLE a'))
		ok(insert:execute({3}))
		ok(tx:savepoint("inner"))
		ok(insert:execute({4}))
		ok(tx:release("inner"))
		ok(tx:release('odd "name"; DROP TABLE a'))
		ok(tx:commit())
		return ok(db:query("SELECT x FROM a ORDER BY x"))`))
}

func TestSavepointNamesAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, call := range []string{"savepoint", "rollback_to", "release"} {
		for name, want := range map[string]string{
			`nil`:                   `the savepoint is nil, must be a name of 1 to 63 bytes without NUL`,
			`""`:                    `the savepoint is "", must be a name`,
			`7`:                     `the savepoint is 7, must be a name`,
			`"a\0b"`:                `the savepoint is "a\x00b", must be a name`,
			`string.rep("long", 9)`: ``,
			`string.rep("x", 64)`:   `must be a name of 1 to 63 bytes`,
		} {
			got := w.onDB(`
				local tx = ok(db:begin())
				if ... == "" then
					for _, m in ipairs({"savepoint", "rollback_to", "release"}) do ok(tx[m](tx, `+name+`)) end
					return {tx:rollback()}
				end
				local fine, answer = pcall(tx.`+call+`, tx, `+name+`)
				ok(tx:rollback())
				return {fine, answer}`, want)
			if want == "" {
				require.Equal(t, []any{true}, got)
				continue
			}
			answer := scripttest.AsList(t, got)
			require.Equal(t, false, answer[0])
			require.Contains(t, answer[1], `sql: `+call+` "app:db": `)
			require.Contains(t, answer[1], want)
		}
	}
	require.Equal(t, []any{"INVALID", `sql: rollback_to "app:db": no such savepoint: gone`},
		w.onDB(`return err(ok(db:begin()):rollback_to("gone"))`))
}

func TestBeginOptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for options, want := range map[string]string{
		`{isolation = "default"}`:      "",
		`{isolation = "serializable"}`: "",
		`{read_only = false}`:          "",
		`{isolation = "chaos"}`:        `isolation is "chaos", must be one of default, read_uncommitted, read_committed, repeatable_read, serializable`,
		`{read_only = 1}`:              `read_only is 1, must be true or false`,
		`{readonly = true}`:            `key "readonly" is not known: use isolation, read_only`,
		`"x"`:                          `options must be a table, not "x"`,
	} {
		if want == "" {
			require.Equal(t, true, w.onDB(`return ok(ok(db:begin(`+options+`)):rollback())`), options)
			continue
		}
		require.ErrorContains(t, w.Failure(prelude+`db:begin(`+options+`)`), `sql: begin "app:db": `+want, options)
	}
}

func TestABeginOutsideATransactionIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (x)`)
	for _, statement := range []string{"BEGIN", " begin immediate; ", "SAVEPOINT a"} {
		require.Equal(t, []any{"INVALID", `sql: execute "app:db": no value of the script would hold the transaction: begin it with db:begin(), and use the methods of what that returns`},
			w.onDB(`return err(db:execute("`+statement+`"))`), statement)
	}
	w.onDB(`ok(db:execute("BEGIN; INSERT INTO a VALUES (1); COMMIT")) return {}`)
	require.Equal(t, 1, w.count("a"))
}

func TestAReadOnlyTransactionDoesNotWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (x)`)
	require.Equal(t, []any{"PERMISSION_DENIED", `sql: execute "app:db": attempt to write a readonly database`, int64(1)}, w.onDB(`
		local tx = ok(db:begin({read_only = true}))
		local refused = err(tx:execute("INSERT INTO a VALUES (1)"))
		ok(tx:query("SELECT x FROM a"))
		ok(tx:commit())
		refused[3] = ok(db:execute("INSERT INTO a VALUES (2)")).rows_affected
		return refused`))
	require.Equal(t, 1, w.count("a"))
}

// A read-only transaction that is not ended by its script does not leave the database read-only.
func TestTheEndOfAReadOnlyProcessLeavesTheDatabaseWritable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (x)`)
	require.NoError(t, w.Run(prelude+`ok(db:begin({read_only = true}))`).Err)
	w.schema(`INSERT INTO a VALUES (1)`)
	steps := w.NewSteps(scripttest.Plain(), prelude+`ok(db:begin({read_only = true})) steps.step()`)
	require.Empty(t, steps.Next())
	require.Error(t, steps.Kill().Err)
	w.schema(`INSERT INTO a VALUES (2)`)
	require.Equal(t, 2, w.count("a"))
}

// With one connection, a coroutine that does not use its own transaction would wait for itself.
func TestWaitingForItselfIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const hint = "this coroutine has a transaction open on the database, which has one connection: use the methods of the transaction, or end it first"
	for call, step := range map[string]string{
		`db:query("SELECT 1")`:                "query",
		`db:execute("SELECT 1")`:              "execute",
		`db:prepare("SELECT 1")`:              "prepare",
		`db:begin()`:                          "begin",
		`sql.get("app:db"):query("SELECT 1")`: "query",
		`st:query()`:                          "query",
		`st:execute()`:                        "execute",
		`coroutine.wrap(function() return db:execute("SELECT 1") end)()`: "execute",
	} {
		require.Equal(t, []any{"INVALID", `sql: ` + step + ` "app:db": ` + hint}, w.onDB(`
			local st = ok(db:prepare("SELECT 1"))
			local tx = ok(db:begin())
			local answer = err(`+call+`)
			ok(tx:commit())
			ok(`+call+`)
			return answer`), call)
	}
}

func TestAnotherCoroutineWaitsForTheTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (x)`)
	steps := w.NewSteps(scripttest.Plain(), prelude+`
		local tx = ok(db:begin())
		coroutine.spawn(function()
			ok(db:execute("INSERT INTO a VALUES (1)"))
			steps.step("inserted")
		end)
		steps.step("open")
		ok(tx:commit())
		while #ok(db:query("SELECT x FROM a")) == 0 do end
		steps.step("seen")`)
	require.Equal(t, []any{"open"}, steps.Next())
	require.ElementsMatch(t, []any{"inserted", "seen"}, append(steps.Next(), steps.Next()...))
}

func TestATransactionLeftByAnEndedCoroutineIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, "INVALID", w.onDB(`
		local ended = channel.new(1)
		coroutine.spawn(function()
			ok(db:begin())
			ended:send(true) -- does not block, so the coroutine ends before others run
		end)
		ended:receive()
		return err(db:query("SELECT 1"))[1]`))
}

func TestAnEndedTransactionIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, end := range []string{"commit", "rollback"} {
		for call, step := range map[string]string{
			`tx:query("SELECT 1")`: "query", `tx:execute("SELECT 1")`: "execute", `tx:prepare("SELECT 1")`: "prepare",
			`tx:commit()`: "commit", `tx:rollback()`: "rollback", `tx:savepoint("a")`: "savepoint",
			`tx:rollback_to("a")`: "rollback_to", `tx:release("a")`: "release",
		} {
			require.Equal(t, []any{"INVALID", `sql: ` + step + ` "app:db": the transaction has ended; begin a new one`}, w.onDB(`
				local tx = ok(db:begin())
				ok(tx[...](tx))
				return err(`+call+`)`, end), call)
		}
	}
}

func TestACommitThatFailsFreesTheConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE f (p REFERENCES p DEFERRABLE INITIALLY DEFERRED)`)
	require.Equal(t, []any{"INVALID", `sql: commit "app:db": FOREIGN KEY constraint failed`}, w.onDB(`
		local tx = ok(db:begin())
		ok(tx:execute("INSERT INTO f VALUES (1)"))
		local answer = err(tx:commit())
		ok(db:execute("INSERT INTO p VALUES (1)"))
		return answer`))
	require.Equal(t, 0, w.count("f"))
	require.Equal(t, 1, w.count("p"))
}

// However a process ends, its transaction is undone and its connection free.
func TestTheEndOfAProcessRollsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (x)`)
	const begin = prelude + `
		local tx = ok(db:begin())
		local st = ok(tx:prepare("INSERT INTO a VALUES (?)"))
		ok(st:execute({1}))
		local forgotten = ok(tx:prepare("SELECT x FROM a"))
		ok(forgotten:query())
	`
	require.NoError(t, w.Run(begin).Err)
	require.Equal(t, 0, w.count("a"))
	require.Error(t, w.Run(begin+`error("failed")`).Err)
	require.Equal(t, 0, w.count("a"))
	steps := w.NewSteps(scripttest.Plain(), begin+`steps.step("begun")`)
	require.Equal(t, []any{"begun"}, steps.Next())
	require.True(t, errs.Is(steps.Kill().Err, errs.Canceled))
	require.Equal(t, 0, w.count("a"))
	require.Equal(t, int64(1), w.onDB(`return ok(db:execute("INSERT INTO a VALUES (1)")).rows_affected`))
}

func TestPreparedStatements(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (id INTEGER PRIMARY KEY, x)`)
	require.Equal(t, []any{int64(3), "b", true, true, []any{"INVALID", `sql: query "app:db": the statement was closed`}}, w.onDB(`
		local insert = ok(db:prepare("INSERT INTO a (x) VALUES (?)"))
		local last
		for _, x in ipairs({"a", "b", "c"}) do last = ok(insert:execute({x})).last_insert_id end
		local find = ok(db:prepare("SELECT x FROM a WHERE id = :id"))
		return {last, ok(find:query({id = 2}))[1].x, find:close(), find:close(), err(find:query({id = 2}))}`))
}

func TestAPreparedStatementCountsItsArguments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.listOnDB(`return err(ok(db:prepare("SELECT ?")):query({1, 2}))`)
	require.Equal(t, []any{"INVALID", `sql: query "app:db": 2 parameters for 1 placeholder`}, got)
	got = w.listOnDB(`return err(ok(db:prepare("SELECT ?")):query({}))`)
	require.Contains(t, got[1], "expected 1 arguments, got 0")
	require.Equal(t, []any{"INVALID", `sql: prepare "app:db": near "SELEC": syntax error`}, w.onDB(`return err(db:prepare("SELEC"))`))
}

// Many short processes with transactions on one connection: nothing is lost, and no process hangs.
func TestManyProcessesShareTheConnection(t *testing.T) {
	t.Parallel()
	const processes, rounds = 12, 20
	w := newWorld(t)
	w.schema(`CREATE TABLE a (x)`)
	body := prelude + `
		for i = 1, 20 do
			local tx = ok(db:begin())
			ok(tx:execute("INSERT INTO a VALUES (?)", {i}))
			if i % 2 == 0 then ok(tx:commit()) elseif i % 4 == 1 then ok(tx:rollback()) else ok(tx:commit()) end
		end
		ok(db:begin()) -- left to the end of the process`
	pids := make([]func(), processes)
	for i := range pids {
		pid := w.Start(scripttest.Plain(), body)
		pids[i] = func() { require.NoError(t, w.End(pid).Err) }
	}
	for _, wait := range pids {
		wait()
	}
	require.Equal(t, processes*rounds*3/4, w.count("a"))
}
