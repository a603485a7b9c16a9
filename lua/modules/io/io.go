// Package io is the Lua module that reads and writes the terminal of processes on a terminal.host.
//
//	local io = require("io")
//	io.print("a", 1, true)        -- separated by tabs, then a newline
//	io.write("no newline")
//	io.eprint("to standard error")
//	local line = io.readline()    -- without its newline; nil at the end of the input
//	local text = io.read(100)     -- 100 bytes, fewer only at the end, where it is nil; io.read() reads all
//	io.args()                     -- {"first", "second"}: the arguments of the command line
//	io.flush()                    -- nothing is held back, so there is nothing to do
//
// Writing calls return true. What one call writes is not mixed with what others write. On other hosts every call
// raises: a script that prints looks at no result.
package io

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
	"github.com/wippy-cdc/runtime/lua/modules/internal/value"
)

// Module is the module io.
type Module struct {
	mu sync.Mutex
	// inputs holds what was read of a terminal but not taken: it belongs to the terminal, not to a process.
	inputs map[*engine.Terminal]*input
}

// New returns the module.
func New() *Module { return &Module{inputs: make(map[*engine.Terminal]*input)} }

// Name implements engine.Module.
func (*Module) Name() string { return "io" }

// Open implements engine.Module.
func (m *Module) Open(L *lua.LState) *lua.LTable {
	t := L.CreateTable(0, 7)
	for name, f := range map[string]func(L *lua.LState, name string, on *engine.Terminal) int{
		"print": func(L *lua.LState, name string, on *engine.Terminal) int {
			return write(L, name, on.Stdout, "\t", "\n")
		},
		"write": func(L *lua.LState, name string, on *engine.Terminal) int { return write(L, name, on.Stdout, "", "") },
		"eprint": func(L *lua.LState, name string, on *engine.Terminal) int {
			return write(L, name, on.Stderr, "\t", "\n")
		},
		"read":     m.read,
		"readline": m.readline,
		"flush":    flush,
		"args":     args,
	} {
		t.RawSetString(name, L.NewFunction(func(L *lua.LState) int {
			p := engine.FromState(L)
			terminal, ok := p.Terminal()
			if !ok {
				return engine.Misuse(L, fmt.Errorf(
					"io: %s: process %q has no terminal: run it on a terminal.host, or use the module logger", name, p.ID()))
			}
			return f(L, name, terminal)
		}))
	}
	return t
}

// write writes all arguments in one call, so that nothing comes between them.
func write(L *lua.LState, name string, to io.Writer, separator, end string) int {
	words := make([]string, L.GetTop())
	for i := range words {
		words[i] = L.ToStringMeta(L.Get(i + 1)).String()
	}
	text := strings.Join(words, separator) + end
	_, err := engine.Block(L, func(context.Context) (int, error) { return io.WriteString(to, text) })
	if err != nil {
		return engine.Fail(L, fmt.Errorf("io: %s: %w", name, err))
	}
	L.Push(lua.LTrue)
	return 1
}

func (m *Module) read(L *lua.LState, name string, on *engine.Terminal) int {
	wanted := cut(toTheEnd)
	switch v := L.Get(1).(type) {
	case *lua.LNilType:
	case lua.LNumber:
		n, whole := value.Whole(v)
		if !whole || n < 1 || n > math.MaxInt32 {
			L.ArgError(1, fmt.Sprintf("the number of bytes is %s, must be a whole number from 1 to %d", v, math.MaxInt32))
		}
		wanted = bytesOf(int(n))
	default:
		L.ArgError(1, fmt.Sprintf("the number of bytes is %s, must be a number", option.Describe(v)))
	}
	return m.take(L, name, on, wanted, func(s string) string { return s })
}

func (m *Module) readline(L *lua.LState, name string, on *engine.Terminal) int {
	return m.take(L, name, on, line, func(s string) string {
		return strings.TrimSuffix(strings.TrimSuffix(s, "\n"), "\r")
	})
}

func (m *Module) take(L *lua.LState, name string, on *engine.Terminal, wanted cut, trim func(string) string) int {
	in := m.input(on)
	taken, err := engine.Block(L, func(ctx context.Context) ([]byte, error) { return in.take(ctx, wanted) })
	switch {
	case errors.Is(err, io.EOF):
		L.Push(lua.LNil)
	case err != nil:
		return engine.Fail(L, fmt.Errorf("io: %s: %w", name, err))
	default:
		L.Push(lua.LString(trim(string(taken))))
	}
	return 1
}

func (m *Module) input(of *engine.Terminal) *input {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.inputs[of] == nil {
		m.inputs[of] = &input{from: of.Stdin}
	}
	return m.inputs[of]
}

func flush(L *lua.LState, _ string, _ *engine.Terminal) int {
	L.Push(lua.LTrue)
	return 1
}

func args(L *lua.LState, _ string, on *engine.Terminal) int {
	t := L.CreateTable(len(on.Args), 0)
	for _, arg := range on.Args {
		t.Append(lua.LString(arg))
	}
	L.Push(t)
	return 1
}
