package test

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/lua/engine"
)

// How much of a value is shown.
const (
	maxText  = 200
	maxDepth = 4
)

// render writes a value for a message, the way it would be written in Lua, keys in order and not too long.
func render(L *lua.LState, v lua.LValue) string {
	text := show(L, v, maxDepth)
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

func show(L *lua.LState, v lua.LValue, depth int) string {
	t, ok := v.(*lua.LTable)
	switch {
	case v.Type() == lua.LTUserData:
		return L.ToStringMeta(v).String()
	case !ok:
		return literal(v)
	case depth == 0:
		return "{…}"
	}
	var fields []string
	for i := 1; i <= t.Len(); i++ {
		fields = append(fields, show(L, t.RawGetInt(i), depth-1))
	}
	for _, key := range sortedKeys(t) {
		if n, ok := key.(lua.LNumber); ok && n >= 1 && int(n) <= t.Len() && n == lua.LNumber(int(n)) {
			continue
		}
		name := "[" + literal(key) + "]"
		if s, ok := key.(lua.LString); ok && isName(string(s)) {
			name = string(s)
		}
		fields = append(fields, name+" = "+show(L, engine.RawGet(t, key), depth-1))
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

func literal(v lua.LValue) string {
	if s, ok := v.(lua.LString); ok {
		return strconv.Quote(string(s))
	}
	return v.String()
}

// isName reports whether a key can be written without brackets.
func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z')
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// sortedKeys returns the keys of a table: numbers, then texts, then others.
func sortedKeys(t *lua.LTable) []lua.LValue {
	var keys []lua.LValue
	t.ForEach(func(key, _ lua.LValue) { keys = append(keys, key) })
	slices.SortStableFunc(keys, func(a, b lua.LValue) int {
		x, ok1 := a.(lua.LNumber)
		y, ok2 := b.(lua.LNumber)
		if ok1 && ok2 {
			return cmp.Compare(x, y)
		}
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.String(), b.String()))
	})
	return keys
}

func rank(v lua.LValue) int {
	switch v.Type() {
	case lua.LTNumber:
		return 0
	case lua.LTString:
		return 1
	default:
		return 2
	}
}
