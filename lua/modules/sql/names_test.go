package sql_test

import (
	"testing"

	"github.com/stretchr/testify/require"
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
