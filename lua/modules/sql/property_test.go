package sql_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What is stored comes back: integers of 64 bits, floats, and any bytes as text and as blob.
func TestStoredValuesComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.schema(`CREATE TABLE v (i, f, s, b)`)
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.Int64().Draw(t, "integer")
		f := rapid.Float64().Draw(t, "float")
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		got := w.List(prelude+`
			local i, f, s = ...
			ok(db:execute("DELETE FROM v"))
			ok(db:execute("INSERT INTO v VALUES (?, ?, ?, ?)", {sql.as.int(i), sql.as.float(f), s, sql.as.binary(s)}))
			local row = ok(db:query("SELECT *, typeof(i) || typeof(f) || typeof(s) || typeof(b) AS types FROM v"))[1]
			return {tostring(row.i), row.f, row.s, row.b, row.types, 1 / row.f}`, strconv.FormatInt(i, 10), f, s)
		require.Equal(t, strconv.FormatInt(i, 10), got[0])
		require.InDelta(t, f, number(t, got[1]), 0)
		require.Equal(t, math.Signbit(f), math.Signbit(number(t, got[5])))
		require.Equal(t, []any{s, s, "integerrealtextblob"}, got[2:5])
	})
}

func number(t *rapid.T, v any) float64 {
	t.Helper()
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	default:
		t.Fatalf("%v is no number", v)
		return 0
	}
}
