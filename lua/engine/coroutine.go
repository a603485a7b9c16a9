package engine

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"
)

// openCoroutine makes the table coroutine: Lua's own functions, kept from running a thread that another coroutine is
// blocked in, and spawn.
func openCoroutine(L *lua.LState) *lua.LTable {
	L.Push(L.NewFunction(lua.OpenCoroutine))
	L.Push(lua.LString(lua.CoroutineLibName))
	L.Call(1, 1)
	original, _ := L.Get(-1).(*lua.LTable)
	L.Pop(1)
	of := func(name string) lua.LGFunction {
		f, _ := original.RawGetString(name).(*lua.LFunction)
		return f.GFunction
	}
	resume := resumer(of("resume"))
	create := creator(of("create"), armed(L))
	return L.SetFuncs(L.CreateTable(0, 7), map[string]lua.LGFunction{
		"create":  create,
		"resume":  resume,
		"wrap":    wrapper(create, resume),
		"yield":   yielder(of("yield")),
		"status":  coroutineStatus,
		"running": coroutineRunning,
		"spawn":   spawn,
	})
}

// armed returns a Lua function that makes of a function one which calls arm first, and does otherwise the same.
func armed(L *lua.LState) *lua.LFunction {
	f, err := L.LoadString("local arm = ... return function(f) return function(...) arm() return f(...) end end")
	if err != nil {
		panic(err) // it is Lua
	}
	L.Push(f)
	L.Push(L.NewFunction(arm))
	L.Call(1, 1)
	made, _ := L.Get(-1).(*lua.LFunction)
	L.Pop(1)
	return made
}

// arm makes errors of the coroutine that runs name what they are about. When they reach the coroutine that has resumed
// it its stack is gone.
func arm(L *lua.LState) int {
	L.Panic = func(L *lua.LState) {
		v := L.Get(-1)
		if text, ok := v.(lua.LString); ok {
			v = lua.LString(FromState(L).explain(L, 0, string(text)))
		}
		panic(&lua.ApiError{Type: lua.ApiErrorRun, Object: v})
	}
	return 0
}

// creator makes coroutine.create.
func creator(create lua.LGFunction, armed *lua.LFunction) lua.LGFunction {
	return func(L *lua.LState) int {
		f := L.CheckFunction(1)
		if f.IsG {
			L.ArgError(1, "Lua function expected")
		}
		L.SetTop(0)
		L.Push(armed)
		L.Push(f)
		L.Call(1, 1)
		withoutContext(L, func() { create(L) })
		L.CheckThread(-1).SetContext(L.Context())
		return 1
	}
}

// withoutContext runs f while L has no context: a thread that f makes would otherwise get a derived one, which is
// slower and does not lead back to the process.
func withoutContext(L *lua.LState, f func()) {
	defer L.SetContext(L.RemoveContext())
	f()
}

// active reports whether th runs, or waits for a coroutine that it has resumed, or is blocked.
func active(L, th *lua.LState) bool { return th == L || th.Parent != nil }

// maxNested is how many coroutines may run in each other: each takes a part of the stack of the program. Lua has the
// same limit.
const maxNested = 200

// nested is how many coroutines wait for L, and L itself, and how many calls there are in them.
func nested(L *lua.LState) (coroutines, calls int) {
	for ; L != nil; L = L.Parent {
		coroutines++
		calls += depth(L)
	}
	return coroutines, calls
}

func resumer(resume lua.LGFunction) lua.LGFunction {
	return func(L *lua.LState) int {
		if coroutines, calls := nested(L); coroutines > maxNested || calls > callDepth {
			L.Push(lua.LFalse)
			const limits = "at most %d, with %d calls"
			L.Push(lua.LString(fmt.Sprintf("too many coroutines in each other: "+limits, maxNested, callDepth)))
			return 2
		}
		if active(L, L.CheckThread(1)) {
			L.Push(lua.LFalse)
			L.Push(lua.LString("cannot resume non-suspended coroutine"))
			return 2
		}
		return resume(L)
	}
}

// wrapper makes coroutine.wrap, whose function raises what the coroutine raises.
func wrapper(create, resume lua.LGFunction) lua.LGFunction {
	wrapped := func(L *lua.LState) int {
		L.Insert(L.Get(lua.UpvalueIndex(1)), 1)
		n := resume(L)
		first := L.GetTop() - n + 1
		if L.Get(first) == lua.LFalse {
			L.Error(L.Get(first+1), 0)
		}
		return n - 1
	}
	return func(L *lua.LState) int {
		create(L)
		thread := L.Get(-1)
		L.Push(L.NewClosure(wrapped, thread))
		return 1
	}
}

// yielder makes coroutine.yield. gopher-lua cannot leave a Go function that way and would go on with a broken stack.
func yielder(yield lua.LGFunction) lua.LGFunction {
	return func(L *lua.LState) int {
		for level := 1; ; level++ {
			f, ok := caller(L, level)
			if !ok {
				return yield(L)
			}
			if f.IsG {
				L.RaiseError("attempt to yield across pcall or another built-in function")
			}
		}
	}
}

// caller returns the function at level of the stack of L; 0 is the running one.
func caller(L *lua.LState, level int) (*lua.LFunction, bool) {
	frame, ok := L.GetStack(level)
	if !ok {
		return nil, false
	}
	v, err := L.GetInfo("f", frame, lua.LNil)
	f, ok := v.(*lua.LFunction)
	return f, ok && err == nil
}

func coroutineStatus(L *lua.LState) int {
	th := L.CheckThread(1)
	status := "suspended"
	switch {
	case th.Dead:
		status = "dead"
	case th == L:
		status = "running"
	case th.Parent != nil:
		status = "normal"
	}
	L.Push(lua.LString(status))
	return 1
}

// coroutineRunning returns nil where yield is not possible: in the main function and in spawned ones.
func coroutineRunning(L *lua.LState) int {
	if L.Parent == nil {
		L.Push(lua.LNil)
	} else {
		L.Push(L)
	}
	return 1
}

// spawn is coroutine.spawn(f, ...): it runs f concurrently.
func spawn(L *lua.LState) int {
	f := L.CheckFunction(1)
	p := FromState(L)
	if err := p.Err(); err != nil {
		return Fail(L, err)
	}
	var th *lua.LState
	withoutContext(L, func() { th, _ = L.NewThread() })
	th.SetContext(p.cancellation)
	th.Push(f)
	for i := 2; i <= L.GetTop(); i++ {
		th.Push(L.Get(i))
	}
	args := L.GetTop() - 1
	p.coroutines.Go(func() { p.runCoroutine(th, args) })
	L.Push(lua.LTrue)
	return 1
}

// runCoroutine runs the function that was pushed to th with its arguments. An error fails the process.
func (p *Process) runCoroutine(th *lua.LState, args int) {
	p.relock(th)
	defer p.mu.Unlock()
	if p.Err() != nil {
		return
	}
	if err := p.protected(th, args, 0, p.fatalHandler); err != nil && p.Err() == nil {
		p.failure = p.scriptError(th, err)
		p.terminate(p.failure)
	}
}
