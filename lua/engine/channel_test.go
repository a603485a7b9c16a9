package engine_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
)

func TestBufferedChannel(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{true, true, int64(1), true, int64(2), true, "nil", false, "nil", false}, w.value(`
		local ch, r = channel.new(2), {}
		r[1], r[2] = ch:send(1), ch:send(2)
		ch:close()
		for i = 3, 9, 2 do
			local v, ok = ch:receive()
			r[i] = v or "nil"
			r[i + 1] = ok
		end
		return r`))
}

func TestUnbufferedChannelIsARendezvous(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, "sending received sent", w.value(`
		local ch, done, log = channel.new(), channel.new(), {}
		coroutine.spawn(function()
			log[#log + 1] = "sending"
			ch:send("received")
			log[#log + 1] = "sent"
			done:send(true)
		end)
		local v = ch:receive()
		log[#log + 1] = v
		done:receive()
		table.sort(log, function(a, b) return a == "sending" or b == "sent" and a ~= "sent" end)
		return table.concat(log, " ")`))
}

func TestChannelOrderIsFirstComeFirstServed(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{int64(1), int64(2), int64(3), int64(4), int64(5)}, w.value(`
		local ch, got, started = channel.new(2), {}, channel.new(5)
		for i = 1, 5 do
			coroutine.spawn(function() started:send(i) ch:send(i) end)
			started:receive()
		end
		while #got < 5 do got[#got + 1] = ch:receive() end
		table.sort(got)
		return got`))
	require.Equal(t, true, w.value(`
		local ch = channel.new(3)
		coroutine.spawn(function() for i = 1, 1000 do ch:send(i) end ch:close() end)
		local last = 0
		while true do
			local v, ok = ch:receive()
			if not ok then return last == 1000 end
			if v ~= last + 1 then return v end
			last = v
		end`))
}

func TestChannelCarriesAnyValue(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, true, w.value(`
		local ch, t, f = channel.new(4), {}, function() end
		ch:send(t) ch:send(f) ch:send(nil) ch:send(ch)
		local a, b = ch:receive(), ch:receive()
		local v, ok = ch:receive()
		return a == t and b == f and v == nil and ok == true and ch:receive() == ch`))
}

func TestClosedChannel(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, "INVALID: channel: send: the channel is closed", w.value(`
		local ch = channel.new()
		assert(ch:close() == true and ch:close() == true)
		local ok, err = ch:send(1)
		assert(ok == nil)
		return err:kind() .. ": " .. err`))
	require.Equal(t, []any{false, "channel: send: the channel is closed"}, w.value(`
		local a, b, started, results = channel.new(), channel.new(), channel.new(2), channel.new(2)
		coroutine.spawn(function() started:send(1) local _, ok = a:receive() results:send(ok) end)
		coroutine.spawn(function() started:send(1) local _, err = b:send(1) results:send(tostring(err)) end)
		started:receive() started:receive()
		a:close()
		local r = {}
		r[1] = results:receive()
		b:close()
		r[2] = results:receive()
		return r`), "blocked coroutines wake up")
}

func TestSelect(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{true, "b", true, true, true}, w.value(`
		local a, b = channel.new(), channel.new(1)
		b:send("b")
		local r = channel.select{a:case_receive(), b:case_receive()}
		return {r.channel == b, r.value, r.ok, r.default == nil, channel.select{a:case_receive(), default = true}.default}`))
	require.Equal(t, []any{true, true, "sent"}, w.value(`
		local a, b = channel.new(), channel.new()
		local started = channel.new(1)
		local got = channel.new(1)
		coroutine.spawn(function() started:send(1) got:send((b:receive())) end)
		started:receive()
		local r = channel.select{a:case_receive(), b:case_send("sent")}
		return {r.channel == b, r.ok, (got:receive())}`))
	require.Equal(t, []any{true, false}, w.value(`
		local a = channel.new()
		a:close()
		local r = channel.select{a:case_receive()}
		local s = channel.select{a:case_send(1)}
		return {r.ok == false and r.value == nil and r.channel == a, s.ok}`))
	require.Equal(t, []any{"late", true, true}, w.value(`
		local a, b = channel.new(), channel.new()
		coroutine.spawn(function() b:send("late") end)
		local r = channel.select{a:case_receive(), b:case_receive()}
		return {r.value, r.ok, channel.select{a:case_send(1), default = true}.default}`))
	require.Equal(t, true, w.value(`
		local a = channel.new()
		local started = channel.new(1)
		local result = channel.new(1)
		coroutine.spawn(function() started:send(1) result:send(channel.select{a:case_receive(), a:case_send(2)}) end)
		started:receive()
		a:close()
		return result:receive().ok == false`))
}

func TestSelectIsFair(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, true, w.value(`
		local a, b = channel.new(1000), channel.new(1000)
		for i = 1, 1000 do a:send("a") b:send("b") end
		local n = {a = 0, b = 0}
		for i = 1, 1000 do
			local v = channel.select{a:case_receive(), b:case_receive()}.value
			n[v] = n[v] + 1
		end
		return n.a > 300 and n.b > 300`))
}

func TestSelectWithManyCoroutines(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, int64(3*200*201/2), w.value(`
		local chans, done, sum = {channel.new(), channel.new(2), channel.new()}, channel.new(), 0
		for _, ch in ipairs(chans) do
			coroutine.spawn(function() for i = 1, 200 do ch:send(i) end ch:close() end)
		end
		for i = 1, 4 do
			coroutine.spawn(function()
				local open = {true, true, true}
				while open[1] or open[2] or open[3] do
					local cases = {}
					for i, ch in ipairs(chans) do if open[i] then cases[#cases + 1] = ch:case_receive() end end
					local r = channel.select(cases)
					if r.ok then sum = sum + r.value
					else for i, ch in ipairs(chans) do if ch == r.channel then open[i] = false end end end
				end
				done:send(true)
			end)
		end
		for i = 1, 4 do done:receive() end
		return sum`))
}

func TestChannelArguments(t *testing.T) {
	w := newWorld(t)
	for call, want := range map[string]string{
		`channel.new(-1)`:               "buffer size must be an integer from 0 to 1048576, got -1",
		`channel.new(1.5)`:              "buffer size must be an integer",
		`channel.new(2^21)`:             "buffer size must be an integer",
		`channel.new("x")`:              "number expected, got string",
		`channel.new():send()`:          "value expected",
		`channel.new().receive()`:       "channel expected, got nil",
		`channel.new().close({})`:       "channel expected, got table",
		`channel.select()`:              "table expected",
		`channel.select{}`:              "no case: select would wait for ever",
		`channel.select{channel.new()}`: "case 1 is a userdata: make cases with ch:case_receive() and ch:case_send(v)",
		`channel.select{1}`:             "case 1 is a number",
		`channel.select{channel.new():case_receive(), timeout = 1}`: `unknown option "timeout": only default is allowed beside the cases`,
		`channel.new():case_send()`:                                 "value expected",
	} {
		require.ErrorContains(t, w.run(call).Err, want, call)
	}
	require.Contains(t, w.value(`return tostring(channel.new())`), "channel: 0x")
	require.Equal(t, true, w.value(`return channel.select{default = true}.default`))
}

// tap is a module with producers that tests fill: tap.open(name) is their channel.
type tap struct {
	producers map[string]*producer
}

type producer struct {
	mu     sync.Mutex
	items  []lua.LValue
	ended  bool
	closed int
	ready  chan struct{}
}

func newTap(names ...string) *tap {
	p := &tap{producers: map[string]*producer{}}
	for _, name := range names {
		p.producers[name] = &producer{ready: make(chan struct{}, 1)}
	}
	return p
}

func (*tap) Name() string { return "tap" }
func (*tap) Global()      {}

func (p *tap) Open(L *lua.LState) *lua.LTable {
	return L.SetFuncs(L.NewTable(), map[string]lua.LGFunction{"open": func(L *lua.LState) int {
		L.Push(engine.NewProducerChannel(L, p.producers[L.CheckString(1)]))
		return 1
	}})
}

func (p *producer) Poll(*lua.LState) (v lua.LValue, open, ready bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.items) > 0 {
		v, p.items = p.items[0], p.items[1:]
		return v, true, true
	}
	return nil, !p.ended, p.ended
}

func (p *producer) Ready() <-chan struct{} { return p.ready }

func (p *producer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed++
}

func (p *producer) put(n int, end bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range n {
		p.items = append(p.items, lua.LNumber(i+1))
	}
	p.ended = end
	select {
	case p.ready <- struct{}{}:
	default:
	}
}

func TestProducer(t *testing.T) {
	p := newTap("a")
	w := newWorld(t, p)
	p.producers["a"].put(3, true)
	require.Equal(t, []any{int64(1), int64(2), int64(3), false}, w.value(`
		local ch, r = tap.open("a"), {}
		for i = 1, 3 do r[i] = ch:receive() end
		r[4] = select(2, ch:receive())
		return r`))
	require.Equal(t, 1, p.producers["a"].closed, "the end closes the producer, and only once")
}

func TestProducerIsClosedWithItsProcess(t *testing.T) {
	p := newTap("a")
	w := newWorld(t, p)
	w.value(`local ch = tap.open("a") coroutine.spawn(function() ch:receive() end) local _ = channel.select{ch:case_receive(), default = true}`)
	require.Equal(t, 1, p.producers["a"].closed)
}

func TestProducerIsReceiveOnly(t *testing.T) {
	w := newWorld(t, newTap("a"))
	for _, call := range []string{`ch:send(1)`, `ch:close()`} {
		require.Equal(t, "INVALID", w.value(`local ch = tap.open("a") local ok, err = `+call+` return err:kind()`))
	}
	require.Equal(t, false, w.value(`return channel.select{tap.open("a"):case_send(1)}.ok`))
}

func TestProducerWakesAllItsReceivers(t *testing.T) {
	p, marks := newTap("a"), &probe{}
	w := newWorld(t, p, marks)
	w.script("test", `function main()
		local ch, done, n = tap.open("a"), channel.new(), 0
		for i = 1, 10 do
			coroutine.spawn(function()
				while true do
					local v, ok
					if i % 2 == 0 then v, ok = ch:receive()
					else local r = channel.select{ch:case_receive(), channel.new():case_receive()} v, ok = r.value, r.ok end
					if not ok then break end
					n = n + 1
				end
				done:send(true)
			end)
		end
		probe.mark("waiting")
		for i = 1, 10 do done:receive() end
		return n
	end`)
	pid := w.spawn("test")
	within(t, marks.get("waiting"))
	for range 100 {
		p.producers["a"].put(3, false)
	}
	p.producers["a"].put(0, true) // one token ends ten receivers
	exit := w.wait(pid)
	require.NoError(t, exit.Err)
	require.Equal(t, int64(300), exit.Value)
}

func TestSelectMixesFeedsAndChannels(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f"}
	for n := range len(names) + 1 {
		p, marks := newTap(names...), &probe{}
		w := newWorld(t, p, marks)
		w.script("test", `function main(names)
			local own = channel.new()
			local cases, sum = {own:case_receive()}, 0
			for i, name in ipairs(names) do cases[i + 1] = tap.open(name):case_receive() end
			coroutine.spawn(function() probe.mark("waiting") for i = 1, 50 do own:send(i) end end)
			for i = 1, 50 + 50 * #names do sum = sum + channel.select(cases).value end
			return sum
		end`)
		list := make([]any, n)
		for i := range list {
			list[i] = names[i]
		}
		pid := w.spawn("test", list)
		within(t, marks.get("waiting"))
		for _, name := range names[:n] {
			p.producers[name].put(50, false)
		}
		exit := w.wait(pid)
		require.NoError(t, exit.Err)
		require.Equal(t, int64((n+1)*50*51/2), exit.Value)
	}
}

func TestBlockedOnManyFeedsIsTerminated(t *testing.T) {
	p, marks := newTap("a", "b", "c", "d", "e"), &probe{}
	w := newWorld(t, p, marks)
	w.script("test", `function main()
		local cases = {}
		for _, name in ipairs{"a", "b", "c", "d", "e"} do cases[#cases + 1] = tap.open(name):case_receive() end
		coroutine.spawn(function() probe.mark("here") end)
		channel.select(cases)
	end`)
	pid := w.spawn("test")
	within(t, marks.get("here"))
	require.NoError(t, w.Terminate(t.Context(), pid))
	require.True(t, errs.Is(w.wait(pid).Err, errs.Canceled))
	require.Equal(t, 1, p.producers["e"].closed)
}

// endless is a producer that always has a value.
type endless struct{ tap }

func (*endless) Poll(*lua.LState) (v lua.LValue, open, ready bool) { return lua.LTrue, true, true }
func (*endless) Ready() <-chan struct{}                            { return nil }
func (*endless) Close()                                            {}
func (e *endless) Open(L *lua.LState) *lua.LTable {
	tb := L.NewTable()
	tb.RawSetString("channel", engine.NewProducerChannel(L, e))
	return tb
}

func TestABusyFeedLetsOthersRun(t *testing.T) {
	w := newWorld(t, &endless{})
	require.Equal(t, true, w.value(`
		local stop = false
		coroutine.spawn(function() stop = true end)
		while not stop do tap.channel:receive() end
		return stop`))
}

func BenchmarkReceive(b *testing.B) {
	for name, body := range map[string]string{
		"producer":   `local ch = tap.channel for i = 1, n do ch:receive() end`,
		"select":     `local ch, other = tap.channel, channel.new() for i = 1, n do channel.select{ch:case_receive(), other:case_receive()} end`,
		"buffered":   `local ch = channel.new(1) for i = 1, n do ch:send(i) ch:receive() end`,
		"rendezvous": `local ch = channel.new() coroutine.spawn(function() for i = 1, n do ch:send(i) end end) for i = 1, n do ch:receive() end`,
		"nothing":    `local f = math.abs for i = 1, n do f(i) end`,
	} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, &endless{})
			w.script("bench", "function main(n) "+body+" end")
			b.ResetTimer()
			require.NoError(b, w.wait(w.spawn("bench", b.N)).Err)
		})
	}
}
