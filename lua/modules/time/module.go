// Package time gives scripts the clock: the module time, with sleeps, timers and tickers that block only the coroutine
// that waits for them.
package time

import (
	"context"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/lua/engine"
)

// Module is the module time.
type Module struct{}

var _ engine.Module = Module{}

// New returns the module.
func New() Module { return Module{} }

// Name implements engine.Module.
func (Module) Name() string { return "time" }

// Open implements engine.Module.
func (Module) Open(L *lua.LState) *lua.LTable {
	registerTypes(L)
	tb := L.SetFuncs(L.CreateTable(0, 16), map[string]lua.LGFunction{
		"now":            now,
		"unix":           unix,
		"sleep":          sleep,
		"after":          after,
		"timer":          newTimer,
		"ticker":         newTicker,
		"parse_duration": parseDuration,
	})
	for name, d := range map[string]time.Duration{
		"NANOSECOND": time.Nanosecond, "MICROSECOND": time.Microsecond, "MILLISECOND": time.Millisecond,
		"SECOND": time.Second, "MINUTE": time.Minute, "HOUR": time.Hour,
	} {
		tb.RawSetString(name, lua.LNumber(d))
	}
	tb.RawSetString("RFC3339", lua.LString(time.RFC3339))
	tb.RawSetString("RFC3339_NANO", lua.LString(time.RFC3339Nano))
	return tb
}

// now is time.now(): the current time, a Time.
func now(L *lua.LState) int {
	L.Push(timeValue(L, time.Now()))
	return 1
}

// unix is time.unix(): the current time in seconds since 1970, with a fraction.
func unix(L *lua.LState) int {
	L.Push(lua.LNumber(float64(time.Now().UnixNano()) / float64(time.Second)))
	return 1
}

// sleep is time.sleep(d): true after d has passed.
func sleep(L *lua.LState) int {
	d := durationArg(L, 1)
	_, err := engine.Block(L, func(ctx context.Context) (struct{}, error) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return struct{}{}, nil
		case <-ctx.Done():
			return struct{}{}, ctx.Err()
		}
	})
	if err != nil {
		return engine.Fail(L, err)
	}
	L.Push(lua.LTrue)
	return 1
}

// parseDuration is time.parse_duration(s): a Duration.
func parseDuration(L *lua.LState) int {
	text := lua.LString(L.CheckString(1))
	d, err := duration(text)
	if err != nil {
		return engine.Fail(L, err)
	}
	L.Push(durationValue(L, d))
	return 1
}
