package value_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"
	"pgregory.net/rapid"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/modules/internal/value"
)

func TestIntegersBeyondExactNumbersAreStrings(t *testing.T) {
	t.Parallel()
	for v, want := range map[int64]lua.LValue{
		0:                 lua.LNumber(0),
		-1:                lua.LNumber(-1),
		1 << 53:           lua.LNumber(1 << 53),
		-(1 << 53):        lua.LNumber(-(1 << 53)),
		1<<53 + 1:         lua.LString("9007199254740993"),
		-(1<<53 + 1):      lua.LString("-9007199254740993"),
		math.MaxInt64:     lua.LString("9223372036854775807"),
		math.MinInt64:     lua.LString("-9223372036854775808"),
		math.MaxInt64 - 1: lua.LString("9223372036854775806"),
	} {
		require.Equal(t, want, value.Of(sqlapi.IntegerValue(v)))
	}
}

func TestEveryIntegerKeepsItsDigits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Int64().Draw(t, "v")
		switch got := value.Of(sqlapi.IntegerValue(v)).(type) {
		case lua.LNumber:
			back, ok := value.Whole(got)
			require.True(t, ok)
			require.Equal(t, v, back)
		case lua.LString:
			require.Greater(t, math.Abs(float64(v)), float64(1<<52))
		default:
			require.Failf(t, "unexpected type", "%T", got)
		}
	})
}

func TestWholeTellsIntegersFromOtherNumbers(t *testing.T) {
	t.Parallel()
	for n, want := range map[lua.LNumber]int64{0: 0, 3: 3, -7: -7, 1 << 53: 1 << 53, -(1 << 53): -(1 << 53)} {
		got, ok := value.Whole(n)
		require.True(t, ok, n)
		require.Equal(t, want, got)
	}
	for _, n := range []lua.LNumber{
		0.5, 1<<53 + 2, -(1<<53 + 2), lua.LNumber(math.Inf(1)), lua.LNumber(math.Inf(-1)), lua.LNumber(math.NaN()),
		lua.LNumber(math.Copysign(0, -1)),
	} {
		_, ok := value.Whole(n)
		require.False(t, ok, n)
	}
}

func TestColumnValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   sqlapi.Value
		want lua.LValue
	}{
		{sqlapi.Value{}, lua.LNil},
		{sqlapi.IntegerValue(42), lua.LNumber(42)},
		{sqlapi.IntegerValue(math.MaxInt64), lua.LString("9223372036854775807")},
		{sqlapi.RealValue(1.5), lua.LNumber(1.5)},
		{sqlapi.RealValue(math.Inf(-1)), lua.LNumber(math.Inf(-1))},
		{sqlapi.TextValue("a\x00\xff"), lua.LString("a\x00\xff")},
		{sqlapi.TextValue(""), lua.LString("")},
		{sqlapi.BlobValue("\xfe"), lua.LString("\xfe")},
		{sqlapi.BoolValue(true), lua.LTrue},
		{sqlapi.BoolValue(false), lua.LFalse},
	} {
		require.Equal(t, c.want, value.Of(c.in))
	}
	minusZero, ok := value.Of(sqlapi.RealValue(math.Copysign(0, -1))).(lua.LNumber)
	require.True(t, ok)
	require.True(t, math.Signbit(float64(minusZero)))
}

func TestEmptyTextIsNil(t *testing.T) {
	t.Parallel()
	require.Equal(t, lua.LNil, value.Text(""))
	require.Equal(t, lua.LString("x"), value.Text("x"))
}
