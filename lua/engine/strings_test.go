package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
)

func TestStringFunctions(t *testing.T) {
	w := newWorld(t)
	for expression, want := range map[string]any{
		`{("hello"):find("l")}`:                           []any{int64(3), int64(3)},
		`{("hello"):find("l", 4)}`:                        []any{int64(4), int64(4)},
		`{("hello"):find("l", -2)}`:                       []any{int64(4), int64(4)},
		`{("hello"):find("l", -100)}`:                     []any{int64(3), int64(3)},
		`{("hello"):find("", 3)}`:                         []any{int64(3), int64(2)},
		`{("hello"):find("", 100)}`:                       []any{int64(6), int64(5)},
		`{("hello"):find("(l)(l)")}`:                      []any{int64(3), int64(4), "l", "l"},
		`{("hello"):find("()ll()")}`:                      []any{int64(3), int64(4), int64(3), int64(5)},
		`{("a.b"):find(".", 1, true)}`:                    []any{int64(2), int64(2)},
		`{("a.b"):find("%.")}`:                            []any{int64(2), int64(2)},
		`{("a.b"):find(".", 2, false)}`:                   []any{int64(2), int64(2)},
		`("abc"):find("x")`:                               nil,
		`("abc"):find("^b", 2)`:                           int64(2),
		`select("#", ("abc"):match("x"))`:                 int64(1),
		`{("k=v"):match("(%w)=(%w)")}`:                    []any{"k", "v"},
		`("abc"):match("()c")`:                            int64(3),
		`("abc"):match("b", 3)`:                           nil,
		`string.match(123, "%d")`:                         "1",
		`{("abc"):gsub("b", "x")}`:                        []any{"axc", int64(1)},
		`{("abc"):gsub("", "-")}`:                         []any{"-a-b-c-", int64(4)},
		`{("abc"):gsub("%w", "%0%0")}`:                    []any{"aabbcc", int64(3)},
		`{("abc"):gsub("%w", "%%")}`:                      []any{"%%%", int64(3)},
		`{("abc"):gsub("(%w)", "<%1>", 2)}`:               []any{"<a><b>c", int64(2)},
		`{("abc"):gsub("%w", "<%1>", 1)}`:                 []any{"<a>bc", int64(1)},
		`{("aaa"):gsub("^a", "b")}`:                       []any{"baa", int64(1)},
		`{("abc"):gsub("b", 7)}`:                          []any{"a7c", int64(1)},
		`{("abc"):gsub("%w", {a = 1, b = true and "x"})}`: []any{"1xc", int64(3)},
		`{("abc"):gsub("()", {[1] = "^"})}`:               []any{"^abc", int64(4)},
		`{("abc"):gsub("%w", function(c) if c == "b" then return "x" end end)}`:                                []any{"axc", int64(3)},
		`{("k=v"):gsub("(%w)=(%w)", function(k, v) return v .. k end)}`:                                        []any{"vk", int64(1)},
		`{("abc"):gsub("x*", "-", 0)}`:                                                                         []any{"abc", int64(0)},
		`{("hello world"):gsub("o", setmetatable({}, {__index = function(_, k) return k:upper() end}))}`:       []any{"hellO wOrld", int64(2)},
		`(function() local t = {} for w in ("one two"):gmatch("%a+") do t[#t + 1] = w end return t end)()`:     []any{"one", "two"},
		`(function() local t = {} for k, v in ("a=1,b=2"):gmatch("(%w)=(%w)") do t[k] = v end return t end)()`: map[string]any{"a": "1", "b": "2"},
		`(function() local n = 0 for _ in ("abc"):gmatch("") do n = n + 1 end return n end)()`:                 int64(4),
		`(function() local t = {} for p in ("abc"):gmatch("()b") do t[#t + 1] = p end return t end)()`:         []any{int64(2)},
		`#("x"):rep(1500000):match("^x*$")`:                                                                    int64(1500000),
		`#(("x"):rep(1500000):gsub("x+", "y"))`:                                                                int64(1),
		`getmetatable("").__index == string`:                                                                   true,
		`string.__index`:                                                                                       nil,
		`string.gfind == string.gmatch`:                                                                        true,
	} {
		require.Equal(t, want, w.value("return "+expression), expression)
	}
	for call, want := range map[string]string{
		`("a"):find("[a")`:                                "app:test:2: malformed pattern (missing ']')",
		`("a"):match("%")`:                                "malformed pattern (ends with '%')",
		`("a"):gsub("(a", "")`:                            "unfinished capture",
		`("a"):gsub("a", "%2")`:                           "the pattern has no capture 2",
		`("a"):gsub("a", function() return {} end)`:       "invalid replacement value (a table)",
		`("a"):gsub("a", {a = true})`:                     "invalid replacement value (a boolean)",
		`("a"):gsub("a", true)`:                           "bad argument #3 to gsub",
		`("a"):gsub("a", function() error("inside") end)`: "inside",
		`for x in ("a"):gmatch("(") do end`:               "unfinished capture",
	} {
		require.ErrorContains(t, w.run(call).Err, want, call)
	}
}

func TestPatternsDoNotKeepAProcessAlive(t *testing.T) {
	const hard = `local text, pattern = ("a"):rep(40), ("a*"):rep(40) .. "b" `
	for name, body := range map[string]string{
		"find":   hard + `text:find(pattern)`,
		"match":  hard + `text:match(pattern)`,
		"gmatch": hard + `for x in text:gmatch(pattern) do end`,
		"gsub":   hard + `text:gsub(pattern, "")`,
		"pcall":  hard + `while true do pcall(string.find, text, pattern) end`,
		"sort":   `local t = {} for i = 1, 200 do t[i] = i % 7 end while true do pcall(table.sort, t) end`,
	} {
		t.Run(name, func(t *testing.T) {
			p := &probe{}
			w := newWorld(t, p)
			w.script("test", `function main() probe.mark("here") `+body+` end`)
			pid := w.spawn("test")
			within(t, p.get("here"))
			require.NoError(t, w.Terminate(t.Context(), pid))
			require.True(t, errs.Is(w.wait(pid).Err, errs.Canceled))
		})
	}
}

func TestNoCallMakesAStringThatDoesNotFit(t *testing.T) {
	w := newWorld(t)
	errs, ok := w.value(`
		local half = ("x"):rep(2^27 + 1)
		local errs = {}
		for i, f in ipairs({
			function() return half .. half end,
			function() return half .. "," .. half end,
			function() return table.concat({half, half}) end,
			function() return table.concat({1, 2, 3}, half) end,
			function() return (half:gsub("^x", half)) end,
			function() return (half:gsub("^x", function() return half end)) end,
			function() return half:rep(2) end,
			function() return ("x"):rep(2^28 + 1) end,
		}) do
			errs[i] = select(2, pcall(f))
		end
		return errs`).([]any)
	require.True(t, ok)
	require.Len(t, errs, 8)
	for _, err := range errs {
		require.Contains(t, err, "resulting string too large: at most 256 MiB")
	}
}
