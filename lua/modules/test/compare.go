package test

import (
	"fmt"
	"math"
	"slices"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/lua/engine"
)

// comparison finds the first difference between two values.
type comparison struct {
	L *lua.LState
	// partly lets tables have keys that are not wanted.
	partly bool
	// above are the pairs of tables that contain the one being compared: a table may contain itself.
	above [][2]*lua.LTable
}

// compare returns what is different at path and below, "" if nothing is.
func (c *comparison) compare(path string, got, want lua.LValue) string {
	gotTable, ok1 := got.(*lua.LTable)
	wantTable, ok2 := want.(*lua.LTable)
	if ok1 && ok2 {
		return c.tables(path, gotTable, wantTable)
	}
	if c.same(got, want) {
		return ""
	}
	if path == "" {
		return fmt.Sprintf("got %s, want %s", render(c.L, got), render(c.L, want))
	}
	return fmt.Sprintf("%s is %s, want %s", path, render(c.L, got), render(c.L, want))
}

func (c *comparison) tables(path string, got, want *lua.LTable) string {
	pair := [2]*lua.LTable{got, want}
	if got == want || slices.Contains(c.above, pair) {
		return ""
	}
	c.above = append(c.above, pair)
	defer func() { c.above = c.above[:len(c.above)-1] }()
	for _, key := range sortedKeys(want) {
		if difference := c.compare(step(path, key), engine.RawGet(got, key), engine.RawGet(want, key)); difference != "" {
			return difference
		}
	}
	if c.partly {
		return ""
	}
	for _, key := range sortedKeys(got) {
		if engine.RawGet(want, key) == lua.LNil {
			return fmt.Sprintf("%s is %s, want nil", step(path, key), render(c.L, engine.RawGet(got, key)))
		}
	}
	return ""
}

// same compares values of which at least one is no table. Numbers that are none equal each other, error values equal
// those of the same text.
func (c *comparison) same(got, want lua.LValue) bool {
	x, ok1 := got.(lua.LNumber)
	y, ok2 := want.(lua.LNumber)
	if ok1 && ok2 {
		return x == y || (math.IsNaN(float64(x)) && math.IsNaN(float64(y)))
	}
	e, ok1 := engine.ErrorOf(got)
	f, ok2 := engine.ErrorOf(want)
	if ok1 && ok2 {
		return e.Error() == f.Error()
	}
	return c.L.Equal(got, want)
}

// step is the path of a key of the table at path.
func step(path string, key lua.LValue) string {
	name, ok := key.(lua.LString)
	switch {
	case !ok || !isName(string(name)):
		return path + "[" + literal(key) + "]"
	case path == "":
		return string(name)
	default:
		return path + "." + string(name)
	}
}
