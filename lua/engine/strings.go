package engine

import (
	"errors"
	"strings"
	"unsafe"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/lua/pattern"
)

// maxString bounds what a single call makes of strings: the program would not survive one that does not fit into
// memory.
const maxString = 1 << 28

// checkSize raises an error if a string of that size is not to be made.
func checkSize(L *lua.LState, size float64) {
	if size > maxString {
		L.RaiseError("resulting string too large: at most %d MiB", maxString>>20)
	}
}

// concat is the instruction R(A) := R(B).. ... ..R(C).
func concat(L *lua.LState, inst uint32, base unsafe.Pointer) int {
	size := 0
	for i := argB(inst); i <= argC(inst); i++ {
		if s, ok := L.Get(i + 1).(lua.LString); ok {
			size += len(s)
		}
	}
	checkSize(L, float64(size))
	return native.concat(L, inst, base)
}

// openString makes the table string: Lua's own functions, whose patterns are matched so that they can be interrupted.
func openString(L *lua.LState) *lua.LTable {
	L.Push(L.NewFunction(lua.OpenString))
	L.Push(lua.LString(lua.StringLibName))
	L.Call(1, 1)
	tb, _ := L.Get(-1).(*lua.LTable)
	L.Pop(1)
	for _, name := range []string{"dump", "__index"} {
		tb.RawSetString(name, lua.LNil)
	}
	rep, _ := tb.RawGetString("rep").(*lua.LFunction)
	matches := L.NewClosure(stringGmatch, L.NewFunction(nextMatch))
	L.SetFuncs(tb, map[string]lua.LGFunction{
		"find":  func(L *lua.LState) int { return stringFind(L, true) },
		"match": func(L *lua.LState) int { return stringFind(L, false) },
		"gsub":  stringGsub,
		"rep": func(L *lua.LState) int {
			checkSize(L, float64(len(L.CheckString(1)))*float64(L.CheckNumber(2)))
			return rep.GFunction(L)
		},
	})
	tb.RawSetString("gmatch", matches)
	tb.RawSetString("gfind", matches)
	mt := L.CreateTable(0, 1)
	mt.RawSetString("__index", tb)
	L.SetMetatable(lua.LString(""), protect(mt))
	return tb
}

// newMatcher returns a matcher of argument 2 in argument 1 that stops with the process of L.
func newMatcher(L *lua.LState) (m *pattern.Matcher, text string) {
	text = L.CheckString(1)
	return pattern.New(text, L.CheckString(2), FromState(L).cancellation.canceled.Load), text
}

// check raises the error of a matcher.
func check(L *lua.LState, err error) {
	switch {
	case errors.Is(err, pattern.ErrStopped):
		L.RaiseError("%s", errTerminated.Error())
	case err != nil:
		L.RaiseError("%s", err.Error())
	}
}

// stringFind is string.find(text, pattern, start, plain), or string.match(text, pattern, start).
func stringFind(L *lua.LState, find bool) int {
	m, text := newMatcher(L)
	start := L.OptInt(3, 1)
	if start < 0 {
		start += len(text) + 1
	}
	start = min(max(start-1, 0), len(text))
	if p := L.CheckString(2); find && (L.ToBool(4) || pattern.Plain(p)) {
		i := strings.Index(text[start:], p)
		if i < 0 {
			L.Push(lua.LNil)
			return 1
		}
		L.Push(lua.LNumber(start + i + 1))
		L.Push(lua.LNumber(start + i + len(p)))
		return 2
	}
	m.Anchor()
	found, ok, err := m.From(start)
	check(L, err)
	switch {
	case !ok:
		L.Push(lua.LNil)
		return 1
	case find:
		L.Push(lua.LNumber(found.Start + 1))
		L.Push(lua.LNumber(found.End))
		return 2 + pushCaptures(L, text, found, false)
	default:
		return pushCaptures(L, text, found, true)
	}
}

// pushCaptures pushes what a pattern has captured, or all that it matches if it captures nothing and whole is set.
func pushCaptures(L *lua.LState, text string, found pattern.Match, whole bool) int {
	if len(found.Captures) == 0 && whole {
		L.Push(lua.LString(text[found.Start:found.End]))
		return 1
	}
	for _, c := range found.Captures {
		L.Push(captured(text, c))
	}
	return len(found.Captures)
}

func captured(text string, c pattern.Capture) lua.LValue {
	if at, ok := c.Position(); ok {
		return lua.LNumber(at + 1)
	}
	return lua.LString(c.Text(text))
}

// matches is the state of a loop over string.gmatch.
type matches struct {
	*pattern.Matcher
	text string
	next int
}

func stringGmatch(L *lua.LState) int {
	m, text := newMatcher(L)
	L.Push(L.Get(lua.UpvalueIndex(1)))
	L.Push(&lua.LUserData{Value: &matches{m, text, 0}, Env: L.Env, Metatable: lua.LNil})
	return 2
}

func nextMatch(L *lua.LState) int {
	state, ok := L.CheckUserData(1).Value.(*matches)
	if !ok {
		L.ArgError(1, "state of string.gmatch expected")
	}
	found, ok, err := state.From(state.next)
	check(L, err)
	if !ok {
		state.next = len(state.text) + 1
		L.Push(lua.LNil)
		return 1
	}
	state.next = max(found.End, found.Start+1)
	return pushCaptures(L, state.text, found, true)
}

// stringGsub is string.gsub(text, pattern, replacement, limit).
func stringGsub(L *lua.LState) int {
	m, text := newMatcher(L)
	L.CheckTypes(3, lua.LTString, lua.LTNumber, lua.LTTable, lua.LTFunction)
	limit := L.OptInt(4, len(text)+1)
	anchored := m.Anchor()
	var b strings.Builder
	n, at := 0, 0
	for n < limit {
		found, ok, err := m.At(at)
		check(L, err)
		if ok {
			n++
			r := replacement(L, text, found)
			checkSize(L, float64(b.Len())+float64(len(r))+float64(len(text)-found.End))
			b.WriteString(r)
		}
		if ok && found.End > at {
			at = found.End
		} else if at < len(text) {
			b.WriteByte(text[at])
			at++
		} else {
			break
		}
		if anchored {
			break
		}
	}
	b.WriteString(text[min(at, len(text)):])
	L.Push(lua.LString(b.String()))
	L.Push(lua.LNumber(n))
	return 2
}

// replacement returns what argument 3 of string.gsub puts in the place of a match.
func replacement(L *lua.LState, text string, found pattern.Match) string {
	var v lua.LValue
	switch by := L.Get(3).(type) {
	case *lua.LFunction:
		L.Push(by)
		L.Call(pushCaptures(L, text, found, true), 1)
		v = L.Get(-1)
		L.Pop(1)
	case *lua.LTable:
		var key lua.LValue = lua.LString(text[found.Start:found.End])
		if len(found.Captures) > 0 {
			key = captured(text, found.Captures[0])
		}
		if v = lookUp(by, key); v == lua.LNil {
			v = L.GetTable(by, key)
		}
	default:
		return expand(L, text, found, by.String())
	}
	switch v.(type) {
	case lua.LString, lua.LNumber:
		return v.String()
	}
	if lua.LVAsBool(v) {
		L.RaiseError("invalid replacement value (a %s)", v.Type())
	}
	return text[found.Start:found.End]
}

// expand replaces %0 to %9 in a replacement, and %% by %.
func expand(L *lua.LState, text string, found pattern.Match, by string) string {
	if !strings.Contains(by, "%") {
		return by
	}
	var b strings.Builder
	for i := 0; i < len(by); i++ {
		if by[i] != '%' || i+1 == len(by) {
			b.WriteByte(by[i])
			continue
		}
		i++
		switch n := int(by[i]) - '0'; {
		case n < 0 || n > 9:
			b.WriteByte(by[i])
		case n == 0 || n == 1 && len(found.Captures) == 0:
			b.WriteString(text[found.Start:found.End])
		case n > len(found.Captures):
			L.RaiseError("invalid capture index: the pattern has no capture %d", n)
		default:
			b.WriteString(captured(text, found.Captures[n-1]).String())
		}
	}
	return b.String()
}
