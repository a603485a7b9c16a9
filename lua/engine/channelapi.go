package engine

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"
)

// newChannelType makes the metatable of channels.
func newChannelType(L *lua.LState) *lua.LTable {
	methods := L.SetFuncs(L.CreateTable(0, 6), map[string]lua.LGFunction{
		"send":         channelSend,
		"receive":      channelReceive,
		"close":        channelClose,
		"each":         channelEach,
		"case_receive": channelCaseReceive,
		"case_send":    channelCaseSend,
	})
	mt := L.CreateTable(0, 3)
	mt.RawSetString("__index", methods)
	mt.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LString(fmt.Sprintf("channel: %p", CheckChannel(L, 1))))
		return 1
	}))
	mt.RawSetString("__metatable", lua.LString("channel"))
	return mt
}

// newCaseType makes the metatable of cases, which scripts only pass on.
func newCaseType(L *lua.LState) *lua.LTable {
	mt := L.CreateTable(0, 1)
	mt.RawSetString("__metatable", lua.LString("channel case"))
	return mt
}

func channelSend(L *lua.LState) int {
	p, ch, v := FromState(L), CheckChannel(L, 1), L.CheckAny(2)
	p.yield(L)
	if ready, err := ch.send(v); ready {
		return pushSent(L, err)
	}
	out, err := p.wait(L, []*Case{{channel: ch, sends: true, value: v}})
	if err == nil && !out.ok {
		err = errClosed
	}
	return pushSent(L, err)
}

func pushSent(L *lua.LState, err error) int {
	if err != nil {
		return Fail(L, err)
	}
	L.Push(lua.LTrue)
	return 1
}

func channelReceive(L *lua.LState) int {
	p, ch := FromState(L), CheckChannel(L, 1)
	p.yield(L)
	if v, ok, ready := ch.receive(L); ready {
		L.Push(v)
		L.Push(lua.LBool(ok))
		return 2
	}
	c, _ := ch.receiveCase.Value.(*Case)
	out, err := p.wait(L, []*Case{c})
	if err != nil {
		return Fail(L, err)
	}
	L.Push(out.value)
	L.Push(lua.LBool(out.ok))
	return 2
}

// channelEach returns what a for loop calls: it receives until the channel has ended. Of a channel that only receives,
// an error value is why that has ended, and raised.
func channelEach(L *lua.LState) int {
	ch := CheckChannel(L, 1)
	L.Push(L.NewFunction(func(L *lua.LState) int {
		L.SetTop(0)
		L.Push(ch.self)
		channelReceive(L)
		v, ok := L.Get(-2), L.Get(-1)
		if _, failed := ErrorOf(ok); failed { // the wait was interrupted
			L.Error(ok, 1)
		}
		if _, failed := ErrorOf(v); failed && ch.producer != nil {
			L.Error(v, 1)
		}
		if ok == lua.LFalse {
			v = lua.LNil
		}
		L.Push(v)
		return 1
	}))
	return 1
}

func channelClose(L *lua.LState) int { return pushSent(L, CheckChannel(L, 1).close()) }

func channelCaseReceive(L *lua.LState) int {
	L.Push(CheckChannel(L, 1).receiveCase)
	return 1
}

func channelCaseSend(L *lua.LState) int {
	ch := CheckChannel(L, 1)
	c := &Case{channel: ch, sends: true, value: L.CheckAny(2)}
	L.Push(&lua.LUserData{Value: c, Env: L.Env, Metatable: FromState(L).caseType})
	return 1
}

// Select is the function channel.select: argument 1 is a table of cases and, if default is true in it, the call does
// not wait. It returns a table with the fields channel, value and ok, or default = true if nothing was ready.
func Select(L *lua.LState) int {
	tb := L.CheckTable(1)
	cases := checkCases(L, tb)
	p := FromState(L)
	p.yield(L)
	p.rotor++
	out, ready := try(L, cases, p.rotor%max(len(cases), 1))
	switch {
	case ready:
	case lua.LVAsBool(tb.RawGetString("default")):
		result := L.CreateTable(0, 1)
		result.RawSetString("default", lua.LTrue)
		L.Push(result)
		return 1
	default:
		var err error
		if out, err = p.wait(L, cases); err != nil {
			return Fail(L, err)
		}
	}
	result := L.CreateTable(0, 3)
	result.RawSetString("channel", cases[out.index].channel.self)
	result.RawSetString("value", out.value)
	result.RawSetString("ok", lua.LBool(out.ok))
	L.Push(result)
	return 1
}

func checkCases(L *lua.LState, tb *lua.LTable) []*Case {
	cases := make([]*Case, tb.Len())
	for i := range cases {
		ud, _ := tb.RawGetInt(i + 1).(*lua.LUserData)
		if ud != nil {
			cases[i], _ = ud.Value.(*Case)
		}
		if cases[i] == nil {
			L.ArgError(1, fmt.Sprintf("case %d is a %s: make cases with ch:case_receive() and ch:case_send(v)", i+1, tb.RawGetInt(i+1).Type()))
		}
	}
	for key, _ := tb.Next(lua.LNil); key != lua.LNil; key, _ = tb.Next(key) {
		if name, ok := key.(lua.LString); ok && name != "default" {
			L.ArgError(1, fmt.Sprintf("unknown option %q: only default is allowed beside the cases", name))
		}
	}
	if len(cases) == 0 && !lua.LVAsBool(tb.RawGetString("default")) {
		L.ArgError(1, "no case: select would wait for ever")
	}
	return cases
}
