// Package channel lets coroutines of a process pass values to each other: the global module channel.
package channel

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/lua/engine"
)

// maxBuffer bounds the values that a channel can buffer.
const maxBuffer = 1 << 20

// Module is the module channel.
type Module struct{}

var _ engine.Global = Module{}

// New returns the module.
func New() Module { return Module{} }

// Name implements engine.Module.
func (Module) Name() string { return "channel" }

// Global implements engine.Global.
func (Module) Global() {}

// Open implements engine.Module.
func (Module) Open(L *lua.LState) *lua.LTable {
	return L.SetFuncs(L.CreateTable(0, 2), map[string]lua.LGFunction{
		"new":    create,
		"select": engine.Select,
	})
}

// create is channel.new(n): n values are buffered, 0 if it is left out.
func create(L *lua.LState) int {
	n := L.OptNumber(1, 0)
	if n < 0 || n > maxBuffer || n != lua.LNumber(int(n)) {
		L.ArgError(1, fmt.Sprintf("buffer size must be an integer from 0 to %d, got %s", maxBuffer, n))
	}
	L.Push(engine.NewChannel(L, int(n)))
	return 1
}
