package engine_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestMultipleAssignment(t *testing.T) {
	w := newWorld(t)
	for body, want := range map[string]any{
		`local a, b = 1, 2 a, b = b, a return {a, b}`:                                                                                                                        []any{int64(2), int64(1)},
		`local a, b, c = 1, 2, 3 a, b, c = c, a, b return {a, b, c}`:                                                                                                         []any{int64(3), int64(1), int64(2)},
		`local a, b = 0, 0 a, b = a + 1, a + b return {a, b}`:                                                                                                                []any{int64(1), int64(0)},
		`x, y = 1, 2 x, y = y, x return {x, y}`:                                                                                                                              []any{int64(2), int64(1)},
		`local t = {1, 2} t[1], t[2] = t[2], t[1] return t`:                                                                                                                  []any{int64(2), int64(1)},
		`local t = {a = 1, b = 2} t.a, t.b = t.b, t.a return t`:                                                                                                              map[string]any{"a": int64(2), "b": int64(1)},
		`local i, t = 3, {} i, t[i] = i + 1, 20 return {i, t[3], t[4] == nil}`:                                                                                               []any{int64(4), int64(20), true},
		`local i, t = 1, {} t[i], i = 20, 2 return {i, t[1], t[2] == nil}`:                                                                                                   []any{int64(2), int64(20), true},
		`local t = {x = {}} t, t.x = 1, 2 return t`:                                                                                                                          int64(1),
		`local t = {} local old = t t, t.x = {y = 1}, 2 return {old.x, t.y}`:                                                                                                 []any{int64(2), int64(1)},
		`seen = nil _G.mine_two, seen = 3, 4 return {_G.mine_two, seen}`:                                                                                                     []any{int64(3), int64(4)},
		`seen, _G.mine_two, _G.mine_four = 1, 2, 3 return {seen, _G.mine_two, _G.mine_four}`:                                                                                 []any{int64(1), int64(2), int64(3)},
		`local a, b = 1, 2 a, b = 7 return {a, b == nil}`:                                                                                                                    []any{int64(7), true},
		`local a, b = 1, 2 a, b = 7, 8, 9 return {a, b}`:                                                                                                                     []any{int64(7), int64(8)},
		`local function f() return 1, 2, 3 end local a, b, c a, b, c = f() return {a, b, c}`:                                                                                 []any{int64(1), int64(2), int64(3)},
		`local function f() return 1, 2, 3 end local a, b, c a, b, c = 0, f() return {a, b, c}`:                                                                              []any{int64(0), int64(1), int64(2)},
		`local function f() return 1, 2, 3 end local a, b, c a, b, c = f(), 9 return {a, b, c == nil}`:                                                                       []any{int64(1), int64(9), true},
		`local function f() return 1, 2, 3 end local a, b a, b = (f()) return {a, b == nil}`:                                                                                 []any{int64(1), true},
		`local function f(...) local a, b a, b = ... return {a, b} end return f(5, 6, 7)`:                                                                                    []any{int64(5), int64(6)},
		`local function f(...) local a, b a, b = 1, ... return {a, b} end return f(5, 6, 7)`:                                                                                 []any{int64(1), int64(5)},
		`local a, b = 1, 2 local f = function() a, b = b, a end f() return {a, b}`:                                                                                           []any{int64(2), int64(1)},
		`local a, b a, b = function() return a == nil end, 1 return {a(), b}`:                                                                                                []any{false, int64(1)},
		`local a a, a = 1, 2 return a`:                                                                                                                                       int64(1),
		`local a = 0 a = 1, 2 return a`:                                                                                                                                      int64(1),
		`local a, b = 0, 1 for i = 1, 10 do a, b = b, a + b end return a`:                                                                                                    int64(55),
		`local a, b = 48, 18 while b > 0 do a, b = b, a % b end return a`:                                                                                                    int64(6),
		`local a, b = 1, 5 repeat a, b = a + 1, b - 1 until a >= b return {a, b}`:                                                                                            []any{int64(3), int64(3)},
		`local a, b = 1, 2 if a then a, b = b, a end if not a then return 0 else a, b = a + b, b end return {a, b}`:                                                          []any{int64(3), int64(1)},
		`local a, b = 1, 2 do local a a, b = b, a end return {a, b == nil}`:                                                                                                  []any{int64(1), true},
		`local t = setmetatable({}, {__newindex = function(t, k, v) rawset(t, k, v * 2) end}) t.a, t.b = 1, 2 return {t.a, t.b}`:                                             []any{int64(2), int64(4)},
		`local log = {} local function o(n) log[#log + 1] = n return {} end o("l1").x, o("l2").x = o("r1"), o("r2") return table.concat(log, " ")`:                           "l1 l2 r1 r2",
		`for k, v in pairs({(function() local a, b = 1, 2 a, b = b, a return a end)()}) do return v end`:                                                                     int64(2),
		`return (function(f) return f() end)(function() local a, b = 1, 2 a, b = b, a return a * 10 + b end)`:                                                                int64(21),
		`local f = {g = function() local a, b = 1, 2 a, b = b, a return a end} return -f.g() + #{f.g()} + (f.g() > 1 and f.g() or 0)`:                                        int64(1),
		`local o = {} function o:m() local a, b = 1, 2 a, b = b, a return not (a == 1) end return o:m() and "" .. (function() local a, b = 3, 4 a, b = b, a return a end)()`: "4",
		`for i = (function() local a, b = 1, 2 a, b = b, a return a end)(), 2 do return i end`:                                                                               int64(2),
	} {
		require.Equal(t, want, w.value(body), body)
	}
}

func TestMultipleAssignmentKeepsItsLine(t *testing.T) {
	w := newWorld(t)
	require.ErrorContains(t, w.run("local a, t\n\na, t.x = 1, 2").Err, "app:test:4: attempt to index local 't' (a nil value)")
	require.ErrorContains(t, w.run("local a, b\n\na, b = 1, a.x").Err, "app:test:4: attempt to index local 'a' (a nil value)")
}

// TestMultipleAssignmentIsSimultaneous compares random assignments to variables and fields with a model.
func TestMultipleAssignmentIsSimultaneous(t *testing.T) {
	w := newWorld(t)
	targets := []string{"a", "b", "g", "t.x", "t[1]", "t[k]"}
	rapid.Check(t, func(t *rapid.T) {
		left := rapid.Permutation(targets).Draw(t, "left")[:rapid.IntRange(2, len(targets)).Draw(t, "n")]
		right := rapid.SliceOfN(rapid.SampledFrom(targets), len(left), len(left)).Draw(t, "right")
		body := "local a, b, k, t = 'a', 'b', 'kk', {x = 'x', 'one', kk = 'k'} g = 'g'\n" +
			strings.Join(left, ", ") + " = " + strings.Join(right, ", ") +
			"\nreturn table.concat({a, b, g, t.x, t[1], t.kk}, ' ')"
		state := map[string]string{"a": "a", "b": "b", "g": "g", "t.x": "x", "t[1]": "one", "t[k]": "k"}
		after := map[string]string{}
		for _, name := range targets {
			after[name] = state[name]
		}
		for i, name := range left {
			after[name] = state[right[i]]
		}
		want := make([]string, len(targets))
		for i, name := range targets {
			want[i] = after[name]
		}
		exit := w.run(body)
		require.NoError(t, exit.Err, body)
		require.Equal(t, strings.Join(want, " "), exit.Value, body)
	})
}
