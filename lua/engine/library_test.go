package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
)

// runImporting runs body in a script that imports libraries.
func (w *world) runImporting(body string, imports map[string]string) process.Exit {
	w.t.Helper()
	w.importing("test", "function main(...)\n"+body+"\nend", imports)
	return w.wait(w.spawn("test"))
}

func TestWaitersForALibraryAllGetIt(t *testing.T) {
	w := newWorld(t)
	w.library("gate", `return channel.new()`, nil)
	w.library("slow", `loads = (loads or 0) + 1 require("gate"):receive() return {loads = loads}`, map[string]string{"gate": "gate"})
	exit := w.runImporting(`
		local gate, started, got = require("gate"), channel.new(3), channel.new(3)
		for i = 1, 3 do
			coroutine.spawn(function()
				started:send(i) -- does not block, so that i has reached require when main goes on
				got:send(require("slow"))
			end)
		end
		for i = 1, 3 do started:receive() end
		gate:send(1)
		local a, b, c = got:receive(), got:receive(), got:receive()
		return a == b and b == c and a.loads == 1`, map[string]string{"slow": "slow", "gate": "gate"})
	require.NoError(t, exit.Err)
	require.Equal(t, true, exit.Value)
}

func TestAWaiterTriesAgainWhenALibraryHasFailed(t *testing.T) {
	w := newWorld(t)
	w.library("gate", `return channel.new()`, nil)
	w.library("moody", `loads = (loads or 0) + 1 require("gate"):receive() if loads == 1 then error("first") end return loads`,
		map[string]string{"gate": "gate"})
	exit := w.runImporting(`
		local gate, started, got = require("gate"), channel.new(2), channel.new(2)
		for i = 1, 2 do
			coroutine.spawn(function()
				started:send(i)
				local ok, v = pcall(require, "moody")
				got:send(ok and v or tostring(v))
			end)
		end
		for i = 1, 2 do started:receive() end
		gate:send(1)
		local first = got:receive()
		gate:send(1)
		return {first, (got:receive())}`, map[string]string{"moody": "moody", "gate": "gate"})
	require.NoError(t, exit.Err)
	require.Equal(t, []any{"app:moody:1: first", int64(2)}, exit.Value)
}

func TestTerminatedWhileALibraryIsLoaded(t *testing.T) {
	p := &probe{}
	w := newWorld(t, p)
	w.library("endless", `probe.mark("loading") while true do end`, nil)
	w.library("blocked", `probe.block("loading")`, nil)
	for _, name := range []string{"endless", "blocked"} {
		p.marks = nil
		w.importing("test", `function main()
			coroutine.spawn(function() require("lib") end)
			while true do pcall(require, "lib") end
		end`, map[string]string{"lib": name})
		pid := w.spawn("test")
		within(t, p.get("loading"))
		require.NoError(t, w.Terminate(t.Context(), pid))
		require.True(t, errs.Is(w.wait(pid).Err, errs.Canceled))
	}
}

func TestLibrariesThatRequireEachOther(t *testing.T) {
	w := newWorld(t)
	w.library("a", `return require("b")`, map[string]string{"b": "b"})
	w.library("b", `return require("a")`, map[string]string{"a": "a"})
	err := w.runImporting(`require("a")`, map[string]string{"a": "a"}).Err
	require.ErrorContains(t, err, `app:b:1: module "a" requires itself: app:a is still being loaded`)
}

func TestOneLibraryUnderTwoNames(t *testing.T) {
	w := newWorld(t)
	w.library("lib", `loads = (loads or 0) + 1 return {loads = loads}`, nil)
	exit := w.runImporting(`return require("x") == require("y") and require("x").loads == 1`, map[string]string{"x": "lib", "y": "lib"})
	require.Equal(t, true, exit.Value)
}

func TestAnImportHidesAModuleOfItsName(t *testing.T) {
	w := newWorld(t, &counter{})
	w.library("own", `return "own"`, nil)
	require.Equal(t, "own", w.runImporting(`return require("counter")`, map[string]string{"counter": "own"}).Value)
}

func TestAReplacedLibraryIsSeenByNewProcesses(t *testing.T) {
	w := newWorld(t)
	w.library("lib", `return 1`, nil)
	imports := map[string]string{"lib": "lib"}
	require.Equal(t, int64(1), w.runImporting(`return require("lib")`, imports).Value)
	w.library("lib", `return 2`, nil)
	require.Equal(t, int64(2), w.runImporting(`return require("lib")`, imports).Value)
}

func TestValuesOfLibraries(t *testing.T) {
	w := newWorld(t)
	imports := map[string]string{"lib": "lib"}
	for source, want := range map[string]any{
		`return 7`: int64(7), `return "text"`: "text", `return {a = 1}`: map[string]any{"a": int64(1)},
		``: true, `return nil`: true, `return false`: false, `return 1, 2`: int64(1),
	} {
		w.library("lib", source, nil)
		exit := w.runImporting(`assert(rawequal(require("lib"), require("lib"))) return require("lib")`, imports)
		require.NoError(t, exit.Err, source)
		require.Equal(t, want, exit.Value, source)
	}
	w.library("lib", `return function(...) return select("#", ...) end`, nil)
	require.Equal(t, int64(3), w.runImporting(`return require("lib")(1, nil, 3)`, imports).Value)
}

func TestPermissionsFollowTheCode(t *testing.T) {
	w := newWorld(t, &counter{})
	w.library("trusted", `
		local M = {}
		function M.direct() return require("counter").opened end
		function M.tail() return require("counter") end
		function M.protected() return select(2, pcall(require, "counter")).opened end
		function M.threaded() return coroutine.wrap(function() return require("counter").opened end)() end
		function M.callback(f) return f("counter") end
		return M`, nil, "counter")
	imports := map[string]string{"t": "trusted"}
	for call, want := range map[string]any{
		`t.direct()`: int64(1), `t.tail().opened`: int64(1), `t.protected()`: int64(1), `t.threaded()`: int64(1),
	} {
		exit := w.runImporting(`local t = require("t") return `+call, imports)
		require.NoError(t, exit.Err, call)
		require.IsType(t, want, exit.Value, call)
	}
	err := w.runImporting(`local t = require("t") t.callback(function(name) return require(name) end)`, imports).Err
	require.ErrorContains(t, err, `module "counter" is not allowed here: add it to modules of app:test`, "code of the script runs with its own permissions")
}

func TestErrorsInLibrariesNameThem(t *testing.T) {
	w := newWorld(t)
	w.library("lib", "return {\n  fail = function(n)\n    error('lib: ' .. n)\n  end,\n}", nil)
	err := w.runImporting(`require("lib").fail(3)`, map[string]string{"lib": "lib"}).Err
	require.ErrorContains(t, err, "app:lib:3: lib: 3")
	require.ErrorContains(t, err, "app:test:2:")
}
