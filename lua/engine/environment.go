package engine

import (
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// Every script of a process, its own and those of its libraries, has globals of its own: a copy of what the engine
// offers, with a function require that knows whose it is. What all of them share, the tables of Lua's libraries and of
// the modules, is read-only. So no script can put a function of its own in the place of one that another script calls.

// readOnly is the metatable of tables that scripts must not change. It is never changed itself.
var readOnly = newReadOnly() //nolint:gochecknoglobals // a constant

func newReadOnly() *lua.LTable {
	mt := &lua.LTable{Metatable: lua.LNil}
	mt.RawSetString("__metatable", lua.LString("read-only"))
	return mt
}

// protect makes a table read-only for scripts, and the tables in it.
func protect(tb *lua.LTable) *lua.LTable {
	if tb.Metatable != lua.LNil {
		return tb
	}
	tb.Metatable = readOnly
	tb.ForEach(func(_, v lua.LValue) {
		if inner, ok := v.(*lua.LTable); ok {
			protect(inner)
		}
	})
	return tb
}

// checkWritable raises an error if tb, or what stands behind it by __newindex, is read-only.
func checkWritable(L *lua.LState, tb *lua.LTable) {
	for range lua.MaxTableGetLoop {
		if tb.Metatable == readOnly {
			L.RaiseError("attempt to change a table of a library or module: those are read-only, keep it in a table of your own")
		}
		next, ok := behind(tb, "__newindex").(*lua.LTable)
		if !ok {
			return
		}
		tb = next
	}
}

// setField is the instruction R(A)[RK(B)] := RK(C) whose key is a constant text.
func setField(L *lua.LState, inst uint32, base unsafe.Pointer) int {
	if tb, ok := L.Get(argA(inst) + 1).(*lua.LTable); ok && tb.Metatable != lua.LNil {
		checkWritable(L, tb)
	}
	return native.setField(L, inst, base)
}

// setGlobal is the instruction that assigns to a global variable.
func setGlobal(L *lua.LState, inst uint32, base unsafe.Pointer) int {
	if env, ok := L.Get(lua.EnvironIndex).(*lua.LTable); ok && env.Metatable != lua.LNil {
		checkWritable(L, env)
	}
	return native.setGlobal(L, inst, base)
}

// environment returns the globals of a script, which are made when it is run first.
func (p *Process) environment(L *lua.LState, u *unit) *lua.LTable {
	if env := p.environments[u]; env != nil {
		return env
	}
	env := L.CreateTable(0, 32)
	L.G.Global.ForEach(env.RawSet)
	env.RawSetString("_G", env)
	L.SetFuncs(env, map[string]lua.LGFunction{
		"require": func(L *lua.LState) int { return p.require(L, u) },
		"getfenv": func(L *lua.LState) int {
			if f := environmentOwner(L, u); f != nil {
				L.Push(f.Env)
			} else {
				L.Push(env)
			}
			return 1
		},
		"setfenv": func(L *lua.LState) int {
			other := L.CheckTable(2)
			checkWritable(L, other)
			f := environmentOwner(L, u)
			if f == nil {
				L.RaiseError("setfenv: only the environment of a Lua function can be changed")
			}
			f.Env = other
			L.Push(f)
			return 1
		},
	})
	p.environments[u] = env
	return env
}

// environmentOwner returns the function that argument 1 of getfenv and setfenv means, nil if that is none of Lua's. It
// is one of u's: the environment of another script is not to be had.
func environmentOwner(L *lua.LState, u *unit) *lua.LFunction {
	f, ok := L.Get(1).(*lua.LFunction)
	if !ok {
		level := L.OptInt(1, 1)
		if level < 0 {
			L.ArgError(1, "level must not be negative")
		}
		if level == 0 {
			return nil
		}
		if f, ok = caller(L, level); !ok {
			L.ArgError(1, "invalid level")
		}
	}
	if f.IsG {
		return nil
	}
	if !u.owns(f) {
		L.ArgError(1, "the function belongs to another script")
	}
	return f
}

// function returns a script as a function in its environment.
func (p *Process) function(L *lua.LState, u *unit) *lua.LFunction {
	f := L.NewFunctionFromProto(u.proto)
	f.Env = p.environment(L, u)
	return f
}

// owner returns the script that a function belongs to, nil if it is none that has run in the process.
func (p *Process) owner(f *lua.LFunction) *unit {
	for u := range p.environments {
		if u.owns(f) {
			return u
		}
	}
	return nil
}
