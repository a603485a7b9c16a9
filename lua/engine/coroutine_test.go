package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlainCoroutines(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{int64(1), int64(3), int64(6), "end", "dead", false, "can not resume a dead thread"}, w.value(`
		local co = coroutine.create(function(a)
			local b = coroutine.yield(a)
			local c = coroutine.yield(a + b)
			return "end", a + b + c
		end)
		local _, one = coroutine.resume(co, 1)
		local _, two = coroutine.resume(co, 2)
		local _, last, three = coroutine.resume(co, 3)
		local ok, err = coroutine.resume(co)
		return {one, two, three, last, coroutine.status(co), ok, err}`))
	require.Equal(t, []any{int64(1), int64(2), int64(3)}, w.value(`
		local out = {}
		for v in coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) do out[#out + 1] = v end
		return out`))
}

func TestCoroutineErrors(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, "app:test:2: inside", w.value(`local ok, err = coroutine.resume(coroutine.create(function() error("inside") end)) return err`))
	require.ErrorContains(t, w.run(`coroutine.wrap(function() error("wrapped") end)()`).Err, "app:test:2: wrapped")
	require.Equal(t, int64(7), w.value(`local ok, err = pcall(coroutine.wrap(function() error({code = 7}) end)) return err.code`))
	require.ErrorContains(t, w.run(`local co = coroutine.wrap(function() end) co() co()`).Err, "can not resume a dead thread")
	require.Equal(t, "fine", w.value(`
		pcall(coroutine.wrap(function() error("x") end))
		return coroutine.wrap(function() return (select(2, coroutine.resume(coroutine.create(function() return "fine" end)))) end)()`),
		"an error in a coroutine does not disturb the next one")
}

func TestCoroutineArguments(t *testing.T) {
	w := newWorld(t)
	for call, want := range map[string]string{
		`coroutine.create(1)`:     "function expected, got number",
		`coroutine.create(print)`: "Lua function expected",
		`coroutine.wrap()`:        "function expected",
		`coroutine.resume(1)`:     "thread expected, got number",
		`coroutine.status({})`:    "thread expected, got table",
		`coroutine.spawn({})`:     "function expected, got table",
		`coroutine.yield(1)`:      "can not yield from outside of a coroutine",
	} {
		require.ErrorContains(t, w.run(call).Err, want, call)
	}
	require.ErrorContains(t, w.run(`
		coroutine.wrap(function() pcall(function() coroutine.yield(1) end) error("reached") end)()`).Err, "reached")
	require.Equal(t, "app:test:2: attempt to yield across pcall or another built-in function",
		w.value(`return (coroutine.wrap(function() local ok, err = pcall(function() coroutine.yield(1) end) return err end)())`))
}

func TestCoroutineStates(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{"suspended", "running", "normal", "suspended", "dead", true, true, true}, w.value(`
		local outer, inner
		local seen = {}
		outer = coroutine.create(function()
			seen[2] = coroutine.status(outer)
			inner = coroutine.create(function() seen[3] = coroutine.status(outer) end)
			coroutine.resume(inner)
			seen[6] = coroutine.running() == outer
			coroutine.yield()
		end)
		seen[1] = coroutine.status(outer)
		seen[7] = coroutine.running() == nil
		coroutine.resume(outer)
		seen[4] = coroutine.status(outer)
		coroutine.resume(outer)
		seen[5] = coroutine.status(outer)
		local ch = channel.new()
		coroutine.spawn(function() ch:send(coroutine.running() == nil) end)
		seen[8] = ch:receive()
		return seen`))
}

func TestResumingWhatRunsIsRefused(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{"cannot resume non-suspended coroutine", "cannot resume non-suspended coroutine", "normal", "value", "dead"}, w.value(`
		local errors, ch, blocked = {}, channel.new(), nil
		local self
		self = coroutine.create(function() errors[1] = select(2, coroutine.resume(self)) end)
		coroutine.resume(self)
		local done, started = channel.new(), channel.new(1)
		coroutine.spawn(function()
			blocked = coroutine.create(function() started:send(1) errors[4] = ch:receive() end)
			coroutine.resume(blocked)
			done:send(coroutine.status(blocked))
		end)
		started:receive()
		errors[2] = select(2, coroutine.resume(blocked))
		errors[3] = coroutine.status(blocked)
		ch:send("value")
		errors[5] = done:receive()
		return errors`))
}

func TestBlockingInsideCoroutinesAndPcall(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{int64(1), int64(2), int64(3), int64(4)}, w.value(`
		local ch, out = channel.new(), {}
		coroutine.spawn(function() for i = 1, 4 do ch:send(i) end end)
		local co = coroutine.create(function()
			out[1] = ch:receive()
			coroutine.yield()
			pcall(function() out[2] = ch:receive() error("x") end)
			coroutine.wrap(function() xpcall(function() out[3] = ch:receive() end, print) end)()
		end)
		assert(coroutine.resume(co))
		assert(coroutine.resume(co))
		out[4] = setmetatable({}, {__index = function() return (ch:receive()) end}).x
		return out`))
}

func TestSpawn(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, int64(5050), w.value(`
		local ch, sum = channel.new(), 0
		for i = 1, 100 do assert(coroutine.spawn(function(a, b) ch:send(a + b) end, i, 0)) end
		for i = 1, 100 do sum = sum + ch:receive() end
		return sum`))
	require.Equal(t, int64(100000), w.value(`
		local n, done = 0, channel.new()
		for i = 1, 10 do coroutine.spawn(function()
			for i = 1, 10000 do n = n + 1 end
			done:send(true)
		end) end
		for i = 1, 10 do done:receive() end
		return n`), "Lua code of a process never runs in parallel")
}

func TestSpawnedCoroutinesSeeTheirUpvalues(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, "changed", w.value(`
		local text, ch = "before", channel.new()
		local function deep(n)
			if n == 0 then
				coroutine.spawn(function() text = "changed" ch:send(1) end)
				ch:receive()
				return
			end
			local a, b, c, d, e, f, g, h = 1, 2, 3, 4, 5, 6, 7, 8
			deep(n - 1)
		end
		deep(1000)
		return text`))
}

func TestABusyReceiverLetsOthersRun(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, true, w.value(`
		local ch, stop, gate = channel.new(1), false, channel.new()
		coroutine.spawn(function() gate:receive() stop = true end)
		coroutine.spawn(function() gate:send(1) end)
		while not stop do
			ch:send(1)
			ch:receive()
		end
		return stop`))
}

func TestStackOverflow(t *testing.T) {
	w := newWorld(t)
	require.ErrorContains(t, w.run(`local function f(n) return 1 + f(n + 1) end f(1)`).Err, "stack overflow")
	require.ErrorContains(t, w.run(`local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x`).Err, "stack overflow")
	require.Equal(t, int64(3000), w.value(`local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end return f(3000)`))
	require.Equal(t, int64(50000), w.value(`local t = {} for i = 1, 50000 do t[i] = i end return select("#", unpack(t))`))
}

func TestCoroutinesInEachOtherAreLimited(t *testing.T) {
	w := newWorld(t)
	// The main function, and 200 coroutines.
	require.Equal(t, []any{int64(201), "too many coroutines in each other: at most 200, with 4096 calls"}, w.value(`
		local deepest, why = 0
		local function deeper(n)
			deepest = math.max(deepest, n)
			local ok, err = coroutine.resume(coroutine.create(deeper), n + 1)
			if not ok then why = why or err end
		end
		deeper(1)
		return {deepest, why}`))
	require.ErrorContains(t, w.run(`local function deeper() coroutine.wrap(deeper)() end deeper()`).Err, "too many coroutines in each other")
	require.Equal(t, int64(1000), w.value(`
		local n = 0
		for i = 1, 1000 do coroutine.wrap(function() n = n + 1 end)() end -- one after the other
		return n`))
}

func TestCallsInNestedCoroutinesAreLimited(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{int64(3), "too many coroutines in each other: at most 200, with 4096 calls"}, w.value(`
		local n, why, deeper = 0
		local function into(calls)
			if calls > 0 then return (pcall(into, calls - 1)) end
			local ok, err = coroutine.resume(coroutine.create(deeper))
			if not ok then why = why or err end
		end
		function deeper()
			n = n + 1
			into(1000)
		end
		deeper()
		return {n, why}`))
}
