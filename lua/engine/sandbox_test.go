package engine_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/lua/engine"
)

func TestWhatAScriptFindsAmongItsGlobals(t *testing.T) {
	w := newWorld(t)
	names, _ := w.value(`local names = {} for name in pairs(_G) do names[#names + 1] = name end table.sort(names) return names`).([]any)
	require.Equal(t, strings.Fields("_G _VERSION assert channel collectgarbage coroutine error getfenv getmetatable ipairs main math next pairs "+
		"pcall print rawequal rawget rawset require select setfenv setmetatable string table tonumber tostring type unpack xpcall"),
		stringsOf(names))
}

func stringsOf(list []any) []string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i], _ = v.(string)
	}
	return texts
}

func TestWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{
		"os", "io", "debug", "package", "load", "loadstring", "loadfile", "dofile", "module", "newproxy", "_printregs", "string.dump",
	} {
		require.Nil(t, w.value("return "+name), name)
	}
}

func TestPrint(t *testing.T) {
	w := newWorld(t)
	w.value(`print("hello", 1, nil, true)`)
	require.Contains(t, w.log.String(), `msg="hello\t1\tnil\ttrue" process=app:test pid=app:host#1`)

	var out bytes.Buffer
	w.host("terminal", 0, engine.NewTerminal(strings.NewReader(""), &out, &out, []string{"arg"}))
	w.script("test", `function main() print("hello", 1) print() print(setmetatable({}, {__tostring = function() return "me" end})) end`)
	pid, err := w.Spawn(t.Context(), process.Spawn{Process: id("test"), Host: id("terminal")})
	require.NoError(t, err)
	require.NoError(t, w.wait(pid).Err)
	require.Equal(t, "hello\t1\n\nme\n", out.String())
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) {
	return 0, errs.New(errs.Unavailable, "pipe is closed")
}

func TestPrintToABrokenTerminal(t *testing.T) {
	w := newWorld(t)
	w.host("terminal", 0, engine.NewTerminal(nil, brokenWriter{}, brokenWriter{}, nil))
	w.script("test", `function main() print("x") end`)
	pid, err := w.Spawn(t.Context(), process.Spawn{Process: id("test"), Host: id("terminal")})
	require.NoError(t, err)
	require.ErrorContains(t, w.wait(pid).Err, "app:test:1: print: pipe is closed")
}

func TestSetmetatableTakesTablesOnly(t *testing.T) {
	w := newWorld(t)
	require.ErrorContains(t, w.run(`setmetatable("", {})`).Err, "table expected, got string")
	require.ErrorContains(t, w.run(`setmetatable(channel.new(), {})`).Err, "table expected, got userdata")
	require.Equal(t, "channel", w.value(`return getmetatable(channel.new())`))
	require.Equal(t, int64(3), w.value(`return setmetatable({}, {__index = {x = 3}}).x`))
}

func TestRandomNumbersBelongToTheProcess(t *testing.T) {
	w := newWorld(t)
	const body = `math.randomseed(42) local t = {} for i = 1, 20 do t[i] = math.random(1, 1000) end return t`
	first := w.value(body)
	require.Equal(t, first, w.value(body))
	require.Equal(t, true, w.value(`for i = 1, 1000 do
		local a, b, c = math.random(), math.random(3), math.random(-2, 2)
		if a < 0 or a >= 1 or b < 1 or b > 3 or c < -2 or c > 2 or b % 1 ~= 0 then return {a, b, c} end
	end return true`))
	for _, call := range []string{`math.random(0)`, `math.random(2, 1)`, `math.random("x")`, `math.randomseed()`} {
		require.ErrorContains(t, w.run(call).Err, "bad argument", call)
	}
}

func TestCollectgarbageDoesNothing(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, int64(0), w.value(`return collectgarbage("collect")`))
}

// counter is a module that counts how often it is opened.
type counter struct{ opened int }

func (*counter) Name() string { return "counter" }

func (c *counter) Open(L *lua.LState) *lua.LTable {
	c.opened++
	tb := L.NewTable()
	tb.RawSetString("opened", lua.LNumber(c.opened))
	tb.RawSetString("id", lua.LString(engine.FromState(L).ID().String()))
	return tb
}

func TestRequireOfModules(t *testing.T) {
	c := &counter{}
	w := newWorld(t, c)
	w.script("test", `function main() assert(require("counter") == require("counter")) return {require("counter").opened, require("counter").id} end`, "counter")
	require.Equal(t, []any{int64(1), "app:test"}, w.wait(w.spawn("test")).Value)
	require.Equal(t, []any{int64(2), "app:test"}, w.wait(w.spawn("test")).Value, "each process has its own")
	require.Equal(t, true, w.value(`return require("channel") == channel`), "global modules need no permission")
	require.Equal(t, []string{"channel", "counter"}, w.ModuleNames())
}

func TestRequireOfWhatIsNotAllowed(t *testing.T) {
	w := newWorld(t, &counter{})
	w.library("helpers", `return {}`, nil)
	for name, want := range map[string]string{
		"counter":     `app:test:2: module "counter" is not allowed here: add it to modules of app:test`,
		"helpers":     `app:test:2: module "helpers" is not allowed here: add it to imports of app:test as helpers: app:helpers`,
		"app:helpers": `add it to imports of app:test as helpers: app:helpers`,
		"countre":     `there is no module "countre"; did you mean "counter"?`,
		"os":          `there is no module "os"; there are [channel counter]`,
		"./file.lua":  `there is no module "./file.lua"`,
	} {
		require.ErrorContains(t, w.run(`require("`+name+`")`).Err, want, name)
		require.ErrorContains(t, w.run(`coroutine.wrap(function() require("`+name+`") end)()`).Err, want[strings.Index(want, "t"):][:20], name)
		require.Equal(t, false, w.value(`return (pcall(require, "`+name+`"))`))
	}
	require.ErrorContains(t, w.run(`require()`).Err, "bad argument #1 to require")
	err := w.AddProcess(scriptEntry("x", "", "countre"))
	require.EqualError(t, err, `lua: entry "app:x": modules: there is no module "countre"; did you mean "counter"?`)
	require.True(t, errs.Is(err, errs.Invalid))
}

func TestLibraries(t *testing.T) {
	w := newWorld(t, &counter{})
	w.library("inner", `loads = (loads or 0) + 1 return {loads = loads, opened = require("counter").opened, loader = function(name) return require(name) end}`, nil, "counter")
	w.library("outer", `local inner = require("i") return {inner = inner}`, map[string]string{"i": "inner"})
	w.library("plain", `set_by_library = true`, nil)
	imports := map[string]string{"o": "outer", "in2": "inner", "p": "plain"}
	w.importing("test", `function main()
		assert(require("o").inner == require("in2"))
		assert(require("in2").loads == 1)
		assert(require("p") == true and set_by_library == nil, "a library has globals of its own")
		assert(not pcall(require, "i"), "an alias belongs to the entry that imports")
		assert(not pcall(require, "counter"), "a permission belongs to its entry")
		assert(require("in2").loader("counter").opened == 1, "code keeps its own permissions wherever it is called from")
		assert(not pcall(require("in2").loader, "o"))
		local tail = function() return require("o") end
		assert(tail() == require("o"))
		return require("in2").opened
	end`, imports)
	exit := w.wait(w.spawn("test"))
	require.NoError(t, exit.Err)
	require.Equal(t, int64(1), exit.Value)
}

func TestLibrariesThatFail(t *testing.T) {
	w := newWorld(t)
	w.library("fails", "\nerror('in library')", nil)
	w.library("self", `require("self")`, map[string]string{"self": "self"})
	w.library("late", `tries = (tries or 0) + 1 if tries < 2 then error("not yet") end return tries`, nil)
	imports := map[string]string{"fails": "fails", "self": "self", "gone": "gone", "late": "late"}
	run := func(body string) process.Exit {
		w.importing("test", "function main() "+body+" end", imports)
		return w.wait(w.spawn("test"))
	}
	require.ErrorContains(t, run(`require("fails")`).Err, "app:fails:2: in library")
	require.ErrorContains(t, run(`require("self")`).Err, `module "self" requires itself: app:self is still being loaded`)
	require.ErrorContains(t, run(`coroutine.wrap(function() require("self") end)()`).Err, `module "self" requires itself`)
	require.ErrorContains(t, run(`require("gone")`).Err, `module "gone": there is no library app:gone`)
	require.Equal(t, int64(2), run(`pcall(require, "late") return require("late")`).Value)
	err := w.AddLibrary(libraryEntry("broken", `return {`))
	require.ErrorContains(t, err, `lua: entry "app:broken": app:broken:1: syntax error`)
	require.NoError(t, w.Libraries().Delete(t.Context(), id("fails")))
	require.ErrorContains(t, run(`require("fails")`).Err, "there is no library app:fails")
}

func TestLibraryThatBlocksIsLoadedOnce(t *testing.T) {
	w := newWorld(t)
	w.library("gate", `return channel.new()`, nil)
	w.library("slow", `loads = (loads or 0) + 1 require("gate"):receive() return {loads = loads}`, map[string]string{"gate": "gate"})
	w.importing("test", `function main()
		local gate = require("gate")
		local results = channel.new(3)
		for i = 1, 3 do coroutine.spawn(function() results:send(require("slow").loads) end) end
		gate:send(1)
		return {(results:receive()), (results:receive()), (results:receive())}
	end`, map[string]string{"slow": "slow", "gate": "gate"})
	exit := w.wait(w.spawn("test"))
	require.NoError(t, exit.Err)
	require.Equal(t, []any{int64(1), int64(1), int64(1)}, exit.Value)
}
