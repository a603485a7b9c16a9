// Package value turns database values into Lua values, so that one stored value looks the same in every module.
package value

import (
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// MaxExact is the largest magnitude up to which every integer has a number of its own in Lua, 2^53.
const MaxExact = 1 << 53

// Text returns s as a string, or nil if it is empty.
func Text(s string) lua.LValue {
	if s == "" {
		return lua.LNil
	}
	return lua.LString(s)
}

// Whole returns n as an integer if it is one within ±2^53. Minus zero is not: an integer has no sign for it.
func Whole(n lua.LNumber) (int64, bool) {
	f := float64(n)
	if f != math.Trunc(f) || math.Abs(f) > MaxExact || f == 0 && math.Signbit(f) {
		return 0, false
	}
	return int64(f), true
}

// Of returns a column value. Texts and blobs are copied: a string that a script keeps must not keep the whole
// transaction that it came with.
func Of(v sqlapi.Value) lua.LValue {
	switch v.Type() {
	case sqlapi.Integer:
		return engine.Integer(v.Int64())
	case sqlapi.Real:
		return lua.LNumber(v.Float64())
	case sqlapi.Text, sqlapi.Blob:
		return lua.LString(strings.Clone(v.Bytes()))
	case sqlapi.Bool:
		return lua.LBool(v.Bool())
	case sqlapi.Null:
		return lua.LNil
	default:
		return lua.LNil
	}
}
