package cdc

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

const (
	// What has failed is tried again after this time, twice that, and so on.
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
	// How often a handler is called with one change.
	defaultAttempts = 3
)

//go:embed follow.lua
var followScript string

// newFollow returns cdc.follow(id, options, handler): it subscribes, calls the handler with each change, acknowledges
// transactions and subscribes again, until the process is asked to end.
func (s *session) newFollow(L *lua.LState, module *lua.LTable) lua.LValue {
	f, err := L.LoadString(followScript)
	if err != nil {
		panic(err) // it is a constant
	}
	L.Push(f)
	L.Push(module.RawGetString("stream"))
	L.Push(L.NewFunction(s.pause))
	L.Push(L.NewFunction(s.watch))
	L.Push(L.NewFunction(s.warn))
	L.Push(L.GetGlobal("pcall"))
	L.Push(L.GetGlobal("error"))
	L.Push(L.NewFunction(engine.Select))
	L.Push(L.NewFunction(isError))
	L.Push(L.NewFunction(closedWithin))
	L.Call(9, 1)
	follow := L.Get(-1)
	L.Pop(1)
	return follow
}

func isError(L *lua.LState) int {
	_, is := engine.ErrorOf(L.Get(1))
	L.Push(lua.LBool(is))
	return 1
}

// closedWithin returns the error of a stream that was closed by its handler.
func closedWithin(L *lua.LState) int {
	L.Push(engine.ErrorValue(L, errs.New(errs.Canceled, "cdc: follow: the stream was closed")))
	return 1
}

// cancellation is what a call of follow waits with.
type cancellation struct{ *engine.Cancellation }

// watch checks the arguments of follow, and returns the options for its streams, the number of attempts, and what tells
// that the process was asked to end, which must be closed: until then the process is not terminated when it is asked.
func (s *session) watch(L *lua.LState) int {
	id := s.id(L)
	if L.Get(3).Type() != lua.LTFunction {
		L.ArgError(3, "the handler is "+option.Describe(L.Get(3))+", must be a function")
	}
	options, attempts := L.CreateTable(0, 8), int64(defaultAttempts)
	if given, ok := L.Get(2).(*lua.LTable); ok {
		given.ForEach(func(key, v lua.LValue) { options.RawSet(key, v) })
		if v := given.RawGetString("attempts"); v != lua.LNil {
			if err := option.Whole("attempts", &attempts, 1, 0).Set(v); err != nil {
				return engine.Misuse(L, fmt.Errorf("cdc: follow %q: attempts %w", id, err))
			}
		}
		options.RawSetString("attempts", lua.LNil)
	} else if L.Get(2) != lua.LNil {
		return engine.Misuse(L, fmt.Errorf("cdc: follow %q: options must be a table, not %s", id, option.Describe(L.Get(2))))
	}
	if options.RawGetString("after") != lua.LNil {
		return engine.Misuse(L, fmt.Errorf("cdc: follow %q: after is for streams whose position a script keeps: give consumer", id))
	}
	c := &cancellation{s.process.Cancellation()}
	cancelled := L.CreateTable(0, 4)
	cancelled.RawSetString("channel", engine.NewDetachedProducerChannel(L, c))
	release := s.process.OnEnd(c.Close)
	cancelled.RawSetString("close", L.NewFunction(func(*lua.LState) int {
		release()
		c.Close()
		return 0
	}))
	cancelled.RawSetString("asked", L.NewFunction(func(L *lua.LState) int {
		select {
		case <-c.Asked():
			L.Push(lua.LTrue)
		default:
			L.Push(lua.LFalse)
		}
		return 1
	}))
	cancelled.RawSetString("handle", &lua.LUserData{Value: c, Env: L.Env})
	L.Push(options)
	L.Push(lua.LNumber(attempts))
	L.Push(cancelled)
	return 3
}

// warn says in the log of the app why a stream is opened again: the first time, and then now and again.
func (s *session) warn(L *lua.LState) int {
	const often = 5
	id, failures := s.id(L), L.CheckInt(3)
	if failures != 1 && failures%often != 0 {
		return 0
	}
	attrs := []any{"source", id.String(), "failures", failures, "snapshot", lua.LVAsBool(L.Get(4))}
	if err, ok := engine.ErrorOf(L.Get(2)); ok {
		attrs = append(attrs, "error", err)
	}
	s.process.Logger().Warn("cdc.follow subscribes again: its stream has ended, or could not begin", attrs...)
	return 0
}

var errAsked = errors.New("asked to end")

// pause waits before what has failed n times is tried again, and reports whether the process was asked to end.
func (s *session) pause(L *lua.LState) int {
	handle, _ := L.CheckTable(1).RawGetString("handle").(*lua.LUserData)
	c, _ := handle.Value.(*cancellation)
	d := min(firstPause<<min(L.CheckInt(2)-1, 10), lastPause)
	d = d/2 + rand.N(d) //nolint:gosec // it is no secret when
	_, err := engine.Block(L, func(ctx context.Context) (struct{}, error) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return struct{}{}, nil
		case <-c.Asked():
			return struct{}{}, errAsked
		case <-ctx.Done():
			return struct{}{}, ctx.Err()
		}
	})
	L.Push(lua.LBool(err != nil))
	return 1
}
