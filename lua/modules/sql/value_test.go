package sql_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each expression is stored as a parameter; SQLite says what arrived.
func TestParametersAreStoredWithTheirTypes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for expression, want := range map[string][2]string{
		`0`:                                  {"integer", "0"},
		`-5`:                                 {"integer", "-5"},
		`9007199254740992`:                   {"integer", "9007199254740992"},
		`-9007199254740992`:                  {"integer", "-9007199254740992"},
		`2^53 + 2`:                           {"real", "9007199254740994.0"},
		`1.5`:                                {"real", "1.5"},
		`1/0`:                                {"real", "9.0e+999"},
		`"text"`:                             {"text", "'text'"},
		`""`:                                 {"text", "''"},
		`"42"`:                               {"text", "'42'"},
		`true`:                               {"integer", "1"},
		`false`:                              {"integer", "0"},
		`sql.NULL`:                           {"null", "NULL"},
		`sql.as.null()`:                      {"null", "NULL"},
		`sql.as.int(7)`:                      {"integer", "7"},
		`sql.as.int(-0.0 * 1)`:               {"integer", "0"},
		`sql.as.int("9223372036854775807")`:  {"integer", "9223372036854775807"},
		`sql.as.int("-9223372036854775808")`: {"integer", "-9223372036854775808"},
		`sql.as.int(nil)`:                    {"null", "NULL"},
		`sql.as.float(1)`:                    {"real", "1.0"},
		`sql.as.float("2.5")`:                {"real", "2.5"},
		`sql.as.text("x")`:                   {"text", "'x'"},
		`sql.as.text(1.5)`:                   {"text", "'1.5'"},
		`sql.as.text(nil)`:                   {"null", "NULL"},
		`sql.as.binary("\0\255")`:            {"blob", "X'00FF'"},
		`sql.as.binary("")`:                  {"blob", "X''"},
	} {
		require.Equal(t, map[string]any{"t": want[0], "q": want[1]},
			w.onDB(`return ok(db:query("SELECT typeof(?1) AS t, quote(?1) AS q", {`+expression+`}))[1]`), expression)
	}
}

func TestMinusZeroStaysAFloatWithItsSign(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{"real", true}, newWorld(t).onDB(`
		local row = ok(db:query("SELECT ?1 AS x, typeof(?1) AS t", {-0.0 * 1}))[1]
		return {row.t, 1 / row.x == -1/0}`))
}

func TestConversionsRefuseWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for expression, want := range map[string]string{
		`as.int(1.5)`:                   `sql: as.int: 1.5 is not an integer up to ±2^53; give larger ones as a decimal string`,
		`as.int(2^60)`:                  `sql: as.int: 1152921504606846976 is not an integer up to ±2^53`,
		`as.int("1.5")`:                 `sql: as.int: "1.5" is not a decimal integer of 64 bits`,
		`as.int("9223372036854775808")`: `is not a decimal integer of 64 bits`,
		`as.float("x")`:                 `sql: as.float: "x" is not a number`,
		`as.float(0/0)`:                 `nan cannot be stored`,
	} {
		got := w.listOnDB(`return err(sql.` + expression + `)`)
		require.Equal(t, "INVALID", got[0], expression)
		require.Contains(t, got[1], want, expression)
	}
	for expression, want := range map[string]string{
		`as.int(true)`:  `bad argument #1 to int (true is not a number or a decimal string)`,
		`as.float({})`:  `bad argument #1 to float (a table is not a number or a numeric string)`,
		`as.text(true)`: `bad argument #1 to text (true is not a string or a number)`,
		`as.binary(1)`:  `bad argument #1 to binary (1 is not a string)`,
	} {
		require.ErrorContains(t, w.Failure(prelude+`sql.`+expression), want)
	}
}

func TestTypedValuesCanBePrinted(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{"NULL", "7", "1.5", "a", "b", true}, newWorld(t).onDB(`
		return {tostring(sql.NULL), tostring(sql.as.int(7)), tostring(sql.as.float(1.5)), tostring(sql.as.text("a")),
			tostring(sql.as.binary("b")), sql.as.null() == sql.NULL}`))
}

func TestWrongParametersRaise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for params, want := range map[string]string{
		`5`:                          `params are 5; put them into one table: {…}`,
		`"a"`:                        `params are "a"; put them into one table: {…}`,
		`{1, nil, 3}`:                `params[2] is nil; write sql.NULL for NULL`,
		`{[2] = 1}`:                  `params[1] is nil; write sql.NULL for NULL`,
		`{1, a = 2}`:                 `params mixes positions and names ("a"); use one of them`,
		`{[0] = 1}`:                  `params has the key 0; use 1..n for ?, or names for :name`,
		`{[1.5] = 1}`:                `params has the key 1.5; use 1..n`,
		`{[true] = 1}`:               `params has the key true; use 1..n`,
		`{[":a"] = 1}`:               `params has the name ":a"; write it without : @ or $`,
		`{{}}`:                       `params[1]: a table cannot be stored`,
		`{a = print}`:                `params.a: a function cannot be stored`,
		`{0/0}`:                      `params[1]: nan cannot be stored`,
		`{sql.as.int("x")}`:          `params[1]: sql: as.int: "x" is not a decimal integer of 64 bits`,
		`{1, sql.as.int("x")}`:       `params[2]: sql: as.int: "x" is not a decimal integer`,
		`{select(2, sql.get("no"))}`: `params[1]: sql: database "app:no": `,
	} {
		err := w.Failure(prelude + `db:query("SELECT 1", ` + params + `)`)
		require.ErrorContains(t, err, `sql: query "app:db": `, params)
		require.ErrorContains(t, err, want, params)
		require.ErrorContains(t, w.Failure(prelude+`db:execute("SELECT 1", `+params+`)`), `sql: execute "app:db": `, params)
	}
	// One nil in a table is no parameter at all.
	require.Equal(t, true, w.onDB(`return ok(db:query("SELECT 1", {(sql.as.int("x"))})) ~= nil`))
}

func TestNamedParameters(t *testing.T) {
	t.Parallel()
	require.Equal(t, map[string]any{"a": int64(1), "b": "two", "again": int64(1)}, newWorld(t).onDB(`
		return ok(db:query("SELECT :a AS a, :b AS b, :a AS again", {a = 1, b = "two"}))[1]`))
}

// The stored value arrives whatever the column was declared as: what the script gets is what an expression gives, which
// has no declared type.
func TestResultsAreTheStoredValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, declared := range []string{"", "INTEGER", "TEXT", "BLOB", "REAL", "BOOLEAN", "DATE", "DATETIME", "TIMESTAMP", "NUMERIC"} {
		w.schema(`DROP TABLE IF EXISTS v; CREATE TABLE v (x ` + declared + `)`)
		for _, literal := range []string{
			`0`, `2`, `-1`, `1700000000`, `1700000000000`, `9007199254740992`, `9007199254740993`,
			`-9223372036854775808`, `2.5`, `-0.0`, `9e999`, `'2024-05-06'`, `'2024-05-06T07:08:09Z'`, `'no date'`, `''`,
			`X'00ff'`, `X''`, `NULL`,
		} {
			w.schema(`DELETE FROM v; INSERT INTO v VALUES (` + literal + `)`)
			got := w.onDB(`return ok(db:query("SELECT x FROM v"))[1].x`)
			require.Equal(t, w.stored(`SELECT +x FROM v`), got, "%s in a column declared %q", literal, declared)
		}
	}
}

// stored returns a value as a script should see it.
func (w *world) stored(query string) any {
	w.tb.Helper()
	var v any
	require.NoError(w.tb, w.db.Pool().QueryRowContext(w.tb.Context(), query).Scan(&v))
	switch v := v.(type) {
	case int64:
		if v > 1<<53 || v < -(1<<53) {
			return strconv.FormatInt(v, 10)
		}
	case float64:
		if v == math.Trunc(v) && math.Abs(v) <= 1<<53 && (v != 0 || !math.Signbit(v)) {
			return int64(v) // Lua has one type of number
		}
	case []byte:
		return string(v)
	}
	return v
}
