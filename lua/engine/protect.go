package engine

import (
	"errors"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// gopher-lua detaches the closures of all functions that run from their variables when an error is raised, also of the
// functions that catch it and go on: afterwards a function and the closures in it see different values of the same
// variable. So every protected call here has a handler, for which gopher-lua leaves the closures alone, and the handler
// detaches those of the functions that end. It also names what the error is about while the stack is still there.

// ProtectedCall calls the function that was pushed to L before its arguments, like the method PCall of L.
func ProtectedCall(L *lua.LState, args, results int) error {
	p := FromState(L)
	f, _ := caller(L, 0)
	if f != nil && !p.protectors[f] {
		p.protectors[f] = true
		defer delete(p.protectors, f)
	}
	return p.protected(L, args, results, p.fatalHandler)
}

// protected is PCall with one of the handlers made by newHandler.
func (p *Process) protected(L *lua.LState, args, results int, handler *lua.LFunction) error {
	checkDepth(L)
	keeps := keepsUpvalues(L)
	before := *keeps
	err := L.PCall(args, results, handler)
	*keeps = before
	if api, ok := errors.AsType[*lua.ApiError](err); ok && api.StackTrace == "" {
		api.StackTrace, p.traceback = p.traceback, ""
	}
	return err
}

// reserve is how many calls are possible beyond callDepth, by built-in functions and handlers of errors. gopher-lua
// loses part of the stack where a protected call finds no place on it.
const reserve = 1 << 6

// checkDepth raises an error if no further call is to be made.
func checkDepth(L *lua.LState) {
	if depth(L) > callDepth {
		L.RaiseError("stack overflow: more than %d calls in each other", callDepth)
	}
}

// call is the instruction R(A) ... R(A+C-2) := R(A)(R(A+1) ... R(A+B-1)).
func call(L *lua.LState, inst uint32, base unsafe.Pointer) int {
	checkDepth(L)
	return native.call(L, inst, base)
}

// newHandler makes the function that gets an error before the stack is left. Then is what happens to the error after it
// was explained; it may be nil.
func (p *Process) newHandler(L *lua.LState, then func(L *lua.LState, v lua.LValue) lua.LValue) *lua.LFunction {
	return L.NewFunction(func(L *lua.LState) int {
		v := L.Get(1)
		if text, ok := v.(lua.LString); ok {
			v = lua.LString(p.explain(L, 1, string(text)))
		}
		if then != nil {
			v = then(L, v)
		}
		closeUpvalues(L, p.protectedFrom(L))
		L.Push(v)
		return 1
	})
}

// protectedFrom returns the first register of the functions that end by an error, of which the handler runs.
func (p *Process) protectedFrom(L *lua.LState) int {
	for level := 1; ; level++ {
		f, ok := frameAt(L, level)
		if !ok {
			return 0
		}
		if f.function.IsG && p.protectors[f.function] {
			return f.registers()
		}
	}
}

// openProtectedCalls sets pcall and xpcall.
func (p *Process) openProtectedCalls(L *lua.LState, globals *lua.LTable) {
	p.caughtHandler = p.newHandler(L, nil)
	p.fatalHandler = p.newHandler(L, func(L *lua.LState, v lua.LValue) lua.LValue {
		p.traceback = stackTrace(L, 1)
		return v
	})
	pcall, xpcall := L.NewFunction(pcall), L.NewFunction(xpcall)
	globals.RawSetString("pcall", pcall)
	globals.RawSetString("xpcall", xpcall)
	p.protectors = map[*lua.LFunction]bool{pcall: true, xpcall: true}
}

// pcall is pcall(f, ...).
func pcall(L *lua.LState) int {
	f := L.CheckAny(1)
	if _, ok := f.(*lua.LFunction); !ok && L.GetMetaField(f, "__call").Type() != lua.LTFunction {
		L.Push(lua.LFalse)
		L.Push(lua.LString("attempt to call a " + f.Type().String() + " value"))
		return 2
	}
	p := FromState(L)
	return pushOutcome(L, p.protected(L, L.GetTop()-1, lua.MultRet, p.caughtHandler), 0)
}

// xpcall is xpcall(f, handler).
func xpcall(L *lua.LState) int {
	L.CheckFunction(1)
	handler := L.CheckFunction(2)
	p := FromState(L)
	L.SetTop(2)
	L.Push(L.Get(1))
	return pushOutcome(L, p.protected(L, 0, lua.MultRet, p.newHandler(L, func(L *lua.LState, v lua.LValue) lua.LValue {
		L.Push(handler)
		L.Push(v)
		L.Call(1, 1)
		v = L.Get(-1)
		L.Pop(1)
		return v
	})), 2)
}

// pushOutcome makes the results of a protected call, which are behind the values that were below it, those of pcall.
func pushOutcome(L *lua.LState, err error, below int) int {
	if err == nil {
		L.Insert(lua.LTrue, below+1)
		return L.GetTop() - below
	}
	L.Push(lua.LFalse)
	if api, ok := errors.AsType[*lua.ApiError](err); ok {
		L.Push(api.Object)
	} else {
		L.Push(lua.LString(err.Error()))
	}
	return 2
}
