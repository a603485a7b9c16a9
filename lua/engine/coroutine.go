package engine

import (
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
	create := creator(of("create"))
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

// creator makes coroutine.create.
func creator(create lua.LGFunction) lua.LGFunction {
	return func(L *lua.LState) int {
		if f := L.CheckFunction(1); f.IsG {
			L.ArgError(1, "Lua function expected")
		}
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

func resumer(resume lua.LGFunction) lua.LGFunction {
	return func(L *lua.LState) int {
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
	th.SetContext(p.halt)
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
	if err := th.PCall(args, 0, nil); err != nil && p.Err() == nil {
		p.failure = p.scriptError(th, err)
		p.terminate(p.failure)
	}
}
