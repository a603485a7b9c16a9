package test_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/lua/modules/channel"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	"github.com/wippy-cdc/runtime/lua/modules/test"
)

func TestCaseThatDoesNotEnd(t *testing.T) {
	printed, exit := run(t, `
		local function wait(ch)
			return (ch:receive())
		end
		return test.suite(function()
			test.case("first", function() end)
			test.case("second", function() test.fail("no") end)
			test.case("stuck", function()
				wait(channel.new(0))
				print("not here")
			end)
			test.case("last", function() end)
		end)()`)
	require.ErrorContains(t, exit.Err, "terminated")
	require.Equal(t, `ok   first
FAIL second: app:test:8: no
FAIL stuck: app:test:4: it has not ended after 60s
     called at app:test:10
1 passed, 2 failed; what follows was not run
`, printed)
}

func TestTimeouts(t *testing.T) {
	for body, want := range map[string]string{
		`test.suite(function() test.case("c", stuck, {timeout = "5s"}) end)()`:                                     "FAIL c: app:test:2: it has not ended after 5s\n",
		`test.suite(function() test.case("c", stuck) end, {timeout = "2h"})()`:                                     "FAIL c: app:test:2: it has not ended after 2h\n",
		`test.suite(function() test.case("c", stuck, {timeout = time.SECOND * 90}) end, {timeout = 1})()`:          "FAIL c: app:test:2: it has not ended after 1m30s\n",
		`test.suite(function() test.case("c", stuck, {}) end, {timeout = time.parse_duration("3m")})()`:            "FAIL c: app:test:2: it has not ended after 3m\n",
		`test.suite(function() test.case("c", function() time.sleep("61s") end) end)()`:                            "FAIL c: app:test:3: it has not ended after 60s\n",
		`test.suite(function() test.case("c", function() pcall(stuck) end) end)()`:                                 "FAIL c: app:test:2: it has not ended after 60s\n     called at app:test:3\n",
		`test.suite(function() test.case("c", function() return stuck() end) end)()`:                               "FAIL c: app:test:2: it has not ended after 60s\n",
		`test.suite(function() test.case("c", function() coroutine.wrap(stuck)() end) end)()`:                      "FAIL c: app:test:3: it has not ended after 60s\n",
		`test.suite(function() stuck() end)()`:                                                                     "FAIL (outside of the cases): app:test:2: it has not ended after 60s\n     called at app:test:3\n",
		`test.suite(function() test.case("c", function() end) stuck() end)()`:                                      "ok   c\nFAIL (outside of the cases): app:test:2: it has not ended after 60s\n     called at app:test:3\n",
		`test.suite(function() test.case("c", function() while true do pcall(time.sleep, "7s") end end) end)()`:    "FAIL c: app:test:3: it has not ended after 60s\n",
		`coroutine.spawn(test.suite(function() test.case("c", stuck) end)) channel.new():receive()`:                "FAIL c: app:test:2: it has not ended after 60s\n",
		`test.suite(function() test.case("c", function() coroutine.spawn(stuck) end) test.case("d", stuck) end)()`: "ok   c\nFAIL d: app:test:2: it has not ended after 60s\n",
	} {
		printed, exit := run(t, "local function stuck() channel.new():receive() end\n"+body)
		require.ErrorContains(t, exit.Err, "terminated", body)
		before, _, _ := strings.Cut(printed, "0 passed, 1 failed; what follows was not run\n")
		before, _, _ = strings.Cut(before, "1 passed, 1 failed; what follows was not run\n")
		require.NotEqual(t, printed, before, body)
		require.Equal(t, want, before, body)
	}
}

func TestEndOfACaseEndsItsWatch(t *testing.T) {
	printed, exit := run(t, `
		local f = test.suite(function()
			test.case("slow", function() time.sleep("40s") end)
			time.sleep("40s")
			test.case("slow, too", function() time.sleep("40s") error("late") end)
		end)
		local failing = test.suite(function() error("setup") end)
		pcall(failing)
		time.sleep("1h")
		f()
		time.sleep("1h")
		return f()`)
	require.NoError(t, exit.Err)
	require.Equal(t, strings.Repeat("ok   slow\nFAIL slow, too: app:test:6: late\n1 passed, 1 failed\n", 2), printed)
}

func TestCaseThatComputesWithoutEnd(t *testing.T) {
	w := scripttest.New(t, channel.New(), test.New())
	pid := w.Start(scripttest.Terminal(), `
		local test = require("test")
		test.suite(function()
			test.case("busy", function() while true do pcall(function() end) end end, {timeout = "1ms"})
		end)()`)
	require.ErrorContains(t, w.End(pid).Err, "terminated")
	require.Equal(t, "FAIL busy: it has not ended after 1ms\n0 passed, 1 failed; what follows was not run\n", w.Out.String())
}

func TestCaseWhoseCoroutineFailsIsNamed(t *testing.T) {
	printed, exit := run(t, `
		test.suite(function()
			test.case("c", function()
				coroutine.spawn(function() error("aside") end)
				channel.new():receive()
			end)
		end)()`)
	require.ErrorContains(t, exit.Err, "aside")
	require.Equal(t, "STOP c: lua: process \"app:test\": a coroutine has failed\n", printed)
}

func TestWrongOptions(t *testing.T) {
	for body, want := range map[string]string{
		`test.suite(function() end, {timeout = "soon"})`:                              `bad argument #2 to suite (timeout "soon" is not a duration: write it like 5s, 250ms or 1h30m)`,
		`test.suite(function() end, "5s")`:                                            `bad argument #2 to suite (options must be a table, not "5s")`,
		`test.suite(function() test.case("c", function() end, {timeout = 0}) end)()`:  "bad argument #3 to case (timeout is 0s, must be more than 0)",
		`test.suite(function() test.case("c", function() end, {timeouts = 1}) end)()`: `bad argument #3 to case (key "timeouts" is not known: use timeout)`,
		`test.suite(function() test.case("c", function() end, {timeout = {}}) end)()`: `(timeout duration expected ("5s", nanoseconds or a Duration), got table)`,
	} {
		_, exit := run(t, body)
		require.ErrorContains(t, exit.Err, want, body)
	}
}
