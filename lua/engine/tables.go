package engine

import (
	"math"
	"sort"

	lua "github.com/yuin/gopher-lua"
)

// openTable makes the table table: Lua's own functions, which know that keys may be outside a table's array (see
// sparse.go), leave read-only tables alone and can be interrupted.
func openTable(L *lua.LState) *lua.LTable {
	L.Push(L.NewFunction(lua.OpenTable))
	L.Push(lua.LString(lua.TabLibName))
	L.Call(1, 1)
	tb, _ := L.Get(-1).(*lua.LTable)
	L.Pop(1)
	remove, _ := tb.RawGetString("remove").(*lua.LFunction)
	join, _ := tb.RawGetString("concat").(*lua.LFunction)
	return L.SetFuncs(tb, map[string]lua.LGFunction{
		"insert": tableInsert,
		"maxn":   tableMaxN,
		"sort":   tableSort,
		"remove": func(L *lua.LState) int {
			tb := L.CheckTable(1)
			checkWritable(L, tb)
			trim(tb)
			return remove.GFunction(L)
		},
		"concat": func(L *lua.LState) int {
			checkSize(L, joinedSize(L))
			return join.GFunction(L)
		},
	})
}

// joinedSize bounds the length of what table.concat is to return.
func joinedSize(L *lua.LState) float64 {
	tb, separator := L.CheckTable(1), L.OptString(2, "")
	from, to := max(L.OptInt(3, 1), 1), min(L.OptInt(4, math.MaxInt), tb.Len())
	size := 0.0
	for i := from; i <= to; i++ {
		if s, ok := tb.RawGetInt(i).(lua.LString); ok {
			size += float64(len(s))
		}
		size += float64(len(separator))
	}
	return size
}

func rawGetFunction(L *lua.LState) int {
	L.Push(RawGet(L.CheckTable(1), L.CheckAny(2)))
	return 1
}

func rawSetFunction(L *lua.LState) int {
	tb, key, v := L.CheckTable(1), L.CheckAny(2), L.CheckAny(3)
	checkWritable(L, tb)
	if key == lua.LNil || isNaN(key) {
		L.RawSet(tb, key, v) // raises the error
	}
	rawSet(tb, key, v)
	L.Push(tb)
	return 1
}

// unpackFunction is unpack(list, i, j).
func unpackFunction(L *lua.LState) int {
	tb := L.CheckTable(1)
	from, to := L.OptInt(2, 1), L.OptInt(3, tb.Len())
	if to < from {
		return 0
	}
	if to-from < 0 || to-from >= registryMaxSize {
		L.RaiseError("too many results to unpack")
	}
	for i := from; i <= to; i++ {
		L.Push(RawGet(tb, lua.LNumber(i)))
	}
	return to - from + 1
}

// tableInsert is table.insert(table, value) and table.insert(table, position, value).
func tableInsert(L *lua.LState) int {
	tb := L.CheckTable(1)
	checkWritable(L, tb)
	switch L.GetTop() {
	case 2:
		tb.Append(L.Get(2))
	case 3:
		i, v := L.CheckInt(2), L.Get(3)
		if last := trim(tb); i < 1 || i > last {
			rawSet(tb, lua.LNumber(i), v)
			return 0
		}
		tb.Insert(i, v)
	default:
		L.RaiseError("wrong number of arguments to table.insert")
	}
	absorb(tb, tb.MaxN()+1)
	return 0
}

// tableMaxN returns the greatest number that is a key.
func tableMaxN(L *lua.LState) int {
	tb := L.CheckTable(1)
	greatest := lua.LNumber(0)
	for key, _ := tb.Next(lua.LNil); key != lua.LNil; key, _ = tb.Next(key) {
		if n, ok := key.(lua.LNumber); ok && n > greatest {
			greatest = n
		}
	}
	L.Push(greatest)
	return 1
}

// sorting is an array that is being sorted.
type sorting struct {
	L       *lua.LState
	process *Process
	values  []lua.LValue
	less    *lua.LFunction // nil: the operator
}

func (s *sorting) Len() int { return len(s.values) }

func (s *sorting) Swap(i, j int) { s.values[i], s.values[j] = s.values[j], s.values[i] }

func (s *sorting) Less(i, j int) bool {
	if s.less == nil {
		if s.process.cancellation.canceled.Load() {
			s.L.RaiseError("%s", errTerminated.Error())
		}
		return s.L.LessThan(s.values[i], s.values[j])
	}
	s.L.Push(s.less)
	s.L.Push(s.values[i])
	s.L.Push(s.values[j])
	s.L.Call(2, 1)
	less := s.L.ToBool(-1)
	s.L.Pop(1)
	return less
}

// tableSort is table.sort(table, less). A table stays as it was if less fails.
func tableSort(L *lua.LState) int {
	tb := L.CheckTable(1)
	checkWritable(L, tb)
	s := &sorting{L: L, process: FromState(L), values: make([]lua.LValue, tb.Len())}
	if L.GetTop() > 1 {
		s.less = L.CheckFunction(2)
	}
	for i := range s.values {
		s.values[i] = tb.RawGetInt(i + 1)
	}
	sort.Sort(s)
	for i, v := range s.values {
		rawSet(tb, lua.LNumber(i+1), v)
	}
	return 0
}
