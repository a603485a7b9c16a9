package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnErrorLeavesVariablesOfFunctionsThatGoOn(t *testing.T) {
	w := newWorld(t)
	const counter = `local n = 0 local function inc() n = n + 1 return n end inc() `
	for name, body := range map[string]string{
		"pcall":      counter + `pcall(error, "x") inc() return n`,
		"deeper":     counter + `pcall(function() local m = inc error("x") end) inc() return n`,
		"xpcall":     counter + `xpcall(function() error("x") end, function(e) return e end) inc() return n`,
		"nested":     counter + `pcall(function() pcall(error, "x") error("y") end) inc() return n`,
		"in handler": counter + `xpcall(function() error("x") end, function(e) pcall(error) return e end) inc() return n`,
		"coroutine":  counter + `coroutine.resume(coroutine.create(function() error("x") end)) inc() return n`,
		"in one":     `return coroutine.wrap(function() ` + counter + ` pcall(error, "x") inc() return n end)()`,
		"spawned":    `local c = channel.new(1) coroutine.spawn(function() ` + counter + ` pcall(error, "x") inc() c:send(n) end) return (c:receive())`,
		"runtime":    counter + `pcall(function() local s return s.x end) inc() return n`,
		"loop":       counter + `for i = 1, 3 do pcall(error, "x") end inc() return n`,
	} {
		require.Equal(t, int64(2), w.value(body), name)
	}
}

func TestClosuresKeepTheVariablesOfFunctionsThatHaveFailed(t *testing.T) {
	w := newWorld(t)
	for name, call := range map[string]string{
		"pcall":     `pcall(fails)`,
		"xpcall":    `xpcall(fails, function(e) return e end)`,
		"nested":    `pcall(function() pcall(fails) error("again") end)`,
		"coroutine": `coroutine.resume(coroutine.create(fails))`,
		"wrapped":   `pcall(coroutine.wrap(fails))`,
	} {
		require.Equal(t, []any{int64(11), int64(12), int64(12)}, w.value(`
			local get, add
			local function fails()
				local v = 10
				function get() return v end
				function add() v = v + 1 return v end
				local function fail() local unused = 1 error("x") end
				fail()
			end
			`+call+`
			local a, b, c, d = "overwritten", "overwritten", "overwritten", "overwritten"
			return {add(), add(), get()}`), name)
	}
}

func TestProtectedCalls(t *testing.T) {
	w := newWorld(t)
	for body, want := range map[string]any{
		`return {pcall(function(...) return ... end, 1, nil, 3)}`:                       map[string]any{},
		`return select("#", pcall(function(...) return ... end, 1, nil, 3))`:            int64(4),
		`return select("#", xpcall(function() return 1, 2 end, print, "ignored"))`:      int64(3),
		`return select(2, pcall(nil))`:                                                  "attempt to call a nil value",
		`return select(2, pcall(setmetatable({}, {__call = function() return 7 end})))`: int64(7),
		`return (xpcall(error, function(e) error("again") end))`:                        false,
		`return select(2, pcall(pcall, error, "x"))`:                                    false,
		`local t = {} return select(2, pcall(error, t)) == t`:                           true,
	} {
		if m, ok := want.(map[string]any); ok && len(m) == 0 {
			require.NoError(t, w.run(body+" and nil").Err, body)
			continue
		}
		require.Equal(t, want, w.value(body), body)
	}
	require.ErrorContains(t, w.run(`xpcall(print)`).Err, "bad argument #2 to xpcall (function expected, got nil)")
}

func TestAStackOverflowIsAnErrorLikeAnother(t *testing.T) {
	w := newWorld(t)
	const want = "app:test:2: stack overflow: more than 4096 calls in each other"
	require.Equal(t, want, w.value(`local function f() return 1 + f() end return select(2, pcall(f))`))
	require.Equal(t, want, w.value(`local function f() return 1 + f() end return select(2, coroutine.resume(coroutine.create(f)))`))
	require.Equal(t, "end", w.value(`local function f() pcall(f) end f() return "end"`))
	require.Equal(t, int64(2), w.value(`
		local n = 0
		local function inc() n = n + 1 end
		inc()
		local function f() pcall(f) return 1 + f() end
		pcall(function() local function g() return 1 + g() end g() end)
		inc()
		return n`))
}
