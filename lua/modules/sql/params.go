package sql

import (
	"database/sql"
	"fmt"
	"math"
	"slices"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
	"github.com/wippy-cdc/runtime/lua/modules/internal/value"
)

// arguments turns the params of a statement, a table or nil, into what database/sql takes.
func arguments(v lua.LValue) ([]any, error) {
	switch v := v.(type) {
	case *lua.LNilType:
		return nil, nil
	case *lua.LTable:
		return fromTable(v)
	default:
		return nil, errs.New(errs.Invalid, "params are %s; put them into one table: {…}", option.Describe(v))
	}
}

func fromTable(t *lua.LTable) ([]any, error) {
	highest, positions := 0, 0
	var names []string
	var odd lua.LValue
	t.ForEach(func(k, _ lua.LValue) {
		switch k := k.(type) {
		case lua.LString:
			names = append(names, string(k))
		case lua.LNumber:
			i, whole := value.Whole(k)
			if !whole || i < 1 || i > math.MaxInt32 {
				odd = k
				return
			}
			highest = max(highest, int(i))
			positions++
		default:
			odd = k
		}
	})
	switch {
	case odd != nil:
		return nil, errs.New(errs.Invalid, "params has the key %s; use 1..n for ?, or names for :name", option.Describe(odd))
	case positions > 0 && len(names) > 0:
		return nil, errs.New(errs.Invalid, "params mixes positions and names (%q); use one of them", slices.Min(names))
	case highest != positions:
		return nil, hole(t, highest)
	case positions > 0:
		return byPosition(t, positions)
	}
	return byName(t, names)
}

func hole(t *lua.LTable, highest int) error {
	for i := 1; i <= highest; i++ {
		if t.RawGet(lua.LNumber(i)) != lua.LNil {
			continue
		}
		if err, ok := engine.ErrorOf(t.RawGet(lua.LNumber(i + 1))); ok {
			return errs.New(errs.Invalid, "params[%d]: %w", i, err)
		}
		return errs.New(errs.Invalid, "params[%d] is nil; write sql.NULL for NULL", i)
	}
	return nil
}

func byPosition(t *lua.LTable, n int) ([]any, error) {
	args := make([]any, n)
	for i := range args {
		v, err := argument(t.RawGet(lua.LNumber(i + 1)))
		if err != nil {
			return nil, errs.New(errs.Invalid, "params[%d]: %w", i+1, err)
		}
		args[i] = v
	}
	return args, nil
}

func byName(t *lua.LTable, names []string) ([]any, error) {
	slices.Sort(names)
	args := make([]any, len(names))
	for i, name := range names {
		if !isName(name) {
			return nil, errs.New(errs.Invalid, "params has the name %q; write it without : @ or $, for instance id", name)
		}
		v, err := argument(t.RawGetString(name))
		if err != nil {
			return nil, errs.New(errs.Invalid, "params.%s: %w", name, err)
		}
		args[i] = sql.Named(name, v)
	}
	return args, nil
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != "" && s[0] != '_'
}

// argument returns the database value of v: integral numbers up to ±2^53 become integers, others floats.
func argument(v lua.LValue) (any, error) {
	switch v := v.(type) {
	case lua.LString:
		return string(v), nil
	case lua.LBool:
		return bool(v), nil
	case lua.LNumber:
		if i, whole := value.Whole(v); whole {
			return i, nil
		}
		return float(float64(v))
	case *lua.LUserData:
		if typed, ok := v.Value.(*typed); ok {
			return typed.value, nil
		}
	}
	if err, ok := engine.ErrorOf(v); ok {
		return nil, err
	}
	return nil, fmt.Errorf("a %s cannot be stored; use nil-free numbers, strings, booleans, sql.NULL or sql.as", v.Type())
}

func float(f float64) (any, error) {
	if math.IsNaN(f) {
		return nil, errs.New(errs.Invalid, "nan cannot be stored, a database would make it NULL; use sql.NULL if that is meant")
	}
	return f, nil
}
