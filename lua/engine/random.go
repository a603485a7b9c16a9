package engine

import (
	"math/rand/v2"

	lua "github.com/yuin/gopher-lua"
)

// openRandom gives the process random numbers of its own: gopher-lua's math.randomseed would seed those of the whole
// program.
func openRandom(L *lua.LState, math *lua.LTable) {
	source := rand.NewPCG(rand.Uint64(), rand.Uint64()) //nolint:gosec // math.random makes no secrets
	random := rand.New(source)                          //nolint:gosec // math.random makes no secrets
	math.RawSetString("randomseed", L.NewFunction(func(L *lua.LState) int {
		source.Seed(uint64(L.CheckInt64(1)), 0) //nolint:gosec // any bits are a seed
		return 0
	}))
	math.RawSetString("random", L.NewFunction(func(L *lua.LState) int {
		if L.GetTop() == 0 {
			L.Push(lua.LNumber(random.Float64()))
			return 1
		}
		low, high := int64(1), L.CheckInt64(1)
		if L.GetTop() > 1 {
			low, high = high, L.CheckInt64(2)
		}
		if low > high || high-low < 0 || high-low+1 <= 0 {
			L.ArgError(L.GetTop(), "interval is empty")
		}
		L.Push(lua.LNumber(low + random.Int64N(high-low+1)))
		return 1
	}))
}
