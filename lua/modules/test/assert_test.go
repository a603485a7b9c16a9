package test_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEqual(t *testing.T) {
	for _, pair := range []string{
		"nil, nil", "1, 1", `"a", "a"`, "true, true", "{}, {}", "{1, {a = 2}}, {1, {a = 2}}", "0/0, 0/0", "print, print",
		`errors.new("x"), errors.new("x")`, `time.parse_duration("1s"), time.parse_duration("1000ms")`,
	} {
		require.Equal(t, "ok   c\n1 passed\n", cases(t, `test.case("c", function() test.equal(`+pair+`) end)`), pair)
	}
	for pair, want := range map[string]string{
		`{[1e8] = 1}, {[1e8] = 2}`:               "[100000000] is 1, want 2",
		"1, 2":                                   "got 1, want 2",
		`1, "1"`:                                 `got 1, want "1"`,
		"nil, false":                             "got nil, want false",
		`{a = 1}, "a"`:                           `got {a = 1}, want "a"`,
		"{a = {b = {1, 2}}}, {a = {b = {1, 3}}}": "a.b[2] is 2, want 3",
		"{a = 1, b = 2}, {a = 1}":                "b is 2, want nil",
		"{a = 1}, {a = 1, b = 2}":                "b is nil, want 2",
		`{["a b"] = 1, [true] = 2}, {["a b"] = 1, [true] = 3}`: "[true] is 2, want 3",
		`{["a b"] = 1}, {}`:                     `["a b"] is 1, want nil`,
		`"a\n\0", "a"`:                          `got "a\n\x00", want "a"`,
		`errors.new("x"), errors.new("y")`:      "got x, want y",
		`errors.new("x"), "x"`:                  `got x, want "x"`,
		"{1, 2, n = {m = {o = {p = {}}}}}, nil": "got {1, 2, n = {m = {o = {p = {…}}}}}, want nil",
		`("x"):rep(300), nil`:                   "got \"" + strings.Repeat("x", 199) + "…, want nil",
		"1":                                     "bad argument #2 to equal (got and want expected)",
	} {
		require.Equal(t, want, failure(t, "test.equal("+pair+")"), pair)
	}
}

func TestEqualOfTablesThatContainThemselves(t *testing.T) {
	require.Equal(t, "ok   c\n1 passed\n", cases(t, `
		test.case("c", function()
			local a, b = {n = 1}, {n = 1}
			a.self, b.self = a, b
			test.equal(a, b)
		end)`))
	require.Contains(t, failure(t, `local a = {} a.self = a test.equal(a, 1)`), "got {self = {self = {self = {self = {…}}}}}, want 1")
}

func TestMatch(t *testing.T) {
	require.Equal(t, "ok   c\n1 passed\n", cases(t, `
		test.case("c", function()
			test.match({op = "insert", after = {id = 1, name = "ada"}}, {op = "insert", after = {name = "ada"}})
			test.match({}, {})
		end)`))
	for pair, want := range map[string]string{
		`{op = "insert", after = {id = 1}}, {after = {id = 2}}`: "after.id is 1, want 2",
		`{op = "insert"}, {after = {id = 2}}`:                   "after is nil, want {id = 2}",
		`nil, {op = "insert"}`:                                  `expected a table like {op = "insert"}, got nil`,
		`{}, "insert"`:                                          "bad argument #2 to match (table expected, got string)",
	} {
		require.Equal(t, want, failure(t, "test.match("+pair+")"), pair)
	}
}

func TestReceive(t *testing.T) {
	require.Equal(t, "ok   c\n1 passed\n", cases(t, `
		test.case("c", function()
			local ch = channel.new(2)
			ch:send("now")
			test.equal(test.receive(ch, 0), "now")
			coroutine.spawn(function() time.sleep("1s") ch:send({"later"}) end)
			local start = time.now()
			test.equal(test.receive(ch, "1m"), {"later"})
			test.equal(time.now():sub(start), time.parse_duration("1s"))
			test.silent(ch, time.parse_duration("1h"))
			test.equal(time.now():sub(start), time.parse_duration("1h0m1s"))
		end, {timeout = "2h"})`))
	for body, want := range map[string]string{
		`test.receive(channel.new())`:                                      "nothing has arrived after 5s",
		`test.receive(channel.new(), "250ms")`:                             "nothing has arrived after 250ms",
		`test.receive(channel.new(), 1000000)`:                             "nothing has arrived after 1ms",
		`local ch = channel.new() ch:close() test.receive(ch)`:             "the channel is closed",
		`local ch = channel.new() ch:close() test.silent(ch, 0)`:           "the channel is closed",
		`local ch = channel.new(1) ch:send({n = 1}) test.silent(ch, "1s")`: "expected nothing, got {n = 1}",
		`test.receive()`:                      "bad argument #1 to receive (channel expected, got nil)",
		`test.receive({})`:                    "bad argument #1 to receive (channel expected, got table)",
		`test.receive(channel.new(), "soon")`: `bad argument #2 to receive ("soon" is not a duration: write it like 5s, 250ms or 1h30m)`,
		`test.receive(channel.new(), {})`:     `bad argument #2 to receive (duration expected ("5s", nanoseconds or a Duration), got table)`,
		`test.receive(channel.new(), 0/0)`:    "bad argument #2 to receive (NaN is not a number of nanoseconds)",
		`test.silent(channel.new())`:          `bad argument #2 to silent (duration expected ("5s", nanoseconds or a Duration), got nil)`,
	} {
		require.Equal(t, want, failure(t, body), body)
	}
	require.Equal(t, "an error has arrived: fell behind (UNAVAILABLE)", failure(t,
		`local ch = channel.new(1) ch:send(errors.new({message = "fell behind", kind = "UNAVAILABLE"})) test.receive(ch)`))
}
