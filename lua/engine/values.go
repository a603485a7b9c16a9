package engine

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
)

// maxExact bounds the integers that a Lua number holds without loss.
const maxExact = 1 << 53

// maxDepth bounds how deeply values that cross the border to Lua may be nested.
const maxDepth = 100

// Integer returns n as a Lua number or, beyond ±2^53, as a decimal string, so that no digit is lost.
func Integer(n int64) lua.LValue {
	if n > maxExact || n < -maxExact {
		return lua.LString(strconv.FormatInt(n, 10))
	}
	return lua.LNumber(n)
}

// ToLua copies a Go value into a Lua value: nil, booleans, all kinds of integers (see Integer) and floats, string,
// []byte, error, []any, []string, map[string]any and map[string]string. Anything else is an Invalid error.
func ToLua(L *lua.LState, v any) (lua.LValue, error) { return toLua(L, v, 0) }

func toLua(L *lua.LState, v any, depth int) (lua.LValue, error) {
	if depth > maxDepth {
		return nil, errs.New(errs.Invalid, "value is nested more than %d levels deep", maxDepth)
	}
	switch v := v.(type) {
	case []any:
		return toArray(L, v, depth)
	case []string:
		tb := L.CreateTable(len(v), 0)
		for _, s := range v {
			tb.Append(lua.LString(s))
		}
		return tb, nil
	case map[string]any:
		return toTable(L, v, depth)
	case map[string]string:
		tb := L.CreateTable(0, len(v))
		for k, s := range v {
			tb.RawSetString(k, lua.LString(s))
		}
		return tb, nil
	default:
		return toScalar(L, v)
	}
}

func toScalar(L *lua.LState, v any) (lua.LValue, error) {
	switch v := v.(type) {
	case nil:
		return lua.LNil, nil
	case bool:
		return lua.LBool(v), nil
	case string:
		return lua.LString(v), nil
	case []byte:
		return lua.LString(v), nil
	case float64:
		return lua.LNumber(v), nil
	case float32:
		return lua.LNumber(v), nil
	case error:
		return ErrorValue(L, v), nil
	case lua.LValue:
		return nil, errs.New(errs.Invalid, "a Lua %s belongs to its process and cannot be passed on", v.Type())
	default:
		return toInteger(v)
	}
}

func toInteger(v any) (lua.LValue, error) {
	switch v := v.(type) {
	case int:
		return Integer(int64(v)), nil
	case int64:
		return Integer(v), nil
	case int32:
		return Integer(int64(v)), nil
	case int16:
		return Integer(int64(v)), nil
	case int8:
		return Integer(int64(v)), nil
	case uint8:
		return Integer(int64(v)), nil
	case uint16:
		return Integer(int64(v)), nil
	case uint32:
		return Integer(int64(v)), nil
	case uint:
		return unsigned(uint64(v)), nil
	case uint64:
		return unsigned(v), nil
	default:
		return nil, errs.New(errs.Invalid, "a Go %T has no counterpart in Lua", v)
	}
}

func unsigned(n uint64) lua.LValue {
	if n > maxExact {
		return lua.LString(strconv.FormatUint(n, 10))
	}
	return lua.LNumber(n)
}

func toArray(L *lua.LState, list []any, depth int) (lua.LValue, error) {
	tb := L.CreateTable(len(list), 0)
	for i, item := range list {
		v, err := toLua(L, item, depth+1)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i+1, err)
		}
		tb.RawSetInt(i+1, v)
	}
	return tb, nil
}

func toTable(L *lua.LState, m map[string]any, depth int) (lua.LValue, error) {
	tb := L.CreateTable(0, len(m))
	for k, item := range m {
		v, err := toLua(L, item, depth+1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k, err)
		}
		tb.RawSetString(k, v)
	}
	return tb, nil
}

// FromLua copies a Lua value into a Go value: nil, bool, int64 (integral numbers up to ±2^53), float64, string, error,
// []any for a table with the keys 1 to n, map[string]any for one with string keys and for the empty one. Functions,
// threads, other userdata, other keys and cycles are Invalid errors that name the place.
func FromLua(v lua.LValue) (any, error) { return fromLua(v, nil) }

func fromLua(v lua.LValue, path []*lua.LTable) (any, error) {
	switch v := v.(type) {
	case *lua.LNilType:
		return nil, nil //nolint:nilnil // Lua's nil is a value
	case lua.LBool:
		return bool(v), nil
	case lua.LNumber:
		return fromNumber(v), nil
	case lua.LString:
		return string(v), nil
	case *lua.LTable:
		return fromTable(v, path)
	default:
		if err, ok := ErrorOf(v); ok {
			return err, nil
		}
		return nil, errs.New(errs.Invalid, "a %s cannot leave its process", v.Type())
	}
}

func fromNumber(n lua.LNumber) any {
	f := float64(n)
	if f != math.Trunc(f) || math.Abs(f) > maxExact || (f == 0 && math.Signbit(f)) {
		return f
	}
	return int64(f)
}

func fromTable(tb *lua.LTable, path []*lua.LTable) (any, error) {
	if len(path) >= maxDepth {
		return nil, errs.New(errs.Invalid, "table is nested more than %d levels deep", maxDepth)
	}
	if slices.Contains(path, tb) {
		return nil, errs.New(errs.Invalid, "table contains itself")
	}
	path = append(path, tb)
	if n := arrayLen(tb); n > 0 {
		return fromArray(tb, n, path)
	}
	m := make(map[string]any)
	for key, value := tb.Next(lua.LNil); key != lua.LNil; key, value = tb.Next(key) {
		name, ok := key.(lua.LString)
		if !ok {
			return nil, errs.New(errs.Invalid, "table key %s: keys must be strings, or exactly 1 to n", key)
		}
		item, err := fromLua(value, path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		m[string(name)] = item
	}
	return m, nil
}

func fromArray(tb *lua.LTable, n int, path []*lua.LTable) (any, error) {
	list := make([]any, n)
	for i := range list {
		item, err := fromLua(tb.RawGetInt(i+1), path)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i+1, err)
		}
		list[i] = item
	}
	return list, nil
}

// arrayLen returns n if the keys of tb are exactly 1 to n, else 0.
func arrayLen(tb *lua.LTable) int {
	n := tb.MaxN()
	count := 0
	for key, _ := tb.Next(lua.LNil); key != lua.LNil; key, _ = tb.Next(key) {
		i, ok := key.(lua.LNumber)
		if !ok || i < 1 || i > lua.LNumber(n) || float64(i) != math.Trunc(float64(i)) {
			return 0
		}
		count++
	}
	if count != n {
		return 0
	}
	return n
}
