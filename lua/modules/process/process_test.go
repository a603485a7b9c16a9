package process_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	processmodule "github.com/wippy-cdc/runtime/lua/modules/process"
	timemodule "github.com/wippy-cdc/runtime/lua/modules/time"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newWorld(t *testing.T) *scripttest.World {
	t.Helper()
	return scripttest.New(t, channel.New(), processmodule.New(), timemodule.New())
}

// add makes a script known as app:name.
func add(t *testing.T, w *scripttest.World, name, body string) {
	t.Helper()
	require.NoError(t, w.AddProcess(&registry.Entry{ID: scripttest.ID(name), Kind: process.KindLua, Config: &process.LuaConfig{
		Code: process.Code{Source: "function main(...)\n" + body + "\nend", Modules: []string{"time"}}, Method: "main",
	}}))
}

func TestIdentity(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{"app:host#1", "app:test"}, w.Value(`return {process.pid(), process.id()}`))
	require.Equal(t, true, w.Value(`return require("process") == process`))
}

func TestSpawnAndExit(t *testing.T) {
	w := newWorld(t)
	add(t, w, "child", `local how, value = ... if how == "fail" then error(value) end return value`)
	require.Equal(t, []any{"pid.exit", true, map[string]any{"n": int64(1)}, "nil"}, w.Value(`
		local pid, err = process.spawn("child", "host", "return", {n = 1})
		assert(pid, err)
		local event = process.events():receive()
		return {event.kind, event.from == pid, event.result, tostring(event.error)}`))
	require.Equal(t, []any{"nil", "UNKNOWN", true}, w.Value(`
		process.spawn("app:child", "app:host", "fail", "broken")
		local event = process.events():receive()
		return {tostring(event.result), event.error:kind(), event.error:message():find("app:child:2: broken", 1, true) ~= nil}`))
	require.Equal(t, int64(45), w.Value(`
		local sum = 0
		for i = 0, 9 do assert(process.spawn("child", "host", "return", i)) end
		for i = 0, 9 do sum = sum + process.events():receive().result end
		return sum`))
}

func TestSpawnErrors(t *testing.T) {
	w := newWorld(t)
	add(t, w, "child", ``)
	for call, want := range map[string]string{
		`process.spawn("nobody", "host")`:      `NOT_FOUND lua: spawn "app:nobody": there is no such process.lua entry; there are app:child, app:test`,
		`process.spawn("other:child", "host")`: `NOT_FOUND lua: spawn "other:child"`,
		`process.spawn("child", "nowhere")`:    `UNAVAILABLE lua: spawn "app:child": host "app:nowhere" is not running`,
	} {
		require.Contains(t, w.Value(`local pid, err = `+call+` assert(pid == nil) return err:kind() .. " " .. err`), want, call)
	}
	for call, want := range map[string]string{
		`process.spawn("a b", "host")`:             `process: spawn: process: "a b" is not an entry ID: write namespace:name`,
		`process.spawn("child", "")`:               `process: spawn "app:child": host: "" is not an entry ID`,
		`process.spawn("child", "host", 1, print)`: `process: spawn "app:child": argument 4: a function cannot leave its process`,
	} {
		require.ErrorContains(t, w.Failure(call), "app:test:2: "+want, call)
	}
	require.ErrorContains(t, w.Failure(`process.spawn()`), "bad argument #1 to spawn")
	require.ErrorContains(t, w.Failure(`process.spawn("child")`), "bad argument #2 to spawn")
}

func TestMessages(t *testing.T) {
	w := newWorld(t)
	add(t, w, "echo", `
		local reply_to = ...
		local numbers = process.listen("numbers")
		process.send(reply_to, "ready", process.pid())
		process.send(reply_to, "sum", numbers:receive() + numbers:receive())
		local message = process.inbox():receive()
		process.send(reply_to, "rest", message)`)
	require.Equal(t, []any{int64(5), "other", "text", true}, w.Value(`
		local pid = process.spawn("echo", "host", process.pid())
		process.listen("ready"):receive()
		assert(process.send(pid, "numbers", 2, 3))
		assert(process.send(pid, "other", "text"))
		local sum, rest = process.listen("sum"):receive(), process.listen("rest"):receive()
		return {sum, rest.topic, rest.payload, rest.from == process.pid()}`))
}

func TestMessagesAreCopies(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{true, int64(1), "NOT_FOUND", "nil", true}, w.Value(`
		local t, failure = {n = 1}, select(2, process.send("nobody", "x"))
		process.send(process.pid(), "a", t)
		process.send(process.pid(), "b", failure)
		process.send(process.pid(), "c")
		t.n = 2
		local got = process.inbox():receive().payload
		local copy = process.inbox():receive().payload
		local empty = process.inbox():receive()
		return {got ~= t, got.n, copy:kind(), tostring(empty.payload), empty.topic == "c"}`))
}

func TestSendErrors(t *testing.T) {
	w := newWorld(t)
	add(t, w, "child", ``)
	for call, want := range map[string]string{
		`process.send("nobody", "x")`: `NOT_FOUND lua: send "nobody": there is no such process, or it has ended`,
		`process.cancel("nobody")`:    `NOT_FOUND lua: cancel "nobody"`,
		`process.terminate("nobody")`: `NOT_FOUND lua: terminate "nobody"`,
	} {
		require.Contains(t, newWorldValue(t, `local ok, err = `+call+` assert(ok == nil) return err:kind() .. " " .. err`), want, call)
	}
	require.Equal(t, "NOT_FOUND", w.Value(`
		local pid = process.spawn("child", "host")
		process.events():receive()
		return select(2, process.send(pid, "x")):kind()`), "it has ended")
	require.ErrorContains(t, w.Failure(`process.send(process.pid(), "x", 1, {f = print})`),
		`argument 4: f: a function cannot leave its process`)
	require.ErrorContains(t, w.Failure(`process.cancel(process.pid(), "soon")`), `bad argument #2 to cancel ("soon" is not a duration`)
	require.ErrorContains(t, w.Failure(`process.send(process.pid(), "")`), "topic is empty")
	require.ErrorContains(t, w.Failure(`process.listen("")`), "topic is empty")
	require.ErrorContains(t, w.Failure(`process.listen({})`), "string expected")
	require.ErrorContains(t, w.Failure(`process.cancel()`), "string expected")
}

func newWorldValue(t *testing.T, body string) any {
	t.Helper()
	return newWorld(t).Value(body)
}

func TestFullInboxRefuses(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{"UNAVAILABLE", true, int64(1024), true}, w.Value(`
		for i = 1, 1024 do assert(process.send(process.pid(), "x", i)) end
		local ok, err = process.send(process.pid(), "x", 1025)
		assert(ok == nil and err:message():find("its inbox is full (1024 messages)", 1, true))
		local inbox, n = process.inbox(), 0
		inbox:receive()
		assert(not process.send(process.pid(), "x", 1, 2), "all or none")
		while not channel.select{inbox:case_receive(), default = true}.default do n = n + 1 end
		return {err:kind(), err:retryable(), n + 1, process.send(process.pid(), "x", 1, 2)}`))
	require.Equal(t, "its topic t is full", w.Value(`
		process.listen("t")
		for i = 1, 1024 do assert(process.send(process.pid(), "t", i)) end
		local _, err = process.send(process.pid(), "t", 1)
		assert(process.send(process.pid(), "other", 1), "each topic has its own room")
		return err:message():match("its topic t is full")`))
}

func TestCancelAsksWhoListens(t *testing.T) {
	w := newWorld(t)
	add(t, w, "child", `
		local events = process.events()
		process.send(..., "ready")
		local event = events:receive()
		return {kind = event.kind, from = event.from, deadline = event.deadline}`)
	require.Equal(t, []any{"pid.cancel", true, true}, w.Value(`
		local pid = process.spawn("child", "host", process.pid())
		process.listen("ready"):receive()
		local asked = require("time").unix()
		assert(process.cancel(pid, "7s"))
		process.cancel(pid) -- asked again, or ended by now
		local result = process.events():receive().result
		return {result.kind, result.from == process.pid(), result.deadline >= asked + 7 and result.deadline < asked + 60}`))
}

func TestCancelledProcessIsTerminatedAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		add(t, w, "child", `process.events() process.send(..., "ready") require("time").sleep("1000h")`)
		start := time.Now()
		require.Equal(t, "CANCELED", w.Value(`
			local pid = process.spawn("child", "host", process.pid())
			process.listen("ready"):receive()
			process.cancel(pid, "7s")
			return process.events():receive().error:kind()`))
		require.Equal(t, 7*time.Second, time.Since(start))
	})
}

func TestCancelAndTerminateAtOnce(t *testing.T) {
	w := newWorld(t)
	add(t, w, "child", `process.send(..., "ready") while true do pcall(channel.select, {channel.new():case_receive()}) end`)
	for _, call := range []string{`process.cancel`, `process.terminate`} {
		require.Equal(t, "CANCELED", w.Value(`
			local pid = process.spawn("child", "host", process.pid())
			process.listen("ready"):receive()
			assert(`+call+`(pid))
			return process.events():receive().error:kind()`), call)
		require.True(t, errs.Is(w.Run(call+`(process.pid()) while true do end`).Err, errs.Canceled), "itself")
	}
}

func TestStopOfAProcessThatListens(t *testing.T) {
	w := newWorld(t)
	pid := w.Start(scripttest.Plain(), `
		local events = process.events()
		print("listening")
		local event = events:receive()
		return {event.kind, event.from, event.deadline ~= nil}`)
	w.Log.Await(t, "listening")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, w.Cancel(ctx, pid))
	exit := w.End(pid)
	require.NoError(t, exit.Err)
	require.Equal(t, []any{"pid.cancel", "", true}, exit.Value)
}

func TestStopOfAProcessThatListensAndDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		pid := w.Start(scripttest.Plain(), `process.events() while true do pcall(require("time").sleep, "1h") end`)
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		require.ErrorContains(t, w.Cancel(ctx, pid), "has not ended in time after pid.cancel and was terminated")
		require.Equal(t, 5*time.Second, time.Since(start))
		require.True(t, errs.Is(w.End(pid).Err, errs.Timeout))
	})
}

func TestExitsBeforeEventsAreKept(t *testing.T) {
	w := newWorld(t)
	add(t, w, "child", `return ...`)
	require.Equal(t, int64(1), w.Value(`
		local inbox = process.listen("done")
		process.spawn("child", "host", 1)
		require("time").sleep("10ms")
		return process.events():receive().result`))
}

func TestUnreadEventsBoundTheChildren(t *testing.T) {
	w := newWorld(t)
	add(t, w, "child", `return ...`)
	require.Equal(t, "UNAVAILABLE", w.Value(`
		local events = process.events()
		while true do
			local pid, err = process.spawn("child", "host")
			if not pid then
				repeat events:receive() until process.spawn("child", "host") -- room again
				return err:kind()
			end
		end`))
}

func TestParentThatNeverReadsItsEvents(t *testing.T) {
	w := newWorld(t)
	add(t, w, "child", `process.send(..., "done")`)
	require.Equal(t, int64(1200), w.Value(`
		local done, n = process.listen("done"), 0
		for i = 1, 1200 do
			assert(process.spawn("child", "host", process.pid()))
			done:receive()
			n = n + 1
		end
		return n`))
}

func TestRing(t *testing.T) {
	w := newWorld(t)
	add(t, w, "node", `
		local next, token = ..., process.listen("token")
		while true do
			local n = token:receive()
			if n == "stop" then
				process.send(next, "token", n)
				return
			end
			process.send(next, "token", n + 1)
		end`)
	require.Equal(t, true, w.Value(`
		local mine, first = process.listen("token"), process.pid()
		local next = first
		local events = process.events()
		for i = 1, 20 do next = assert(process.spawn("node", "host", next)) end
		process.send(next, "token", 0)
		while true do
			local n = mine:receive()
			if n == "stop" then break end
			process.send(next, "token", n < 500 and n + 1 or "stop")
		end
		for i = 1, 20 do assert(not events:receive().error) end
		return true`))
}

func TestChildrenOutliveTheirParent(t *testing.T) {
	w := newWorld(t)
	add(t, w, "child", `process.inbox():receive() return 1`)
	pid, _ := w.Value(`return process.spawn("child", "host")`).(string)
	require.NoError(t, w.Terminate(t.Context(), process.PID(pid)))
	require.True(t, errs.Is(w.Terminate(t.Context(), process.PID(pid)), errs.NotFound), "no caller waits for it, it is forgotten")
}

func TestListenTakesOverWhatWaits(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{int64(1), int64(3), int64(5), int64(2), int64(4)}, w.Value(`
		for i = 1, 4 do process.send(process.pid(), i % 2 == 0 and "even" or "odd", i) end
		local odd = process.listen("odd")
		process.send(process.pid(), "odd", 5)
		local function next() return process.inbox():receive().payload end
		return {(odd:receive()), (odd:receive()), (odd:receive()), next(), next()}`))
}
