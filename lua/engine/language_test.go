package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLibrariesOfLua checks that what the sandbox leaves of Lua's libraries works as the manual says, in particular what
// the engine replaces.
func TestLibrariesOfLua(t *testing.T) {
	w := newWorld(t)
	for expression, want := range map[string]any{
		// base
		`assert(1, "unused")`:                                         int64(1),
		`select("#", assert(1, 2, 3))`:                                int64(3),
		`select(2, "a", "b", "c")`:                                    "b",
		`type(nil) .. type(1) .. type("") .. type({}) .. type(print)`: "nilnumberstringtablefunction",
		`tonumber("0x10") + tonumber("10", 2)`:                        int64(18),
		`tostring(1.5) .. tostring(nil) .. tostring(true)`:            "1.5niltrue",
		`rawequal({}, {})`:                                            false,
		`rawget(setmetatable({}, {__index = {x = 1}}), "x")`:          nil,
		`select("#", unpack({1, nil, 3}, 1, 3))`:                      int64(3),
		`next({})`:                                                    nil,
		`(pcall(error))`:                                              false,
		`select(2, pcall(error, "text", 0))`:                          "text",
		`select(2, pcall(error, {1}))[1]`:                             int64(1),
		`select(2, xpcall(function() error("x", 0) end, function(e) return e .. "!" end))`: "x!",
		`select(2, xpcall(function() return "fine" end, print))`:                           "fine",
		`_G._G == _G`: true,
		`_VERSION`:    "Lua 5.1",
		`getmetatable(setmetatable({}, {__metatable = "locked"}))`:       "locked",
		`(pcall(setmetatable, setmetatable({}, {__metatable = 1}), {}))`: false,
		`getmetatable(setmetatable(setmetatable({}, {}), nil))`:          nil,
		// string
		`("abc"):upper() .. ("ABC"):lower()`:                       "ABCabc",
		`("hello world"):find("o w")`:                              int64(5),
		`("key=value"):match("(%w+)=(%w+)")`:                       "key",
		`(("hello"):gsub("l", "L"))`:                               "heLLo",
		`(("abc"):gsub("%w", {a = "1", b = "2"}))`:                 "12c",
		`(("abc"):gsub("%w", function(c) return c .. c end))`:      "aabbcc",
		`("%5.2f|%d|%s|%q|%x"):format(3.14159, 42, "s", "q", 255)`: ` 3.14|42|s|"q"|ff`,
		`("x"):rep(3) .. ("abc"):reverse() .. ("abc"):sub(-2)`:     "xxxcbabc",
		`("A"):byte() + #"\0\0"`:                                   int64(67),
		`string.char(104, 105)`:                                    "hi",
		// table
		`table.concat({1, 2, 3}, "-")`: "1-2-3",
		`(function() local t = {3, 1, 2} table.sort(t) return table.concat(t) end)()`:                                         "123",
		`(function() local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) return table.concat(t) end)()`:        "321",
		`(function() local t = {1} table.insert(t, 3) table.insert(t, 2, 2) table.remove(t, 1) return table.concat(t) end)()`: "23",
		`table.maxn({1, 2, [10] = 3})`: int64(10),
		// math
		`math.floor(-1.5) + math.ceil(1.2) + math.abs(-1)`: int64(1),
		`math.max(1, 3, 2) * math.min(4, 2)`:               int64(6),
		`math.sqrt(16) + math.fmod(7, 3) + 7 % -3`:         int64(3),
		`math.huge > 1e308 and math.pi > 3.14`:             true,
		`2^10`:                                             int64(1024),
		// environments
		`(function() local f = function() return x end setfenv(f, {x = 7}) return f() end)()`: int64(7),
		`getfenv(1) == _G`: true,
	} {
		require.Equal(t, want, w.value("return ("+expression+")"), expression)
	}
}

func TestStringsThatDoNotFit(t *testing.T) {
	w := newWorld(t)
	for _, call := range []string{`("x"):rep(1e10)`, `("xx"):rep(2^28)`, `("x"):rep(math.huge)`} {
		require.ErrorContains(t, w.run(call).Err, "app:test:2: resulting string too large", call)
	}
	require.Equal(t, []any{int64(1 << 20), "", "", "ababab"}, w.value(`return {#("x"):rep(2^20), ("x"):rep(-1), (""):rep(1e10), string.rep("ab", 3)}`))
}

func TestLevelsOfError(t *testing.T) {
	w := newWorld(t)
	const source = "local function fail(level)\n error('x', level)\nend\nlocal function middle(level)\n fail(level)\nend\nfunction main(level)\n local _, err = pcall(middle, level)\n return err\nend"
	w.script("test", source)
	for level, want := range map[int]string{-1: "x", 0: "x", 1: "app:test:2: x", 2: "app:test:5: x", 3: "x", 9: "x"} {
		exit := w.wait(w.spawn("test", level))
		require.NoError(t, exit.Err)
		require.Equal(t, want, exit.Value, "level %d", level)
	}
	require.Equal(t, "app:test:2: x", w.value(`return select(2, pcall(function() error("x") end))`))
	require.Equal(t, int64(7), w.value(`return select(2, pcall(error, 7, 2))`), "only text gets a position")
}

func TestPrograms(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, []any{int64(2), int64(3), int64(5), int64(7), int64(11), int64(13), int64(17), int64(19)}, w.value(`
		local function sieve(n)
			local composite, primes = {}, {}
			for i = 2, n do
				if not composite[i] then
					primes[#primes + 1] = i
					for j = i * i, n, i do composite[j] = true end
				end
			end
			return primes
		end
		return sieve(20)`))
	require.Equal(t, int64(6765), w.value(`local function fib(n) return n < 2 and n or fib(n - 1) + fib(n - 2) end return fib(20)`))
	require.Equal(t, "dog:woof cat:meow", w.value(`
		local Animal = {}
		Animal.__index = Animal
		function Animal.new(name, sound) return setmetatable({name = name, sound = sound}, Animal) end
		function Animal:speak() return self.name .. ":" .. self.sound end
		return Animal.new("dog", "woof"):speak() .. " " .. Animal.new("cat", "meow"):speak()`))
	require.Equal(t, []any{int64(1), int64(1), int64(2), int64(3), int64(5)}, w.value(`
		local function generate(n)
			return coroutine.wrap(function()
				local a, b = 1, 1
				for i = 1, n do
					coroutine.yield(a)
					a, b = b, a + b
				end
			end)
		end
		local out = {}
		for v in generate(5) do out[#out + 1] = v end
		return out`))
}

func TestChannelsServeAsLocks(t *testing.T) {
	w := newWorld(t)
	require.Equal(t, int64(1000), w.value(`
		local mutex, done, n = channel.new(1), channel.new(), 0
		for i = 1, 10 do
			coroutine.spawn(function()
				for j = 1, 100 do
					mutex:send(true)
					local before = n
					local turn = channel.new()
					coroutine.spawn(function() turn:send(1) end)
					turn:receive() -- others run here
					n = before + 1
					mutex:receive()
				end
				done:send(true)
			end)
		end
		for i = 1, 10 do done:receive() end
		return n`))
}
