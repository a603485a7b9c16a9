package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
)

// named is a module of that name.
type named string

func (n named) Name() string                 { return string(n) }
func (named) Open(L *lua.LState) *lua.LTable { return L.NewTable() }

// Only what is certain to go wrong is found.
func TestCheckFindsWhatCannotRun(t *testing.T) {
	const good = "function main() end\n"
	for name, c := range map[string]struct {
		source string
		want   []string
	}{
		"all is well":   {`local c = require("counter") return {main = function() end}`, nil},
		"a global":      {good + `require("channel") require "counter"`, nil},
		"not listed":    {good + "local f = function()\n  local x = {require('other')} end", []string{`source: app:test:3: module "other" is not allowed here: add it to modules of app:test`}},
		"no such":       {good + `require("countre")`, []string{`source: app:test:2: there is no module "countre"; did you mean "counter"?`}},
		"an import":     {good + `require("helpers")`, []string{`source: app:test:2: module "helpers" is not allowed here: add it to imports of app:test as helpers: app:helpers`}},
		"two":           {good + "require('a')\nif x then require('b') end", []string{"source: app:test:2: there is no module \"a\"", "source: app:test:3: there is no module \"b\""}},
		"may fail":      {good + `pcall(function() require("other") end) pcall(require, "other")`, nil},
		"computed":      {good + `require("oth" .. "er") require(name) require()`, nil},
		"own require":   {good + `local function require(x) return x end require("other")`, nil},
		"own global":    {good + `function require(x) return x end require("other")`, nil},
		"method call":   {good + `x:require("other") x.require("other")`, nil},
		"nothing":       {``, []string{`method: app:test has no function "main" and returns nothing`}},
		"local":         {`local function main() end`, []string{`returns nothing`}},
		"table":         {`return {mian = function() end}`, []string{`returns a table without it (did you mean "mian"?)`}},
		"empty table":   {`return {}`, []string{`returns a table without it`}},
		"a function":    {`return function() end`, []string{`returns a function and no table`}},
		"variable":      {`local M = {} function M.run() end return M`, []string{`returns a table without it`}},
		"of variable":   {`local M = {} function M.main() end return M`, nil},
		"assigned":      {`local M = {} M.main = function() end return M`, nil},
		"method":        {`local M = {} function M:main() end return M`, nil},
		"handed out":    {`local M = {} fill(M) return M`, nil},
		"copied":        {`local M = {} local N = M N.main = print return M`, nil},
		"by key":        {`local M = {} M[k] = print return M`, nil},
		"computed key":  {`return {[k] = print}`, nil},
		"made by call":  {`return make()`, nil},
		"metatable":     {`return setmetatable({}, {})`, nil},
		"global table":  {`_G["main"] = print`, nil},
		"set global":    {`main = print`, nil},
		"set inside":    {`local function f() main = print end f()`, nil},
		"returns early": {`if x then return {main = print} end return {}`, nil},
		"do return":     {`do return {main = print} end`, nil},
		"a parameter":   {`local M return M`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, &counter{}, named("other"))
			w.library("helpers", "return {}", nil)
			entry := scriptEntry("test", c.source, "counter")
			require.NoError(t, w.AddProcess(entry))
			found := w.CheckProcess(entry)
			require.Len(t, found, len(c.want), "%v", found)
			for i, want := range c.want {
				require.ErrorContains(t, found[i], want)
			}
		})
	}
}

func TestCheckOfALibraryNeedsNoMethod(t *testing.T) {
	w := newWorld(t, named("other"))
	entry := libraryEntry("lib", `local x = require("other")`)
	require.NoError(t, w.AddLibrary(entry))
	found := w.CheckLibrary(entry)
	require.Len(t, found, 1)
	require.ErrorContains(t, found[0], `app:lib:1: module "other" is not allowed here: add it to modules of app:lib`)
	require.Empty(t, w.CheckLibrary(&registry.Entry{ID: id("unknown")}))
}

// No restart gives a script a module that its entry does not list.
func TestMissingModuleIsFinal(t *testing.T) {
	w := newWorld(t, named("other"))
	w.script("test", `function main() local name = "other" require(name) end`)
	err := w.service(nil).Serve(t.Context(), func() {})
	require.ErrorContains(t, err, `app:test:1: module "other" is not allowed here`)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.False(t, errs.Retryable(err))

	w.script("test", `function main() local ok, err = pcall(require, "other") assert(not ok) error("other: " .. tostring(err)) end`)
	err = w.service(nil).Serve(t.Context(), func() {})
	require.ErrorContains(t, err, "is not allowed here")
	require.Equal(t, errs.Unknown, errs.KindOf(err))
}
