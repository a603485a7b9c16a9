package engine

import (
	"context"
	"io"
	"log/slog"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// openLibraries gives a new state the globals that each script gets a copy of: the parts of Lua's libraries that reach
// nothing outside the process, and the global modules. The lock is held.
func openLibraries(L *lua.LState) int {
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase,
		lua.MathLibName: lua.OpenMath,
	} {
		L.Push(L.NewFunction(open))
		L.Push(lua.LString(name))
		L.Call(1, 0)
	}
	globals := L.G.Global
	for _, name := range []string{
		"dofile", "load", "loadfile", "loadstring", "module", "newproxy", "_printregs", "_GOPHER_LUA_VERSION",
	} {
		globals.RawSetString(name, lua.LNil)
	}
	L.SetFuncs(globals, map[string]lua.LGFunction{
		"print":          printLine,
		"assert":         assert,
		"error":          raise,
		"rawget":         rawGetFunction,
		"rawset":         rawSetFunction,
		"unpack":         unpackFunction,
		"setmetatable":   setmetatable(L),
		"collectgarbage": collectgarbage,
	})
	p := FromState(L)
	p.openProtectedCalls(L, globals)
	numbers, _ := globals.RawGetString(lua.MathLibName).(*lua.LTable)
	openRandom(L, numbers)
	for name, library := range map[string]*lua.LTable{
		lua.MathLibName:      numbers,
		lua.StringLibName:    openString(L),
		lua.TabLibName:       openTable(L),
		lua.CoroutineLibName: openCoroutine(L),
	} {
		globals.RawSetString(name, protect(library))
	}
	for _, m := range p.engine.globals {
		globals.RawSetString(m.Name(), p.open(L, m))
	}
	return 0
}

// printLine is print: it writes a line to the terminal or, on a host without one, to the log.
func printLine(L *lua.LState) int {
	words := make([]string, L.GetTop())
	for i := range words {
		words[i] = L.ToStringMeta(L.Get(i + 1)).String()
	}
	line := strings.Join(words, "\t")
	p := FromState(L)
	terminal, ok := p.Terminal()
	if !ok {
		p.log.LogAttrs(p.ctx, slog.LevelInfo, line) //nolint:sloglint // the script chooses the message
		return 0
	}
	_, err := Block(L, func(context.Context) (int, error) { return io.WriteString(terminal.Stdout, line+"\n") })
	if err != nil {
		L.RaiseError("print: %v", err)
	}
	return 0
}

// raise is error. It differs from gopher-lua's in that level 2 means the caller of the function that calls error, as it
// should.
func raise(L *lua.LState) int {
	v, level := L.CheckAny(1), L.OptInt(2, 1)
	text, ok := v.(lua.LString)
	if !ok || level < 2 {
		L.Error(v, level)
	}
	if where := L.Where(level); where != "" && where != "[G]:" {
		text = lua.LString(where+" ") + text
	}
	L.Error(text, 0)
	return 0
}

// assert is assert. It differs from gopher-lua's in that the message may be any value, which is raised as it is, as it
// should.
func assert(L *lua.LState) int {
	if L.ToBool(1) {
		return L.GetTop()
	}
	switch v := L.Get(2).(type) {
	case *lua.LNilType:
		L.RaiseError("assertion failed!")
	case lua.LString, lua.LNumber:
		L.RaiseError("%s", v.String())
	default:
		L.Error(v, 0)
	}
	return 0
}

// setmetatable is Lua's, which unlike gopher-lua's accepts tables only: the metatables of strings, errors and channels
// are not for scripts to change.
func setmetatable(L *lua.LState) lua.LGFunction {
	original, _ := L.G.Global.RawGetString("setmetatable").(*lua.LFunction)
	return func(L *lua.LState) int {
		L.CheckTable(1)
		return original.GFunction(L)
	}
}

// collectgarbage does nothing: the memory of all processes is collected together, at its own pace.
func collectgarbage(L *lua.LState) int {
	L.Push(lua.LNumber(0))
	return 1
}
