package engine_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestAKeyFarAwayTakesNoMoreThanAnother(t *testing.T) {
	w := newWorld(t)
	for name, body := range map[string]string{
		"assignment":   `local t, k = {}, 30000000 t[k] = 7 return t[k]`,
		"literal":      `local t = {} t[30000000] = 7 return t[30000000]`,
		"calculated":   `local t = {} t[3 * 10^7] = 7 return t[30000000]`,
		"constructor":  `return ({[30000000] = 7})[30000000]`,
		"behind items": `local t = {1, 2, 3, [30000000] = 7} return t[30000000]`,
		"to nil":       `local t, k = {}, 30000000 t[k] = nil return t[k] == nil and 7`,
		"rawset":       `local t = rawset({}, 30000000, 7) return rawget(t, 30000000)`,
		"insert":       `local t = {} table.insert(t, 30000000, 7) return t[30000000]`,
		"metatable":    `local t, k = setmetatable({}, {}), 30000000 t[k] = 7 return t[k]`,
		"__newindex":   `local s, k = {}, 30000000 setmetatable({}, {__newindex = s})[k] = 7 return s[k]`,
		"__index":      `local s, k = {[30000000] = 7}, 30000000 return setmetatable({}, {__index = s})[k]`,
		"below a hole": `local t, k = {}, 30000000 t[1] = 1 t[k] = 7 t[k - 1] = 8 t[k + 1] = 9 return t[k]`,
		"emptied":      `local t, k = {}, 30000000 for i = 1, 100 do t[i] = i end for i = 1, 100 do t[i] = nil end t[k] = 7 return t[k]`,
		"unpack":       `local t, k = {}, 30000000 t[k] = 7 return (unpack(t, k, k))`,
		"multiple":     `local t, k = {}, 30000000 t[k], t[k + 1] = 7, 8 return t[k]`,
	} {
		require.Less(t, allocated(func() { require.Equal(t, int64(7), w.value(body), name) }), uint64(32<<20), name)
	}
}

// TestTablesAgainstAModel does random things to a table and to one whose keys are text, which knows no array.
func TestTablesAgainstAModel(t *testing.T) {
	w := newWorld(t)
	const body = `
		local seed = ...
		math.randomseed(seed)
		local t, model = {}, {}
		if seed % 3 == 0 then setmetatable(t, {}) end
		local function key()
			local kind = math.random(10)
			if kind <= 5 then return math.random(12) end
			if kind <= 8 then return math.random(30, 80) end
			if kind == 9 then return 10^math.random(5, 9) end
			return math.random(-5, 0) + math.random(0, 1) / 2
		end
		local function check(what)
			local n = 0
			for k, v in pairs(t) do
				n = n + 1
				assert(model["k" .. k] == v, what .. ": pairs: " .. k)
				assert(t[k] == v and rawget(t, k) == v, what .. ": index: " .. k)
			end
			local want = 0
			for _ in pairs(model) do want = want + 1 end
			assert(n == want, what .. ": pairs: " .. n .. " instead of " .. want)
			assert(#t == 0 or t[#t] ~= nil, what .. ": # is no border")
			assert(t[#t + 1] == nil, what .. ": # is no border")
			local last = 0
			for i, v in ipairs(t) do assert(i == last + 1 and model["k" .. i] == v, what .. ": ipairs") last = i end
			assert(model["k" .. (last + 1)] == nil, what .. ": ipairs ends too early")
		end
		for step = 1, 100 do
			local op, k, what = math.random(10), key()
			if op <= 5 then
				t[k], model["k" .. k], what = step, step, "set " .. k
			elseif op == 6 then
				rawset(t, k, step)
				model["k" .. k], what = step, "rawset " .. k
			elseif op == 7 then
				t[k], model["k" .. k], what = nil, nil, "delete " .. k
			elseif op == 8 then
				local at = #t + 1
				t[at], model["k" .. at], what = step, step, "append " .. at
			elseif op == 9 and next(t) then
				for k in pairs(t) do if math.random(4) == 1 then t[k], model["k" .. k] = nil, nil end end
				what = "clear some"
			else
				for i = 1, 40 do
					local at = #t + 1
					t[at], model["k" .. at] = step, step
				end
				what = "grow"
			end
			check("seed " .. seed .. " step " .. step .. ": " .. (what or "nothing"))
		end
		return true`
	for seed := range 8 {
		require.Equal(t, true, w.value(body, seed))
	}
}

func TestLongArrays(t *testing.T) {
	w := newWorld(t)
	for name, fill := range map[string]string{
		"append":    `for i = 1, n do t[#t + 1] = i end`,
		"index":     `for i = 1, n do t[i] = i end`,
		"insert":    `for i = 1, n do table.insert(t, i) end`,
		"backwards": `for i = n, 1, -1 do t[i] = i end`,
		"by halves": `for i = 2, n, 2 do t[i] = i end for i = 1, n, 2 do t[i] = i end`,
	} {
		require.Equal(t, true, w.value(`
			local n, t = 100000, {}
			`+fill+`
			assert(#t == n and table.maxn(t) == n and select("#", unpack(t, n - 9, n)) == 10)
			local count, sum = 0, 0
			for i, v in ipairs(t) do count, sum = count + 1, sum + v end
			assert(count == n and sum == n * (n + 1) / 2)
			count = 0
			for k, v in pairs(t) do count = count + 1 end
			assert(count == n)
			table.sort(t, function(a, b) return a > b end)
			assert(t[1] == n and t[n] == 1)
			assert(table.remove(t) == 1 and table.remove(t, 1) == n and #t == n - 2)
			table.insert(t, 1, "first")
			assert(#t == n - 1 and t[1] == "first" and t[2] == n - 1)
			return true`), name)
	}
}

func TestAStackIsEmptiedFromItsEnd(t *testing.T) {
	w := newWorld(t)
	for name, body := range map[string]string{
		"assignment": `while #t > 0 do t[#t] = nil end`,
		"rawset":     `while #t > 0 do rawset(t, #t, nil) end`,
		"remove":     `while #t > 0 do table.remove(t) end`,
		"downwards":  `for i = #t, 1, -1 do t[i] = nil end`,
		"upwards":    `for i = 1, #t do t[i] = nil end`,
		"pairs":      `for k in pairs(t) do t[k] = nil end`,
	} {
		require.Equal(t, true, w.value(`
			local t = {}
			for round = 1, 3 do
				for i = 1, 30000 do t[#t + 1] = i end
				`+body+`
				assert(#t == 0 and next(t) == nil)
			end
			return true`), name)
	}
}

func TestKeysMayBeClearedInALoopOverPairs(t *testing.T) {
	w := newWorld(t)
	for name, make := range map[string]string{
		"array":         `{1, 2, 3}`,
		"array and map": `{1, 2, 3, a = 1, b = 2, [1e8] = 3}`,
		"one in map":    `{1, 2, 3, a = 1}`,
		"numbers":       `{1, 2, 3, [100] = 1, [200] = 2, [300] = 3}`,
		"once more":     `(function() local t = {1, 2, 3, a = 1, b = 2} t.a = nil return t end)()`,
	} {
		require.Equal(t, true, w.value(`
			local t, want, seen = `+make+`, 0, 0
			for k in pairs(t) do want = want + 1 end
			for k in pairs(t) do t[k], seen = nil, seen + 1 end
			return seen == want and next(t) == nil`), name)
	}
}

func TestTableFunctions(t *testing.T) {
	w := newWorld(t)
	for expression, want := range map[string]any{
		`(function() local t = {3, 1, 2} t[3] = nil table.sort(t) return t[1] .. t[2] end)()`:                           "13",
		`(function() local t = {3, 1, 2} pcall(table.sort, t, function() error("x") end) return table.concat(t) end)()`: "312",
		`(function() local t = {1, 2, 3} t[60] = 60 for i = 4, 59 do t[i] = i end return #t end)()`:                     int64(60),
		`(function() local t = {} t[40] = 1 for i = 1, 39 do table.insert(t, i) end return #t end)()`:                   int64(40),
		`(function() local t = {} t[40] = 1 for i = 1, 39 do table.insert(t, 1, i) end return #t .. t[1] end)()`:        "4039",
		`table.maxn({1, 2, [1e8] = 1, [2.5] = 1, x = 1})`:                                                               int64(1e8),
		`(function() local t = {1, 2, 3} t[3] = nil return table.remove(t) end)()`:                                      int64(2),
		`(function() local t = {a = 1, 1, 2, 3} t[3] = nil return table.remove(t) .. #t end)()`:                         "21",
		`table.maxn({})`:                            int64(0),
		`select("#", rawset({}, "a", 1))`:           int64(1),
		`#{[100] = "x", ` + hundredOnes + `}`:       int64(100),
		`({[100] = "x", ` + hundredOnes + `})[100]`: int64(1),
		`(function() local n = 0 for _ in pairs({[100] = "x", ` + hundredOnes + `}) do n = n + 1 end return n end)()`: int64(100),
	} {
		require.Equal(t, want, w.value("return "+expression), expression)
	}
	for call, want := range map[string]string{
		`rawset({}, nil, 1)`:        "table index is nil",
		`rawset({}, 0/0, 1)`:        "table index is NaN",
		`local t = {} t[nil] = 1`:   "table index is nil",
		`local t = {} t[0/0] = 1`:   "table index is NaN",
		`unpack({}, 1, 1e8)`:        "too many results to unpack",
		`table.insert({}, 1, 2, 3)`: "wrong number of arguments",
	} {
		require.ErrorContains(t, w.run(call).Err, want, call)
	}
}

const hundredOnes = "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1," +
	"1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"
