package engine_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/lua/engine"
)

// BenchmarkCancelContext compares what being able to stop a script costs: nothing that could stop it, a context of
// package context, and the engine's own.
func BenchmarkCancelContext(b *testing.B) {
	scripts := []struct{ name, source string }{
		{"loop", `local n = 0; for i = 1, 100000 do n = n + i % 7 end`},
		{"call", `local function f(a) return a + 1 end; local n = 0; for i = 1, 20000 do n = f(n) end`},
		{"table", `for i = 1, 2000 do local t = {a = i, b = 2, c = 3}; t.d = t.a + t.b; t[1] = t.d end`},
		{"string", `local t = {}; for i = 1, 2000 do t[i] = ("x"):rep(3) .. i end; table.concat(t, ",")`},
	}
	contexts := []struct {
		name string
		set  func(b *testing.B, L *lua.LState)
	}{
		{"none", func(*testing.B, *lua.LState) {}},
		{"std", func(b *testing.B, L *lua.LState) {
			b.Helper()
			ctx, cancel := context.WithCancel(b.Context())
			b.Cleanup(cancel)
			L.SetContext(ctx)
		}},
		{"engine", func(_ *testing.B, L *lua.LState) { L.SetContext(engine.NewCancelContext()) }},
	}
	for _, s := range scripts {
		for _, c := range contexts {
			b.Run(s.name+"/"+c.name, func(b *testing.B) {
				L := lua.NewState()
				defer L.Close()
				c.set(b, L)
				f, err := L.LoadString(s.source)
				require.NoError(b, err)
				for b.Loop() {
					require.NoError(b, L.CallByParam(lua.P{Fn: f, Protect: true}))
				}
			})
		}
	}
}
