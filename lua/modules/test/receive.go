package test

import (
	"math"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// patience is how long receive waits unless it is told otherwise.
const patience = 5 * time.Second

// receive is test.receive(channel, timeout).
func receive(L *lua.LState) int {
	engine.CheckChannel(L, 1)
	timeout := patience
	if L.Get(2) != lua.LNil {
		timeout = checkDuration(L, 2)
	}
	v, open, came := await(L, timeout)
	err, failed := engine.ErrorOf(v)
	switch {
	case !came:
		L.RaiseError("nothing has arrived after %s", timeout)
	case !open:
		L.RaiseError("the channel is closed")
	case failed:
		L.RaiseError("an error has arrived: %v (%s)", err, errs.KindOf(err))
	}
	L.Push(v)
	return 1
}

// silent is test.silent(channel, duration).
func silent(L *lua.LState) int {
	engine.CheckChannel(L, 1)
	v, open, came := await(L, checkDuration(L, 2))
	switch {
	case came && !open:
		L.RaiseError("the channel is closed")
	case came:
		L.RaiseError("expected nothing, got %s", render(L, v))
	}
	return 0
}

// await receives from the channel that is argument 1. came is false if nothing has come in time, open is false when the
// channel has ended.
func await(L *lua.LState, timeout time.Duration) (v lua.LValue, open, came bool) {
	channel := L.Get(1)
	// What has come already counts, however short the time is.
	now := L.CreateTable(1, 1)
	now.Append(caseOf(L, channel))
	now.RawSetString("default", lua.LTrue)
	if result := choose(L, now); result.RawGetString("default") != lua.LTrue {
		return result.RawGetString("value"), result.RawGetString("ok") == lua.LTrue, true
	}
	d := newDeadline(L, timeout)
	defer d.Close()
	expired := engine.NewDetachedProducerChannel(L, d)
	cases := L.CreateTable(2, 0)
	cases.Append(caseOf(L, channel))
	cases.Append(caseOf(L, expired))
	result := choose(L, cases)
	if result.RawGetString("channel") == expired {
		return lua.LNil, false, false
	}
	return result.RawGetString("value"), result.RawGetString("ok") == lua.LTrue, true
}

// caseOf is channel:case_receive().
func caseOf(L *lua.LState, channel lua.LValue) lua.LValue {
	L.Push(L.GetField(channel, "case_receive"))
	L.Push(channel)
	L.Call(1, 1)
	defer L.Pop(1)
	return L.Get(-1)
}

// choose is channel.select(cases). It raises an error when the process is terminated.
func choose(L *lua.LState, cases *lua.LTable) *lua.LTable {
	L.Push(L.NewFunction(engine.Select))
	L.Push(cases)
	L.Call(1, 2)
	defer L.Pop(2)
	result, ok := L.Get(-2).(*lua.LTable)
	if !ok {
		L.RaiseError("%s", L.ToStringMeta(L.Get(-1)))
	}
	return result
}

// checkDuration returns argument n, or raises an argument error.
func checkDuration(L *lua.LState, n int) time.Duration {
	d, err := durationOf(L.Get(n))
	if err != nil {
		L.ArgError(n, err.Error())
	}
	return d
}

func durationOf(v lua.LValue) (time.Duration, error) {
	switch v := v.(type) {
	case lua.LString:
		var d unit.Duration
		err := d.UnmarshalText([]byte(v))
		return d.Std(), err
	case lua.LNumber:
		if math.IsNaN(float64(v)) || math.Abs(float64(v)) >= math.MaxInt64 {
			return 0, errs.New(errs.Invalid, "%s is not a number of nanoseconds", v)
		}
		return time.Duration(v), nil
	case *lua.LUserData:
		if d, ok := v.Value.(time.Duration); ok {
			return d, nil
		}
	}
	return 0, errs.New(errs.Invalid, "duration expected (\"5s\", nanoseconds or a Duration), got %s", v.Type())
}
