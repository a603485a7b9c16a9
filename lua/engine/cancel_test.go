package engine_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// probe is a module that lets tests meet scripts: mark(name) tells the test, block() blocks until the process ends.
type probe struct {
	mu    sync.Mutex
	marks map[string]chan struct{}
	ends  []string
}

func (*probe) Name() string { return "probe" }
func (*probe) Global()      {}

func (p *probe) Open(L *lua.LState) *lua.LTable {
	return L.SetFuncs(L.NewTable(), map[string]lua.LGFunction{
		"mark": func(L *lua.LState) int {
			p.mark(L.CheckString(1))
			return 0
		},
		"block": func(L *lua.LState) int {
			mark := L.OptString(1, "")
			_, err := engine.Block(L, func(ctx context.Context) (int, error) {
				p.mark(mark)
				<-ctx.Done()
				return 0, ctx.Err()
			})
			return engine.Fail(L, err)
		},
		"ready": func(L *lua.LState) int {
			engine.FromState(L).SayReady()
			return 0
		},
		"panics": func(L *lua.LState) int {
			v, err := engine.Block(L, func(context.Context) (int, error) { panic("in Go") })
			L.Push(lua.LNumber(v))
			L.Push(engine.ErrorValue(L, err))
			return 2
		},
		"on_end": func(L *lua.LState) int {
			name := L.CheckString(1)
			remove := engine.FromState(L).OnEnd(func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.ends = append(p.ends, name)
			})
			L.Push(L.NewFunction(func(*lua.LState) int {
				remove()
				return 0
			}))
			return 1
		},
	})
}

func (p *probe) get(name string) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.marks == nil {
		p.marks = map[string]chan struct{}{}
	}
	if p.marks[name] == nil {
		p.marks[name] = make(chan struct{})
	}
	return p.marks[name]
}

func (p *probe) mark(name string) { close(p.get(name)) }

// stubborn are bodies that do not end by themselves, each marking "here" when it has begun.
func stubborn() map[string]string {
	return map[string]string{
		"loop":              `probe.mark("here") while true do end`,
		"repeat":            `probe.mark("here") repeat local x = 1 until false`,
		"for":               `probe.mark("here") for i = 1, math.huge do local x = i end`,
		"pcall in a loop":   `probe.mark("here") local function f() error("x") end while true do pcall(f) end`,
		"loop in pcall":     `probe.mark("here") while true do pcall(function() while true do end end) end`,
		"xpcall":            `probe.mark("here") while true do xpcall(function() while true do end end, function(e) while true do end end) end`,
		"recursion":         `probe.mark("here") local function f() return f() end f()`,
		"coroutine":         `local co = coroutine.wrap(function() probe.mark("here") while true do end end) while true do pcall(co) end`,
		"yielding":          `probe.mark("here") local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end`,
		"metamethod":        `local t = setmetatable({}, {__index = function() probe.mark("here") while true do end end}) while true do pcall(function() return t.x end) end`,
		"sort":              `probe.mark("here") while true do pcall(table.sort, {3, 2, 1}, function() while true do end end) end`,
		"gsub":              `probe.mark("here") while true do ("a"):gsub("a", function() while true do end end) end`,
		"block":             `probe.block("here")`,
		"block in pcall":    `pcall(function() probe.block("here") end) while true do pcall(probe.block, "again") end`,
		"block in a thread": `coroutine.wrap(function() probe.block("here") end)()`,
		"receive":           `local ch = channel.new() coroutine.spawn(function() probe.mark("here") end) while true do pcall(ch.receive, ch) end`,
		"send":              `local ch = channel.new() coroutine.spawn(function() probe.mark("here") end) while true do pcall(ch.send, ch, 1) end`,
		"select":            `local ch = channel.new() coroutine.spawn(function() probe.mark("here") end) while true do pcall(channel.select, {ch:case_receive(), ch:case_send(1)}) end`,
		"spawned loop":      `coroutine.spawn(function() probe.mark("here") while true do end end) channel.new():receive()`,
		"many":              `for i = 1, 50 do coroutine.spawn(function() local ch = channel.new() ch:receive() end) end coroutine.spawn(function() probe.mark("here") end) channel.new():receive()`,
	}
}

func TestTerminateEndsEverything(t *testing.T) {
	for name, body := range stubborn() {
		t.Run(name, func(t *testing.T) {
			p := &probe{}
			w := newWorld(t, p)
			w.script("test", "function main()\n"+body+"\nend")
			pid := w.spawn("test")
			within(t, p.get("here"))
			require.NoError(t, w.Terminate(t.Context(), pid))
			exit := w.wait(pid)
			require.True(t, errs.Is(exit.Err, errs.Canceled), "%v", exit.Err)
			require.EqualError(t, exit.Err, `lua: process "app:test": terminated`)
		})
	}
}

func TestCancelEndsWhatDoesNotListen(t *testing.T) {
	p := &probe{}
	w := newWorld(t, p)
	w.script("test", `function main() probe.mark("here") while true do end end`)
	pid := w.spawn("test")
	within(t, p.get("here"))
	require.NoError(t, w.Cancel(t.Context(), pid), "a context without an end")
	require.True(t, errs.Is(w.wait(pid).Err, errs.Canceled))
}

func TestMethodThatReturnsEndsItsCoroutines(t *testing.T) {
	for name, body := range stubborn() {
		t.Run(name, func(t *testing.T) {
			p := &probe{}
			w := newWorld(t, p)
			w.script("test", `function main()
				coroutine.spawn(function() `+body+` end)
				return "done"
			end`)
			pid := w.spawn("test")
			exit := w.wait(pid)
			require.NoError(t, exit.Err)
			require.Equal(t, "done", exit.Value)
		})
	}
}

func TestCoroutineThatFailsFailsTheProcess(t *testing.T) {
	for name, main := range map[string]string{
		"blocked": `channel.new():receive()`, "looping": `while true do pcall(function() local x = channel.new(1):send(1) end) end`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.script("test", "function main()\n local go = channel.new()\n coroutine.spawn(function()\n  go:receive()\n  error('deep')\n end)\n go:send(1)\n "+main+"\nend")
			err := w.wait(w.spawn("test")).Err
			require.ErrorContains(t, err, "app:test:5: deep")
			require.ErrorContains(t, err, "stack traceback:")
		})
	}
}

func TestGoPanicIsAScriptError(t *testing.T) {
	w := newWorld(t, &probe{})
	require.Equal(t, "false in Go", w.value(`local ok, err = pcall(probe.panics) return tostring(ok) .. " " .. tostring(err)`))
	require.ErrorContains(t, w.run(`probe.panics()`).Err, "in Go")
}

// broken is a module that cannot be opened.
type broken struct{}

func (broken) Name() string                 { return "broken" }
func (broken) Global()                      {}
func (broken) Open(*lua.LState) *lua.LTable { panic("cannot open") }

func TestModuleThatPanicsFailsItsProcessOnly(t *testing.T) {
	w := newWorld(t, broken{})
	require.ErrorContains(t, w.run(`return 1`).Err, "cannot open")
}

func TestOnEndRunsNewestFirst(t *testing.T) {
	p := &probe{}
	w := newWorld(t, p)
	w.value(`probe.on_end("a") local remove = probe.on_end("b") probe.on_end("c") remove() remove()
		coroutine.spawn(function() probe.on_end("d") end) coroutine.spawn(function() probe.block("x") end)
		local ch = channel.new() coroutine.spawn(function() ch:send(1) end) ch:receive()`)
	require.Contains(t, [][]string{{"d", "c", "a"}, {"c", "a"}}, p.ends)
	require.Error(t, w.run(`probe.on_end("failed") error("x")`).Err)
	require.Contains(t, p.ends, "failed")
}

func TestWaitTerminateCancelOfWhatIsNotThere(t *testing.T) {
	w := newWorld(t)
	_, err := w.Wait(t.Context(), "app:host#99")
	require.EqualError(t, err, `lua: wait "app:host#99": there is no such process, or it has ended`)
	for _, err := range []error{err, w.Cancel(t.Context(), "nobody"), w.Terminate(t.Context(), "nobody")} {
		require.True(t, errs.Is(err, errs.NotFound))
	}
	w.script("test", `function main() end`)
	pid := w.spawn("test")
	w.wait(pid)
	_, err = w.Wait(t.Context(), pid)
	require.True(t, errs.Is(err, errs.NotFound), "a process is forgotten when its end was told")
}

func TestOnlyOneWaits(t *testing.T) {
	p := &probe{}
	w := newWorld(t, p)
	w.script("test", `function main() probe.block("here") end`)
	pid := w.spawn("test")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Wait(ctx, pid)
	require.ErrorIs(t, err, context.Canceled)

	ended := make(chan process.Exit, 1)
	other := make(chan error, 1)
	for range 2 {
		go func() {
			exit, err := w.Wait(t.Context(), pid)
			if err != nil {
				other <- err
				return
			}
			ended <- exit
		}()
	}
	err = <-other
	require.True(t, errs.Is(err, errs.Conflict), "%v", err)
	require.NoError(t, w.Terminate(t.Context(), pid))
	require.True(t, errs.Is((<-ended).Err, errs.Canceled))
}

func TestTerminateWaitsForItsContextOnly(t *testing.T) {
	s := &sleeper{begun: make(chan struct{}), end: make(chan struct{})}
	w := newWorld(t, s)
	w.script("test", `function main() sleeper.sleep() end`)
	pid := w.spawn("test")
	within(t, s.begun)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, w.Terminate(ctx, pid), "it has not ended yet: context canceled")
	close(s.end)
	require.True(t, errs.Is(w.wait(pid).Err, errs.Canceled))
}

// sleeper is a module with a call that ignores the end of its process.
type sleeper struct{ begun, end chan struct{} }

func (*sleeper) Name() string { return "sleeper" }
func (*sleeper) Global()      {}

func (s *sleeper) Open(L *lua.LState) *lua.LTable {
	return L.SetFuncs(L.NewTable(), map[string]lua.LGFunction{"sleep": func(L *lua.LState) int {
		_, err := engine.Block(L, func(context.Context) (int, error) {
			close(s.begun)
			<-s.end
			return 0, nil
		})
		return engine.Fail(L, err)
	}})
}

func TestStartStopStress(t *testing.T) {
	p := &probe{}
	w := newWorld(t, p)
	w.script("test", `function main(n)
		for i = 1, n % 5 do coroutine.spawn(function() local ch = channel.new() ch:receive() end) end
		if n % 3 == 0 then return n end
		if n % 3 == 1 then error("odd") end
		channel.new():receive()
	end`)
	const rounds = 300
	var wg sync.WaitGroup
	for i := range rounds {
		wg.Go(func() {
			pid, err := w.Spawn(t.Context(), process.Spawn{Process: id("test"), Host: hostID, Args: []any{i}})
			if err != nil {
				t.Error(err)
				return
			}
			if i%2 == 0 && i%3 == 2 {
				err = w.Cancel(t.Context(), pid)
			} else if i%3 == 2 {
				err = w.Terminate(t.Context(), pid)
			}
			if err != nil {
				t.Error(err)
			}
			exit, err := w.Wait(t.Context(), pid)
			if err != nil || (i%3 == 0 && exit.Err != nil) || (i%3 != 0 && exit.Err == nil) {
				t.Errorf("%d: %v %v", i, err, exit)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(limit):
		require.Fail(t, "processes hang")
	}
}
