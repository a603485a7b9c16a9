package sql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAMisspeltNameIsNotNULL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, call := range []string{
		`db:query("SELECT :nmae", {name = 1})`,
		`db:execute("SELECT :name, @nmae", {name = 1, other = 2})`,
		`ok(db:prepare("SELECT $nmae")):query({name = 1})`,
	} {
		got := w.listOnDB(`return err(` + call + `)`)
		require.Equal(t, "INVALID", got[0])
		require.Contains(t, got[1], `params has no value for "nmae", it has name`, call)
	}
}

func TestNamesAreFoundWhereSQLiteFindsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE "od:d" (a$b, "c:c", [d@d], ` + "`e$e`" + `)`)
	for _, statement := range []string{
		`SELECT :x`,
		`SELECT @x -- :comment`,
		`SELECT $x /* :comment */ -- '`,
		`SELECT ':text ''@text', "c:c", [d@d], ` + "`e$e`" + `, a$b FROM "od:d" WHERE :x`,
		`SELECT :x || ':a' || :x`,
		`SELECT :x/2-@x`,
		`SELECT 'unfinished comment', :x /* :no`,
	} {
		w.onDB(`ok(db:query(..., {x = 1}))`, statement)
	}
}

func TestUnusedNamesAreNoError(t *testing.T) {
	t.Parallel()
	require.Equal(t, int64(2), newWorld(t).onDB(`return ok(db:query("SELECT :b AS v", {a = 1, b = 2, c = 3}))[1].v`))
}

func TestNamesReachEveryStatementOfAScript(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (x, y)`)
	require.Equal(t, []any{
		map[string]any{"x": int64(1), "y": int64(1)},
		map[string]any{"x": int64(2), "y": int64(1)},
		map[string]any{"x": int64(2), "y": int64(2)},
	}, w.onDB(`
		ok(db:execute("INSERT INTO a VALUES (:a, :a); INSERT INTO a VALUES (:b, :a); INSERT INTO a VALUES (:b, :b)", {a = 1, b = 2}))
		return ok(db:query("SELECT x, y FROM a ORDER BY rowid"))`))
}

func TestMoreParametersThanPlaceholdersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE a (x)`)
	for call, want := range map[string]string{
		`db:execute("SELECT ?", {1, 2})`:                                         `execute "app:db": 2 parameters for 1 placeholder`,
		`db:query("SELECT ?", {1, 2})`:                                           `query "app:db": 2 parameters for 1 placeholder`,
		`db:query("SELECT '?' -- ?", {1})`:                                       `query "app:db": 1 parameter for 0 placeholders`,
		`db:query("SELECT ?3, ?2", {1, 2, 3, 4})`:                                `query "app:db": 4 parameters for 3 placeholders`,
		`db:query("SELECT :a, @a, :a", {1, 2, 3})`:                               `query "app:db": 3 parameters for 2 placeholders`,
		`db:execute("INSERT INTO a VALUES (?); SELECT ?1;", {1, 2, 3})`:          `execute "app:db": 3 parameters for 2 placeholders`,
		`ok(db:prepare("SELECT ?, ?")):execute({1, 2, 3})`:                       `execute "app:db": 3 parameters for 2 placeholders`,
		`ok(db:begin()):execute("INSERT INTO a VALUES (?)", {1, sql.NULL})`:      `execute "app:db": 2 parameters for 1 placeholder`,
		`db:execute("CREATE TABLE b (y); INSERT INTO b VALUES ('?;?')", {1, 2})`: `execute "app:db": 2 parameters for 0 placeholders`,
	} {
		require.Equal(t, []any{"INVALID", "sql: " + want}, w.onDB(`return err(`+call+`)`), call)
	}
	require.Zero(t, w.count("a"), "nothing was run")
}

// Statements take as many values as SQLite says that they have parameters, and not one more.
func TestPlaceholdersAreCountedAsSQLiteDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE "o?d" ("a?b")`)
	terms := []string{
		"?", "?1", "?3", "?07", ":a", "@a", "$a", ":b", ":1", "'?'", "'it''s ?'", `"a?b"`, "[a?b]", "`a?b`", "-- ?\n 1",
		"/* ? ; */ 2", "1/2-?", "x'00'", "a$b", "é", "';'", "(?)", "NULL",
	}
	rapid.Check(t, func(t *rapid.T) {
		var script strings.Builder
		total := 0
		for range rapid.IntRange(1, 3).Draw(t, "statements") {
			columns := rapid.SliceOfN(rapid.SampledFrom(terms), 1, 6).Draw(t, "columns")
			statement := `SELECT ` + strings.Join(columns, " , ") + ` FROM (SELECT "a?b", 1 AS a$b, 2 AS é FROM "o?d")`
			var n int
			_, err := w.db.Pool().ExecContext(t.Context(), statement)
			if err != nil {
				_, err = fmt.Sscanf(err.Error(), "not enough args to execute query: want %d got 0", &n)
				require.NoError(t, err, statement)
			}
			total += n
			script.WriteString(statement + ";\n")
		}
		got := w.List(prelude+`
			local statement, n = ...
			local params = {}
			for i = 1, n do params[i] = i end
			ok(db:execute(statement, params))
			params[n + 1] = n
			return err(db:execute(statement, params))`, script.String(), int64(total))
		require.Equal(t, "INVALID", got[0])
		require.Contains(t, got[1], fmt.Sprintf("%d parameter", total+1))
	})
}
