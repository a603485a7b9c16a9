package test_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	"github.com/wippy-cdc/runtime/lua/modules/test"
)

func TestSuiteThatPasses(t *testing.T) {
	printed, exit := run(t, `
		local got
		local main = test.suite(function(...)
			got = {...}
			test.case("one", function() end)
			test.case("two", function() return false end)
		end)
		local passed = main("a", "b")
		return {passed, got}`)
	require.NoError(t, exit.Err)
	require.Equal(t, []any{true, []any{"a", "b"}}, exit.Value)
	require.Equal(t, "ok   one\nok   two\n2 passed\n", printed)
}

func TestFailingCaseDoesNotStopOthers(t *testing.T) {
	printed, exit := run(t, `
		return test.suite(function()
			test.case("first", function() error("broken") end)
			test.case("second", function() end)
			test.case("third", function() assert(nil, errors.new({message = "gone", kind = "NOT_FOUND"})) end)
			test.case("fourth", function() error({code = 7}) end)
			test.case("fifth", function() local x = nil; x.y = 1 end)
			test.case("sixth", function() error(nil) end)
		end)()`)
	require.NoError(t, exit.Err)
	require.Equal(t, false, exit.Value)
	require.Equal(t, `FAIL first: app:test:4: broken
ok   second
FAIL third: app:test:6: gone (NOT_FOUND)
FAIL fourth: app:test:7: raised {code = 7}
FAIL fifth: app:test:8: attempt to index local 'x' (a nil value)
FAIL sixth: app:test:9: raised nil
1 passed, 5 failed
`, printed)
}

func TestFailureTellsFromWhereAHelperWasCalled(t *testing.T) {
	require.Equal(t, `FAIL c: app:test:4: got 1, want 2
     called at app:test:6
     called at app:test:8
0 passed, 1 failed
`, cases(t, `
		local function helper(v)
			test.equal(v, 2)
		end
		local function other() helper(1) end
		test.case("c", function()
			other()
		end)`))
}

func TestMessagesOfSeveralLines(t *testing.T) {
	require.Equal(t, "FAIL c: app:test:3: one\n     two\n0 passed, 1 failed\n", cases(t, `
		test.case("c", function() test.fail("one\ntwo") end)`))
}

func TestCasesMayBlock(t *testing.T) {
	require.Equal(t, "ok   c\n1 passed\n", cases(t, `
		test.case("c", function()
			local ch = channel.new()
			coroutine.spawn(function() time.sleep("50s") ch:send(1) end)
			test.equal(ch:receive(), 1)
		end)`))
}

func TestMisuse(t *testing.T) {
	for body, want := range map[string]string{
		`test.case("x", function() end)`: `test: case "x" stands outside of a suite: call it in the function that is passed to test.suite`,
		`test.suite(function() test.case("a", function() end) end)() test.case("late", function() end)`: `"late" stands outside`,
		`return test.suite(function() end)()`:                       "test: suite: there is no case in it",
		`return test.suite(function() error("setup") end)()`:        "setup",
		`test.suite(function() test.suite(function() end)() end)()`: "test: a suite begins before another one has ended",
		`test.suite()`: "bad argument #1 to suite (function expected, got nil)",
		`test.suite(function() test.case() end)()`:       "bad argument #1 to case (string expected, got nil)",
		`test.suite(function() test.case("x") end)()`:    "bad argument #2 to case (function expected, got nil)",
		`test.suite(function() test.case("x", 1) end)()`: "bad argument #2 to case (function expected, got number)",
		`test.suite(function() test.case("x", function() coroutine.spawn(function() error("aside") end) time.sleep(1) end) end)()`: "aside",
	} {
		_, exit := run(t, body)
		require.ErrorContains(t, exit.Err, want, body)
	}
	require.Equal(t, "FAIL outer: app:test:3: test: case \"inner\" begins before \"outer\" has ended: cases run one after the other\n0 passed, 1 failed\n", cases(t, `
		test.case("outer", function() test.case("inner", function() end) end)`))
}

func TestSuiteNeedsATerminal(t *testing.T) {
	w := scripttest.New(t, test.New())
	err := w.Failure(`return require("test").suite(function() end)()`)
	require.Equal(t, errs.PermissionDenied, errs.KindOf(err))
	require.ErrorContains(t, err, "run it on a terminal.host")
}

func TestTerminatedCaseIsNamedAndDoesNotFail(t *testing.T) {
	w := scripttest.New(t, channel.New(), test.New())
	pid := w.Start(scripttest.Terminal(), `
		local test = require("test")
		test.suite(function()
			test.case("endless", function()
				print("up")
				while true do pcall(test.receive, channel.new(), "1h") end
			end)
		end)()`)
	w.Out.Await(t, "up\n")
	require.ErrorContains(t, w.Kill(pid).Err, "terminated")
	require.Equal(t, "up\nSTOP endless: lua: process \"app:test\": terminated\n", w.Out.String())
}
