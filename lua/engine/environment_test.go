package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/process"
)

func TestEachScriptHasGlobalsOfItsOwn(t *testing.T) {
	w := newWorld(t, &counter{})
	w.library("lib", `
		local M = {}
		secret = "mine"
		function M.open() local handle = assert(require("counter")) return tostring(handle ~= nil) end
		function M.secret() return secret end
		function M.see() return leaked end
		function M.set() leaked = 1 end
		return M`, nil, "counter")
	imports := map[string]string{"lib": "lib"}
	for body, want := range map[string]any{
		`local got = "nothing" assert = function(v) got = v return v end require("lib").open() return got`: "nothing",
		`require = function() return "mine" end return (require("lib"))`:                                   "mine",
		`local lib = require("lib") tostring = function() return "replaced" end return lib.open()`:         "true",
		`local lib = require("lib") secret = "other" return lib.secret()`:                                  "mine",
		`local lib = require("lib") return secret`:                                                         nil,
		`local lib = require("lib") leaked = 1 return lib.see()`:                                           nil,
		`local lib = require("lib") lib.set() return leaked`:                                               nil,
		`local lib = require("lib") _G.leaked = 1 return lib.see()`:                                        nil,
		`local lib = require("lib") rawset(_G, "leaked", 1) return lib.see()`:                              nil,
		`local lib = require("lib") getfenv(0).leaked = 1 return lib.see()`:                                nil,
		`local lib = require("lib") getfenv(print).leaked = 1 return lib.see()`:                            nil,
		`local lib = require("lib") return (pcall(getfenv, lib.see))`:                                      false,
		`local lib = require("lib") return (pcall(setfenv, lib.see, {}))`:                                  false,
		`local lib = require("lib") return getfenv(1) == _G and getfenv() == _G and getfenv(main) == _G`:   true,
		`x = 1 local f = function() return x end setfenv(f, {x = 2}) return f() + x`:                       int64(3),
		`setfenv(1, {y = 5}) return y`:                                                                     int64(5),
	} {
		exit := w.runImporting(body, imports)
		require.NoError(t, exit.Err, body)
		require.Equal(t, want, exit.Value, body)
	}
	err := w.runImporting(`getfenv(require("lib").see)`, imports).Err
	require.ErrorContains(t, err, "bad argument #1 to getfenv (the function belongs to another script)")
}

func TestAFunctionThatIsCalledBackDoesNotLendItsCallersEnvironment(t *testing.T) {
	w := newWorld(t)
	w.library("lib", `hidden = 1 return function(f) local v = f() return v end`, nil)
	for _, call := range []string{`getfenv(2)`, `setfenv(2, {})`} {
		err := w.runImporting(`require("lib")(function() local e = `+call+` return e.hidden end)`, map[string]string{"lib": "lib"}).Err
		require.ErrorContains(t, err, "bad argument #1", call)
	}
}

func TestRequireBelongsToItsScript(t *testing.T) {
	w := newWorld(t, &counter{})
	w.library("lib", `return {with = function(f, ...) local v = f(...) return v end, require = require}`, nil, "counter")
	imports := map[string]string{"lib": "lib"}
	const refused = `module "counter" is not allowed here: add it to modules of app:test`
	require.ErrorContains(t, w.runImporting(`require("lib").with(require, "counter")`, imports).Err, refused)
	require.ErrorContains(t, w.runImporting(`require("lib").with(pcall(require, "counter") and print or error, "x")`, imports).Err, "x")
	exit := w.runImporting(`return require("lib").require("counter").id`, imports)
	require.NoError(t, exit.Err, "a library that gives its own away has done so on purpose")
	require.Equal(t, "app:test", exit.Value)
}

func TestALibraryThatFailsLeavesNoRightsBehind(t *testing.T) {
	w := newWorld(t, &counter{})
	w.library("hook", `return {}`, nil)
	w.library("fails", `require("hook").left = function(name) return require(name) end error("on purpose")`, map[string]string{"hook": "hook"})
	e := scriptEntry("test", `function main()
		assert(not pcall(require, "fails"))
		return tostring(select(2, pcall(require("hook").left, "counter")))
	end`, "counter")
	e.Config.(*process.LuaConfig).Imports = importsOf(map[string]string{"hook": "hook", "fails": "fails"})
	require.NoError(t, w.AddProcess(e))
	exit := w.wait(w.spawn("test"))
	require.NoError(t, exit.Err)
	require.Contains(t, exit.Value, `module "counter" is not allowed here: add it to modules of app:fails`)
}

func TestLibrariesAreReadOnly(t *testing.T) {
	w := newWorld(t, &counter{})
	for _, change := range []string{
		`string.format = nil`, `string.trim = print`, `table.insert = print`, `math.pi = 3`, `coroutine.spawn = print`, `channel.new = print`,
		`string["format"] = nil`, `local k = "format" string[k] = nil`, `string[1] = 1`, `local k = 1 string[k] = 1`, `string[1e8] = 1`,
		`rawset(string, "format", print)`, `table.insert(string, 1)`, `table.insert(string, 1, 1)`, `table.remove(string)`, `table.sort(string)`,
		`getmetatable("").__index = {}`, `rawset(getmetatable(""), "__index", {})`, `function string.trim() end`, `function string:trim() end`,
		`setmetatable({}, {__newindex = string}).format = print`,
		`local k = "format" setmetatable({}, {__newindex = string})[k] = print`,
		`setmetatable({}, {__newindex = setmetatable({}, {__newindex = string})}).format = print`,
		`setfenv(1, string)`,
		`setfenv(1, setmetatable({}, {__newindex = string})) format = 1`,
	} {
		require.ErrorContains(t, w.run(change).Err, "those are read-only", change)
	}
	require.ErrorContains(t, w.run(`setmetatable(string, {})`).Err, "cannot change a protected metatable")
	w.script("test", `function main() require("counter").opened = 7 end`, "counter")
	require.ErrorContains(t, w.wait(w.spawn("test")).Err, "those are read-only")
	require.Equal(t, true, w.value(`local n = 0 for k in pairs(string) do n = n + 1 end return n > 10 and ("x"):rep(2) == "xx"`))
	require.Equal(t, int64(3), w.value(`local t = setmetatable({}, {__index = string, __newindex = function(t, k, v) rawset(t, k, v + 1) end}) t.x = 2 return t.x`))
}
