package time

import (
	"fmt"
	"math"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/unit"
)

// The names of the metatables, which double as the names of the types in messages.
const (
	timeType     = "time.Time"
	durationType = "time.Duration"
	timerType    = "time.Timer"
)

func registerTypes(L *lua.LState) {
	register(L, timeType, map[string]lua.LGFunction{
		"unix": func(L *lua.LState) int {
			L.Push(lua.LNumber(timeArg(L, 1).Unix()))
			return 1
		},
		"unix_nano": func(L *lua.LState) int { // a number, and so rounded to about 256ns: measure with sub
			L.Push(lua.LNumber(timeArg(L, 1).UnixNano()))
			return 1
		},
		"format": func(L *lua.LState) int {
			L.Push(lua.LString(timeArg(L, 1).UTC().Format(L.OptString(2, time.RFC3339Nano))))
			return 1
		},
		"add": addTime,
		"sub": func(L *lua.LState) int {
			L.Push(durationValue(L, timeArg(L, 1).Sub(timeArg(L, 2))))
			return 1
		},
	}, map[string]lua.LGFunction{
		"__tostring": func(L *lua.LState) int {
			L.Push(lua.LString(timeArg(L, 1).UTC().Format(time.RFC3339Nano)))
			return 1
		},
		"__eq": compare(func(L *lua.LState) bool { return timeArg(L, 1).Equal(timeArg(L, 2)) }),
		"__lt": compare(func(L *lua.LState) bool { return timeArg(L, 1).Before(timeArg(L, 2)) }),
		"__le": compare(func(L *lua.LState) bool { return !timeArg(L, 2).Before(timeArg(L, 1)) }),
	})
	register(L, durationType, map[string]lua.LGFunction{
		"seconds":      inUnit(time.Second),
		"milliseconds": inUnit(time.Millisecond),
		"nanoseconds":  inUnit(time.Nanosecond),
	}, map[string]lua.LGFunction{
		"__tostring": func(L *lua.LState) int {
			L.Push(lua.LString(durationSelf(L, 1).String()))
			return 1
		},
		"__eq": compare(func(L *lua.LState) bool { return durationSelf(L, 1) == durationSelf(L, 2) }),
		"__lt": compare(func(L *lua.LState) bool { return durationSelf(L, 1) < durationSelf(L, 2) }),
		"__le": compare(func(L *lua.LState) bool { return durationSelf(L, 1) <= durationSelf(L, 2) }),
	})
	register(L, timerType, map[string]lua.LGFunction{
		"channel": timerChannel,
		"stop":    timerStop,
		"reset":   timerReset,
	}, nil)
}

// register makes the metatable of a type.
func register(L *lua.LState, name string, methods, meta map[string]lua.LGFunction) {
	mt := L.NewTypeMetatable(name)
	mt.RawSetString("__index", L.SetFuncs(L.CreateTable(0, len(methods)), methods))
	mt.RawSetString("__metatable", lua.LString(name))
	L.SetFuncs(mt, meta)
}

func value(L *lua.LState, typ string, v any) lua.LValue {
	return &lua.LUserData{Value: v, Env: L.Env, Metatable: L.GetTypeMetatable(typ)}
}

func timeValue(L *lua.LState, t time.Time) lua.LValue         { return value(L, timeType, t) }
func durationValue(L *lua.LState, d time.Duration) lua.LValue { return value(L, durationType, d) }

func timeArg(L *lua.LState, n int) time.Time          { return self[time.Time](L, n, timeType) }
func durationSelf(L *lua.LState, n int) time.Duration { return self[time.Duration](L, n, durationType) }

func compare(f func(L *lua.LState) bool) lua.LGFunction {
	return func(L *lua.LState) int {
		L.Push(lua.LBool(f(L)))
		return 1
	}
}

// self returns argument n as a T, or raises an argument error.
func self[T any](L *lua.LState, n int, name string) T {
	if ud, ok := L.Get(n).(*lua.LUserData); ok {
		if v, ok := ud.Value.(T); ok {
			return v
		}
	}
	L.ArgError(n, fmt.Sprintf("%s expected, got %s", name, L.Get(n).Type()))
	var zero T
	return zero
}

func addTime(L *lua.LState) int {
	t := timeArg(L, 1)
	L.Push(timeValue(L, t.Add(durationArg(L, 2))))
	return 1
}

func inUnit(u time.Duration) lua.LGFunction {
	return func(L *lua.LState) int {
		L.Push(lua.LNumber(float64(durationSelf(L, 1)) / float64(u)))
		return 1
	}
}

// durationArg returns argument n, "5s", a number of nanoseconds or a Duration. Anything else raises an argument error.
func durationArg(L *lua.LState, n int) time.Duration {
	d, err := duration(L.Get(n))
	if err != nil {
		L.ArgError(n, strings.TrimPrefix(err.Error(), "time: "))
	}
	return d
}

func duration(v lua.LValue) (time.Duration, error) {
	switch v := v.(type) {
	case lua.LString:
		var d unit.Duration
		if err := d.UnmarshalText([]byte(v)); err != nil {
			return 0, errs.Wrap(errs.Invalid, fmt.Errorf("time: %w", err))
		}
		return d.Std(), nil
	case lua.LNumber:
		if math.IsNaN(float64(v)) || math.Abs(float64(v)) >= math.MaxInt64 {
			return 0, errs.New(errs.Invalid, "time: %s is not a number of nanoseconds", v)
		}
		return time.Duration(v), nil
	case *lua.LUserData:
		if d, ok := v.Value.(time.Duration); ok {
			return d, nil
		}
	}
	return 0, errs.New(errs.Invalid, "time: duration expected (\"5s\", nanoseconds or a Duration), got %s", v.Type())
}
