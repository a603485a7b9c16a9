package sql

import (
	"errors"
	"strconv"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
	"github.com/wippy-cdc/runtime/lua/modules/internal/value"
)

// typed is a parameter whose storage type the script has chosen: nil, int64, float64, string or []byte.
type typed struct{ value any }

func (t *typed) String() string {
	switch v := t.value.(type) {
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case string:
		return v
	case []byte:
		return string(v)
	default:
		return "NULL"
	}
}

// wrongType is the error of a conversion that takes values of other types only.
type wrongType struct {
	value  lua.LValue
	wanted string
}

func (e wrongType) Error() string { return option.Describe(e.value) + " is not " + e.wanted }

// conversions are the functions of sql.as. Each takes one value; nil becomes NULL.
func conversions() map[string]func(v lua.LValue) (any, error) {
	return map[string]func(v lua.LValue) (any, error){
		"int":    asInt,
		"float":  asFloat,
		"text":   asText,
		"binary": asBinary,
		"null":   func(lua.LValue) (any, error) { return nil, nil },
	}
}

// asFunctions makes the table sql.as.
func (s *session) asFunctions(L *lua.LState) *lua.LTable {
	t := L.CreateTable(0, len(conversions()))
	for name, convert := range conversions() {
		t.RawSetString(name, L.NewFunction(func(L *lua.LState) int {
			v := L.Get(1)
			if v == lua.LNil {
				L.Push(s.null)
				return 1
			}
			converted, err := convert(v)
			if _, ok := errors.AsType[wrongType](err); ok {
				L.ArgError(1, err.Error())
			}
			if err != nil {
				return engine.Fail(L, errs.New(errs.Invalid, "sql: as.%s: %w", name, err))
			}
			L.Push(s.typed(L, converted))
			return 1
		}))
	}
	return t
}

func (s *session) typed(L *lua.LState, v any) lua.LValue {
	return &lua.LUserData{Value: &typed{v}, Env: L.Env, Metatable: s.typedType}
}

func newTypedType(L *lua.LState) *lua.LTable {
	mt := L.CreateTable(0, 2)
	mt.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		if t, ok := L.CheckUserData(1).Value.(*typed); ok {
			L.Push(lua.LString(t.String()))
			return 1
		}
		L.ArgError(1, "value of sql.as expected")
		return 0
	}))
	mt.RawSetString("__metatable", lua.LString("sql value"))
	return mt
}

func asInt(v lua.LValue) (any, error) {
	switch v := v.(type) {
	case lua.LNumber:
		if f := float64(v); f == 0 {
			return int64(0), nil
		}
		if i, whole := value.Whole(v); whole {
			return i, nil
		}
		return nil, errs.New(errs.Invalid, "%s is not an integer up to ±2^53; give larger ones as a decimal string", v)
	case lua.LString:
		i, err := strconv.ParseInt(string(v), 10, 64)
		if err != nil {
			return nil, errs.New(errs.Invalid, "%s is not a decimal integer of 64 bits", option.Describe(v))
		}
		return i, nil
	default:
		return nil, wrongType{v, "a number or a decimal string"}
	}
}

func asFloat(v lua.LValue) (any, error) {
	switch v := v.(type) {
	case lua.LNumber:
		return float(float64(v))
	case lua.LString:
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return nil, errs.New(errs.Invalid, "%s is not a number", option.Describe(v))
		}
		return float(f)
	default:
		return nil, wrongType{v, "a number or a numeric string"}
	}
}

func asText(v lua.LValue) (any, error) {
	switch v := v.(type) {
	case lua.LString:
		return string(v), nil
	case lua.LNumber:
		return v.String(), nil
	default:
		return nil, wrongType{v, "a string or a number"}
	}
}

func asBinary(v lua.LValue) (any, error) {
	s, ok := v.(lua.LString)
	if !ok {
		return nil, wrongType{v, "a string"}
	}
	return []byte(s), nil
}
