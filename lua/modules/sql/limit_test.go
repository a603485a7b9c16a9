package sql_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
)

// A result that does not end, or is too large, is an error that names the field; the database and the script go on.
func TestResultsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *sqlapi.SQLiteConfig) { c.MaxResultBytes = 64 * unit.KiB })
	w.schema(`CREATE TABLE t (a)`)
	const endless = `"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"`
	const want = `the result takes more memory than the field max_result_bytes (64 KiB) of the database allows, after `
	for name, call := range map[string]string{
		"a query without end":      `db:query(` + endless + `)`,
		"a prepared one":           `ok(db:prepare(` + endless + `)):query()`,
		"one value":                `db:query("SELECT zeroblob(40000)")`,
		"one text":                 `db:query("SELECT hex(zeroblob(20000))")`,
		"many columns":             `db:query("WITH n (i) AS (VALUES (1), (2), (3), (4), (5), (6), (7), (8)) SELECT " .. ("zeroblob(4000) AS b,"):rep(1) .. " 1 FROM n, n AS m")`,
		"a query in a transaction": `ok(db:begin()):query(` + endless + `)`,
	} {
		got := w.listOnDB(`return err(` + call + `)`)
		require.Equal(t, "INVALID", got[0], name)
		require.Contains(t, got[1], `sql: query "app:db": `+want, name)
	}
	require.Equal(t, []any{int64(60), int64(60)}, w.onDB(`
		local tx = ok(db:begin())
		err(tx:query(`+endless+`))
		ok(tx:execute("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60) INSERT INTO t SELECT i FROM n"))
		ok(tx:commit())
		return {#ok(db:query("SELECT a FROM t")), ok(db:query("SELECT count(*) AS n FROM t"))[1].n}`))
}

// What a statement has written before its result became too large stays, as the error says.
func TestWhatIsWrittenBesideAResultThatIsTooLargeStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *sqlapi.SQLiteConfig) { c.MaxResultBytes = 64 * unit.KiB })
	w.schema(`CREATE TABLE t (a)`)
	got := w.listOnDB(`return err(db:query([[
		WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) INSERT INTO t SELECT i FROM n RETURNING a]]))`)
	require.Contains(t, got[1], "what the statement has written stays")
	require.Equal(t, 1000, w.count("t"))
}
