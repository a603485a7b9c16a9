// Package logger is the Lua module that writes to the log of the app.
//
//	local logger = require("logger")
//	logger.info("user created", {id = 7, name = "Ada"})     -- debug, info, warn, error
//	local orders = logger.named("orders").with({shop = 3})  -- logger "orders"; every record has the field shop
//	orders.warn("slow", {seconds = 2.5})
//
// Every record says which process wrote it. Fields are a table with string keys, written in the order of their names;
// values are what can leave a process: no functions, no cycles. Methods may also be called with a colon. Wrong
// arguments raise an error.
package logger

import (
	"cmp"
	"log/slog"
	"slices"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

// Module is the module logger.
type Module struct{}

// New returns the module.
func New() *Module { return &Module{} }

// Name implements engine.Module.
func (*Module) Name() string { return "logger" }

// Open implements engine.Module.
func (*Module) Open(L *lua.LState) *lua.LTable {
	return newLogger(L, logger{to: engine.FromState(L).Logger()})
}

// logger is one logger of a script.
type logger struct {
	to   *slog.Logger
	name string
	// fields are those given by with.
	fields []slog.Attr
}

// newLogger returns the table that stands for l.
func newLogger(L *lua.LState, l logger) *lua.LTable {
	t := L.CreateTable(0, 6)
	// set adds a function; its first argument is number first+1, since a logger may be called with a dot or a colon.
	set := func(name string, f func(L *lua.LState, first int) int) {
		t.RawSetString(name, L.NewFunction(func(L *lua.LState) int {
			first := 0
			if L.Get(1) == t {
				first = 1
			}
			return f(L, first)
		}))
	}
	for name, level := range map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	} {
		set(name, func(L *lua.LState, first int) int { return l.log(L, level, first) })
	}
	set("with", l.with)
	set("named", l.named)
	return t
}

func (l logger) log(L *lua.LState, level slog.Level, first int) int {
	message, ok := L.Get(first + 1).(lua.LString)
	if !ok {
		L.ArgError(first+1, "message must be a string, not "+option.Describe(L.Get(first+1)))
	}
	given := fields(L, first+2)
	ctx := engine.FromState(L).Context()
	if !l.to.Enabled(ctx, level) {
		return 0
	}
	var attrs []slog.Attr
	if l.name != "" {
		attrs = append(attrs, slog.String("logger", l.name))
	}
	l.to.LogAttrs(ctx, level, string(message), merge(append(attrs, l.fields...), given)...) //nolint:sloglint // the script's message
	return 0
}

// with returns a logger whose records have more fields.
func (l logger) with(L *lua.LState, first int) int {
	l.fields = merge(slices.Clone(l.fields), fields(L, first+1))
	L.Push(newLogger(L, l))
	return 1
}

// named returns a logger whose records say its name, after the names of the loggers that it came from.
func (l logger) named(L *lua.LState, first int) int {
	name, ok := L.Get(first + 1).(lua.LString)
	if !ok || name == "" {
		L.ArgError(first+1, "name must be a string that is not empty, not "+option.Describe(L.Get(first+1)))
	}
	if l.name != "" {
		l.name += "."
	}
	l.name += string(name)
	L.Push(newLogger(L, l))
	return 1
}

// fields returns the table that is argument n, or none.
func fields(L *lua.LState, n int) []slog.Attr {
	v := L.Get(n)
	if v == lua.LNil {
		return nil
	}
	t, ok := v.(*lua.LTable)
	if !ok {
		L.ArgError(n, "fields must be a table, not "+option.Describe(v))
	}
	var attrs []slog.Attr
	t.ForEach(func(k, v lua.LValue) {
		key, ok := k.(lua.LString)
		if !ok {
			L.ArgError(n, "fields must have strings as keys, not "+option.Describe(k))
		}
		value, err := engine.FromLua(v)
		if err != nil {
			L.ArgError(n, "field "+string(key)+": "+err.Error())
		}
		attrs = append(attrs, slog.Any(string(key), value))
	})
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return cmp.Compare(a.Key, b.Key) })
	return attrs
}

// merge appends more to attrs; what has the same key is replaced.
func merge(attrs, more []slog.Attr) []slog.Attr {
	for _, attr := range more {
		at := slices.IndexFunc(attrs, func(a slog.Attr) bool { return a.Key == attr.Key })
		if at < 0 {
			attrs = append(attrs, attr)
			continue
		}
		attrs[at] = attr
	}
	return attrs
}
