package engine

import (
	"math"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// gopher-lua keeps all keys from 1 to 2^26 in an array that it fills up to the key: t[30000000] = true takes 1.4 GB.
// Here a key that is more than nearby behind the last one goes into the table's map instead. What holds for every table:
//
//   - the keys in the map that could be in the array are greater than the array's length + 1, so that the array ends
//     where the length operator and ipairs end, and next finds its way from the array to the map;
//   - they are greater than nearby, so that instructions whose constant key is small need not look.
//
// https://github.com/yuin/gopher-lua/issues/105

// nearby is by how much an assignment may make an array longer.
const nearby = 32

// index returns a key as an index of the array, if it is one.
func index(key lua.LValue) (int, bool) {
	n, ok := key.(lua.LNumber)
	if !ok || n < 1 || n >= lua.LNumber(lua.MaxArrayIndex) {
		return 0, false
	}
	i := int(n)
	return i, lua.LNumber(i) == n
}

// RawGet returns what tb itself has at key. Unlike the method of tb it finds numbers outside the array.
func RawGet(tb *lua.LTable, key lua.LValue) lua.LValue {
	v := tb.RawGet(key)
	if v == lua.LNil {
		if _, ok := index(key); ok {
			return tb.RawGetH(key)
		}
	}
	return v
}

// rawSet assigns to a key of tb itself, which is neither nil nor NaN.
func rawSet(tb *lua.LTable, key, v lua.LValue) {
	i, ok := index(key)
	switch {
	case !ok:
		tb.RawSet(key, v)
	case tb.RawGetInt(i) != lua.LNil:
		replace(tb, i, v)
	case tb.RawGetH(key) != lua.LNil:
		tb.RawSetH(key, v)
	case v != lua.LNil:
		insert(tb, i, v)
	}
}

// replace assigns to a key that the array has.
func replace(tb *lua.LTable, i int, v lua.LValue) {
	tb.RawSetInt(i, v)
	if v != lua.LNil || tb.RawGetInt(i+1) != lua.LNil {
		return
	}
	// A stack that is emptied by t[#t] = nil would leave an array that holds nothing, in which the length operator and
	// Append look for the last key from the end on. It is cut off unless there are keys in the map: a loop over pairs
	// that is at this key would not find them all.
	if key, _ := tb.Next(lua.LNumber(lua.MaxArrayIndex - 1)); key != lua.LNil || tb.MaxN() > i {
		return
	}
	if key, _ := tb.Next(lua.LNumber(i)); key == lua.LNil {
		trim(tb)
	}
}

// insert adds a key that tb does not have.
func insert(tb *lua.LTable, i int, v lua.LValue) {
	last := trim(tb)
	if i > last+nearby {
		tb.RawSetH(lua.LNumber(i), v)
		return
	}
	for between := last + 1; between < i; between++ {
		move(tb, between)
	}
	tb.RawSetInt(i, v)
	absorb(tb, i+1)
}

// trim cuts off the end of the array that holds nothing, and returns the length that is left.
func trim(tb *lua.LTable) int {
	last := tb.MaxN()
	var v lua.LValue = lua.LTrue
	if last == 0 {
		tb.RawSetInt(1, v)
	} else {
		v = tb.RawGetInt(last)
	}
	for tb.Remove(-1) == lua.LNil { // the last one removed is v
	}
	if last > 0 {
		tb.RawSetInt(last, v)
	}
	return last
}

// absorb moves the keys from i on from the map to the array, which has grown to them.
func absorb(tb *lua.LTable, i int) {
	for move(tb, i) {
		i++
	}
}

// move moves a key from the map to the array if it is there.
func move(tb *lua.LTable, i int) bool {
	key := lua.LNumber(i)
	v := tb.RawGetH(key)
	if v == lua.LNil {
		return false
	}
	tb.RawSetH(key, lua.LNil)
	tb.RawSetInt(i, v)
	return true
}

// getTable is the instruction R(A) := R(B)[RK(C)].
func getTable(L *lua.LState, inst uint32, base unsafe.Pointer) int {
	c := argC(inst)
	if c&constantBit != 0 { // such keys are small, see keepConstantsSmall
		return native.getTable(L, inst, base)
	}
	tb, ok := L.Get(argB(inst) + 1).(*lua.LTable)
	if !ok {
		return native.getTable(L, inst, base)
	}
	key := L.Get(c + 1)
	i, ok := index(key)
	if !ok {
		return native.getTable(L, inst, base)
	}
	v := tb.RawGetInt(i)
	if v == lua.LNil {
		v = lookUp(tb, key)
	}
	if v == lua.LNil {
		return native.getTable(L, inst, base)
	}
	setRegister(L, argA(inst), v)
	return 0
}

// lookUp returns what tb, or a table that stands behind it by __index, has at an index. It is nil if there is nothing,
// or if a function is to be asked.
func lookUp(tb *lua.LTable, key lua.LValue) lua.LValue {
	for range lua.MaxTableGetLoop {
		if v := RawGet(tb, key); v != lua.LNil {
			return v
		}
		next, ok := behind(tb, "__index").(*lua.LTable)
		if !ok {
			return lua.LNil
		}
		tb = next
	}
	return lua.LNil
}

// behind returns the entry of the metatable of tb.
func behind(tb *lua.LTable, event string) lua.LValue {
	if mt, ok := tb.Metatable.(*lua.LTable); ok {
		return mt.RawGetString(event)
	}
	return lua.LNil
}

// setTable is the instruction R(A)[RK(B)] := RK(C).
func setTable(L *lua.LState, inst uint32, base unsafe.Pointer) int {
	tb, ok := L.Get(argA(inst) + 1).(*lua.LTable)
	if !ok {
		return native.setTable(L, inst, base)
	}
	if tb.Metatable != lua.LNil {
		checkWritable(L, tb)
	}
	b := argB(inst)
	if b&constantBit != 0 {
		return native.setTable(L, inst, base)
	}
	key := L.Get(b + 1)
	i, ok := index(key)
	if !ok {
		return native.setTable(L, inst, base)
	}
	if tb.RawGetInt(i) != lua.LNil || tb.Metatable == lua.LNil && (i == 1 || tb.RawGetInt(i-1) != lua.LNil) {
		// The array has this key or ends before it: nothing is filled.
		if c := argC(inst); c&constantBit != 0 {
			native.setTable(L, inst, base)
		} else {
			replace(tb, i, L.Get(c+1))
		}
		absorb(tb, i+1)
		return 0
	}
	for range lua.MaxTableGetLoop {
		next := behind(tb, "__newindex")
		if next == lua.LNil || RawGet(tb, key) != lua.LNil {
			rawSet(tb, key, operand(L, argC(inst)))
			return 0
		}
		if tb, ok = next.(*lua.LTable); !ok {
			break
		}
	}
	return native.setTable(L, inst, base)
}

// setList is the instruction R(A)[offset+i] := R(A+i), 1 <= i <= B, of table constructors.
func setList(L *lua.LState, inst uint32, base unsafe.Pointer) int {
	tb, _ := L.Get(argA(inst) + 1).(*lua.LTable)
	n := argB(inst)
	if n == 0 {
		n = L.GetTop() - argA(inst) - 1
	}
	result := native.setList(L, inst, base)
	last := tb.MaxN()
	for i := max(nearby, last-n) + 1; i <= last; i++ {
		if key := lua.LNumber(i); tb.RawGetH(key) != lua.LNil {
			tb.RawSetH(key, lua.LNil) // of {[100] = x, 1, 2, ...} what has no key is kept
		}
	}
	absorb(tb, last+1)
	return result
}

// isNaN reports whether a key is the number that no table can have.
func isNaN(key lua.LValue) bool {
	n, ok := key.(lua.LNumber)
	return ok && math.IsNaN(float64(n))
}
