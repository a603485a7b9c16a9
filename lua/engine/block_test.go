package engine_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// native is a module of functions given by a test.
type native map[string]lua.LGFunction

func (native) Name() string { return "native" }
func (native) Global()      {}

func (n native) Open(L *lua.LState) *lua.LTable { return L.SetFuncs(L.NewTable(), n) }

func TestAStateThatBelongsToNoProcess(t *testing.T) {
	L := lua.NewState()
	defer L.Close()
	require.PanicsWithValue(t, "engine: this Lua state belongs to no process", func() { engine.FromState(L) })
	L.SetContext(t.Context())
	require.Panics(t, func() { engine.FromState(L) })
}

func TestWhatAModuleKnowsOfItsProcess(t *testing.T) {
	var seen []*engine.Process
	w := newWorld(t, native{"see": func(L *lua.LState) int {
		p := engine.FromState(L)
		seen = append(seen, p)
		p.Logger().LogAttrs(p.Context(), slog.LevelInfo, "seen")
		_, ok := p.Terminal()
		L.Push(lua.LString(p.PID()))
		L.Push(lua.LString(p.ID().String()))
		L.Push(lua.LBool(ok))
		L.Push(lua.LBool(p.Err() == nil && p.Context().Err() == nil))
		return 4
	}})
	require.Equal(t, []any{"app:host#1", "app:test", false, true}, w.value(`
		coroutine.wrap(function() native.see() end)()
		local done = channel.new()
		coroutine.spawn(function() native.see() done:send(1) end)
		done:receive()
		return {native.see()}`))
	require.Len(t, seen, 3)
	for _, p := range seen {
		require.Same(t, seen[0], p, "all threads lead to the same process")
	}
	require.Error(t, seen[0].Context().Err(), "the context ends with the process")
	require.True(t, errs.Is(seen[0].Err(), errs.Canceled))
	require.Contains(t, w.log.String(), "msg=seen process=app:test pid=app:host#1")
}

func TestTerminalOfAProcess(t *testing.T) {
	terminal := engine.NewTerminal(strings.NewReader("in"), &buffer{}, &buffer{}, []string{"a", "b"})
	w := newWorld(t, native{"args": func(L *lua.LState) int {
		tm, ok := engine.FromState(L).Terminal()
		require.True(t, ok)
		require.Same(t, terminal, tm)
		L.Push(lua.LString(strings.Join(tm.Args, " ")))
		return 1
	}})
	w.host("terminal", 0, terminal)
	w.script("test", `function main() return native.args() end`)
	pid, err := w.Spawn(t.Context(), process.Spawn{Process: id("test"), Host: id("terminal")})
	require.NoError(t, err)
	require.Equal(t, "a b", w.wait(pid).Value)
}

func TestWritesToATerminalDoNotMix(t *testing.T) {
	var out buffer
	terminal := engine.NewTerminal(nil, &out, &out, nil)
	w := newWorld(t)
	w.host("terminal", 0, terminal)
	w.script("test", `function main(n) for i = 1, 50 do print(("x"):rep(100)) end end`)
	pids := make([]process.PID, 8)
	for i := range pids {
		var err error
		pids[i], err = w.Spawn(t.Context(), process.Spawn{Process: id("test"), Host: id("terminal")})
		require.NoError(t, err)
	}
	for _, pid := range pids {
		require.NoError(t, w.wait(pid).Err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 400)
	for _, line := range lines {
		require.Len(t, line, 100)
	}
}

func TestBlockReleasesTheLock(t *testing.T) {
	gate := make(chan struct{})
	w := newWorld(t, native{
		"enter": func(L *lua.LState) int {
			v, err := engine.Block(L, func(context.Context) (int, error) {
				<-gate
				return 7, nil
			})
			require.NoError(t, err)
			L.Push(lua.LNumber(v))
			return 1
		},
		"open": func(*lua.LState) int {
			close(gate)
			return 0
		},
	})
	require.Equal(t, int64(70), w.value(`
		local sum, done = 0, channel.new()
		for i = 1, 10 do coroutine.spawn(function() local v = native.enter() sum = sum + v done:send(1) end) end
		native.open()
		for i = 1, 10 do done:receive() end
		return sum`))
}

func TestBlockPassesErrorsOn(t *testing.T) {
	w := newWorld(t, native{"fail": func(L *lua.LState) int {
		_, err := engine.Block(L, func(context.Context) (int, error) { return 0, errs.New(errs.Conflict, "taken") })
		return engine.Fail(L, err)
	}, "canceled": func(L *lua.LState) int {
		_, err := engine.Block(L, func(context.Context) (int, error) { return 0, context.Canceled })
		return engine.Fail(L, err)
	}})
	require.Equal(t, "CONFLICT taken", w.value(`local v, err = native.fail() return err:kind() .. " " .. err`))
	require.Equal(t, "context canceled", w.value(`local v, err = native.canceled() return err:message()`), "another context was cancelled")
}

func TestBlockInATerminatedProcess(t *testing.T) {
	var mu sync.Mutex
	var after []error
	begun := make(chan struct{})
	w := newWorld(t, native{"block": func(L *lua.LState) int {
		for range 2 { // the second call does not even begin
			_, err := engine.Block(L, func(ctx context.Context) (int, error) {
				close(begun)
				<-ctx.Done()
				return 0, context.Cause(ctx)
			})
			mu.Lock()
			after = append(after, err)
			mu.Unlock()
		}
		return 0
	}})
	w.script("test", `function main() native.block() end`)
	pid := w.spawn("test")
	within(t, begun)
	require.NoError(t, w.Terminate(t.Context(), pid))
	w.wait(pid)
	require.Len(t, after, 2)
	for _, err := range after {
		require.EqualError(t, err, `lua: process "app:test": terminated`)
		require.True(t, errs.Is(err, errs.Canceled))
	}
}

func TestOnEndAfterTheEndRunsAtOnce(t *testing.T) {
	var p *engine.Process
	w := newWorld(t, native{"keep": func(L *lua.LState) int {
		p = engine.FromState(L)
		return 0
	}})
	w.value(`native.keep()`)
	ran := false
	remove := p.OnEnd(func() { ran = true })
	require.True(t, ran)
	remove()
}

func TestOnEndMayAddAnother(t *testing.T) {
	var order []string
	w := newWorld(t, native{"register": func(L *lua.LState) int {
		p := engine.FromState(L)
		p.OnEnd(func() { order = append(order, "first") })
		p.OnEnd(func() {
			order = append(order, "second")
			p.OnEnd(func() { order = append(order, "late") })
		})
		return 0
	}})
	w.value(`native.register()`)
	require.Equal(t, []string{"second", "late", "first"}, order)
}

func TestOnEndRunsWhenNoLuaCodeRunsAnyMore(t *testing.T) {
	running, ended := 0, -1
	w := newWorld(t, native{
		"register": func(L *lua.LState) int {
			engine.FromState(L).OnEnd(func() { ended = running })
			return 0
		},
		"work": func(L *lua.LState) int {
			running++
			_, _ = engine.Block(L, func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			})
			running--
			return 0
		},
	})
	require.Error(t, w.run(`
		native.register()
		for i = 1, 20 do coroutine.spawn(native.work) end
		coroutine.spawn(function() error("stop") end)
		native.work()`).Err)
	require.Zero(t, ended)
}
