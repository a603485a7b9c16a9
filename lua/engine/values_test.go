package engine_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"
	"pgregory.net/rapid"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// mirror is a module whose function copies a value out of Lua and back.
type mirror struct{}

func (mirror) Name() string { return "mirror" }
func (mirror) Global()      {}

func (mirror) Open(L *lua.LState) *lua.LTable {
	return L.SetFuncs(L.NewTable(), map[string]lua.LGFunction{"copy": func(L *lua.LState) int {
		v, err := engine.FromLua(L.Get(1))
		if err != nil {
			return engine.Fail(L, err)
		}
		lv, err := engine.ToLua(L, v)
		if err != nil {
			return engine.Fail(L, err)
		}
		L.Push(lv)
		return 1
	}})
}

func TestNumbers(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		give any
		want any
	}{
		{int64(1 << 53), int64(1 << 53)},
		{int64(-1 << 53), int64(-1 << 53)},
		{int64(1<<53 + 1), "9007199254740993"},
		{int64(-1<<53 - 1), "-9007199254740993"},
		{int64(math.MaxInt64), "9223372036854775807"},
		{int64(math.MinInt64), "-9223372036854775808"},
		{uint64(1 << 53), int64(1 << 53)},
		{uint64(1<<53 + 1), "9007199254740993"},
		{math.Inf(1), math.Inf(1)},
		{math.Inf(-1), math.Inf(-1)},
		{1e300, 1e300},
		{0.1, 0.1},
		{5e-324, 5e-324},
		{-1.0, int64(-1)},
	} {
		require.Equal(t, c.want, w.value(`return ...`, c.give), "%v", c.give)
	}
	nan, ok := w.value(`return 0/0`).(float64)
	require.True(t, ok && math.IsNaN(nan))
	negative, ok := w.value(`return ...`, math.Copysign(0, -1)).(float64)
	require.True(t, ok && math.Signbit(negative), "the sign of a zero is kept")
}

func TestIntegersKeepAllDigits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		switch v := engine.Integer(n).(type) {
		case lua.LNumber:
			if int64(v) != n {
				t.Fatalf("%d became %v", n, v)
			}
		case lua.LString:
			if back, err := strconv.ParseInt(string(v), 10, 64); err != nil || back != n || (n < 1<<53 && n > -1<<53) {
				t.Fatalf("%d became %q", n, v)
			}
		default:
			t.Fatalf("%d became a %s", n, v.Type())
		}
	})
}

// values generates what FromLua can return.
func values(depth int) *rapid.Generator[any] {
	scalars := []*rapid.Generator[any]{
		rapid.Just[any](true),
		rapid.Just[any](false),
		rapid.Map(rapid.Int64Range(-1<<53, 1<<53), func(n int64) any { return n }),
		rapid.Map(rapid.Float64Range(0.001, 0.999), func(f float64) any { return f }),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) any { return string(b) }),
	}
	if depth == 0 {
		return rapid.OneOf(scalars...)
	}
	return rapid.OneOf(append(scalars,
		rapid.Map(rapid.SliceOfN(values(depth-1), 1, 5), func(list []any) any { return list }),
		rapid.Map(rapid.MapOfN(rapid.String(), values(depth-1), 0, 5), func(m map[string]any) any { return m }),
	)...)
}

func TestValuesSurviveTheWayThroughLua(t *testing.T) {
	w := newWorld(t, mirror{})
	w.script("test", `function main(v) return {v = mirror.copy(v)} end`)
	rapid.Check(t, func(t *rapid.T) {
		v := values(3).Draw(t, "v")
		exit := w.wait(w.spawn("test", v))
		require.NoError(t, exit.Err)
		require.Equal(t, map[string]any{"v": v}, exit.Value)
	})
}

func TestTables(t *testing.T) {
	w := newWorld(t)
	for body, want := range map[string]any{
		`return {}`:                   map[string]any{},
		`return {1}`:                  []any{int64(1)},
		`return {{}, {{}}}`:           []any{map[string]any{}, []any{map[string]any{}}},
		`return {a = 1, ["b c"] = 2}`: map[string]any{"a": int64(1), "b c": int64(2)},
		`return {["1"] = "text key"}`: map[string]any{"1": "text key"},
		`local t = {} t[3] = 3 t[2] = 2 t[1] = 1 return t`: []any{int64(1), int64(2), int64(3)},
		`local t = {1, 2, 3} t[3] = nil return t`:          []any{int64(1), int64(2)},
		`local t = {a = 1} t.a = nil return t`:             map[string]any{},
		`local t = {n = 1} t[1] = "x" t.n = nil return t`:  []any{"x"},
	} {
		require.Equal(t, want, w.value(body), body)
	}
	for body, want := range map[string]string{
		`return {[0] = 1}`:                          "table key 0: keys must be strings, or exactly 1 to n",
		`return {[1.5] = 1}`:                        "table key 1.5",
		`return {[-1] = 1, [1] = 2}`:                "table key",
		`return {1, 2, x = 3}`:                      "table key 1",
		`return {[2] = 1}`:                          "table key 2",
		`return {[{}] = 1}`:                         "table key table: ",
		`return {a = {b = {print}}}`:                "a: b: [1]: a function cannot leave its process",
		`return {coroutine.create(function() end)}`: "[1]: a thread cannot leave its process",
	} {
		exit := w.run(body)
		require.ErrorContains(t, exit.Err, want, body)
		require.True(t, errs.Is(exit.Err, errs.Invalid), body)
	}
}

func TestLuaValuesDoNotBelongInGoArguments(t *testing.T) {
	L := lua.NewState()
	defer L.Close()
	for _, v := range []any{lua.LString("x"), L.NewTable(), struct{}{}, make(chan int), complex(1, 1), &mirror{}} {
		_, err := engine.ToLua(L, v)
		require.True(t, errs.Is(err, errs.Invalid), "%T", v)
	}
	_, err := engine.ToLua(L, map[string]any{"list": []any{nil, make(chan int)}})
	require.EqualError(t, err, "list: [2]: a Go chan int has no counterpart in Lua")
}
