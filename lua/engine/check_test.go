package engine_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
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
		"nothing":       {`-- nothing`, []string{`method: app:test has no function "main" and returns nothing`}},
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
			checker := engine.NewChecker("", []engine.Module{channel.New(), &counter{}, named("other")})
			require.NoError(t, checker.Library(libraryEntry("helpers", "return {}")))
			found := apart(checker.Process(scriptEntry("test", c.source, "counter")))
			require.Len(t, found, len(c.want), "%v", found)
			for i, want := range c.want {
				require.ErrorContains(t, found[i], want)
			}
		})
	}
}

// apart returns the errors that were joined.
func apart(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return slices.DeleteFunc([]error{err}, func(err error) bool { return err == nil })
	}
	var all []error
	for _, err := range joined.Unwrap() {
		all = append(all, apart(err)...)
	}
	return all
}

func TestCheckOfALibraryNeedsNoMethod(t *testing.T) {
	checker := engine.NewChecker("", []engine.Module{named("other")})
	found := apart(checker.Library(libraryEntry("lib", `local x = require("other")`)))
	require.Len(t, found, 1)
	require.ErrorContains(t, found[0], `app:lib:1: module "other" is not allowed here: add it to modules of app:lib`)
	require.NoError(t, checker.Library(libraryEntry("nothing", "")))
}

func TestCheckOfWhatAnEntryLists(t *testing.T) {
	checker := engine.NewChecker("", []engine.Module{channel.New(), named("json"), named("other")})
	entry := scriptEntry("test", "function main() end", "jsn", "filesystem", "other", "other")
	entry.Config.(*process.LuaConfig).Imports = importsOf(map[string]string{"json": "lib"})
	var found []string
	for _, err := range apart(checker.Process(entry)) {
		found = append(found, err.Error())
	}
	require.Equal(t, []string{
		`modules[0]: there is no module "jsn"; did you mean json?`,
		`modules[1]: there is no module "filesystem"; there are channel, json, other`,
		`modules[3]: lists "other" twice`,
		`imports.json: "json" is the name of a module: import the library under another name`,
	}, found)
	require.EqualError(t, checker.Process(scriptEntry("broken", "x =")), "source: app:broken:1: syntax error at the end of the script")
	require.Equal(t, errs.Internal, errs.KindOf(checker.Library(entry)))
}

func TestCommandsAreNotedAndChecked(t *testing.T) {
	checker := engine.NewChecker("", nil)
	command := func(name string, meta any) error {
		entry := scriptEntry(name, "function main() end")
		entry.Meta = map[string]any{"command": meta}
		return checker.Process(entry)
	}
	require.NoError(t, command("b", map[string]any{"name": "two", "use_case": "test"}))
	require.NoError(t, command("a", map[string]any{"name": "one", "short": "first"}))
	require.NoError(t, checker.Process(scriptEntry("c", "function main() end")))
	require.Equal(t, []process.Command{
		{ID: id("a"), Name: "one", Short: "first"}, {ID: id("b"), Name: "two", UseCase: process.UseCaseTest},
	}, checker.Commands())
	for want, meta := range map[string]any{
		"meta.command: expected a mapping with name, short and use_case":           "go",
		"meta.command: name is required: it is what the user types":                map[string]any{},
		"meta.command.nam: unknown field of meta.command; did you mean name?":      map[string]any{"nam": "x"},
		"meta.command.name: expected text":                                         map[string]any{"name": 1},
		"meta.command.name: \"a b\" is not the name of a command":                  map[string]any{"name": "a b"},
		"meta.command.name: \"-x\" is not the name of a command":                   map[string]any{"name": "-x"},
		"meta.command.use_case: \"tests\" is not known: use test, or leave it out": map[string]any{"name": "x", "use_case": "tests"},
		"meta.command.name: there is another command one: app:a":                   map[string]any{"name": "one"},
	} {
		require.ErrorContains(t, command("wrong", meta), want)
	}
	require.NoError(t, command("a", map[string]any{"name": "one"}), "two entries of an ID are no two commands")
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
