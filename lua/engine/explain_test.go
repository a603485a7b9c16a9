package engine_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// refuser is a module whose function open fails.
type refuser struct{}

func (refuser) Name() string { return "refuser" }

func (refuser) Global() {}

func (refuser) Open(L *lua.LState) *lua.LTable {
	return L.SetFuncs(L.NewTable(), map[string]lua.LGFunction{
		"open":  func(L *lua.LState) int { return engine.Fail(L, errs.New(errs.NotFound, "there is no such thing")) },
		"check": func(L *lua.LState) int { L.CheckTable(1); return 0 },
	})
}

func TestErrorsNameTheExpression(t *testing.T) {
	w := newWorld(t, refuser{})
	for body, want := range map[string]string{
		// calls
		`local s = {} s.chanel()`:                   "attempt to call field 'chanel' (a nil value)",
		`local s = {} s:chanel()`:                   "attempt to call method 'chanel' (a nil value)",
		`local s = {a = {}} return s.a.b(1)`:        "attempt to call field 'b' (a nil value)",
		`local f f()`:                               "attempt to call local 'f' (a nil value)",
		`local f = 3 return (function() f() end)()`: "attempt to call upvalue 'f' (a number value)",
		`missing()`:                                 "attempt to call global 'missing' (a nil value)",
		`local t = {} t[1]()`:                       "attempt to call field '1' (a nil value)",
		`local t, k = {}, "x" t[k]()`:               "attempt to call field '?' (a nil value)",
		`local function f() end f()()`:              "attempt to call the result of 'f' (a nil value)",
		`for x in {} do end`:                        "attempt to call a table value by for: it needs an iterator, such as pairs(t) or ipairs(t)",
		`local t = {} for x in t do end`:            "attempt to call local 't' (a table value) by for: it needs",
		`("x"):nothing()`:                           "attempt to call method 'nothing' (a nil value)",
		`channel.new():recieve()`:                   "attempt to call method 'recieve' (a nil value)",
		// indexes
		`local s s.x = 1`:                                                     "attempt to index local 's' (a nil value)",
		`local s return s.x`:                                                  "attempt to index local 's' (a nil value)",
		`local s, k = nil, 1 return s[k]`:                                     "attempt to index local 's' (a nil value)",
		`local s, k = nil, 1 s[k] = 1`:                                        "attempt to index local 's' (a nil value)",
		`local s s:x()`:                                                       "attempt to index local 's' (a nil value)",
		`local s function s.x() end`:                                          "attempt to index local 's' (a nil value)",
		`local s function s:x() end`:                                          "attempt to index local 's' (a nil value)",
		`local s = {} function s.a:x() end`:                                   "attempt to index field 'a' (a nil value)",
		`local c = {} return c.after.name`:                                    "attempt to index field 'after' (a nil value)",
		`local c = {} c.after.name = 1`:                                       "attempt to index field 'after' (a nil value)",
		`return nothing.x`:                                                    "attempt to index global 'nothing' (a nil value)",
		`local s return function() return s.x end`:                            "",
		`local s return (function() return s.x end)()`:                        "attempt to index upvalue 's' (a nil value)",
		`local a, s a, s.x = 1, 2`:                                            "attempt to index local 's' (a nil value)",
		`local a, s = 1, {} a, s.y.x = 1, 2`:                                  "attempt to index field 'y' (a nil value)",
		`do local a, b = 1, 2 end local s s.x = 1`:                            "attempt to index local 's' (a nil value)",
		`for i = 1, 2 do local a = 1 end for i = 1, 2 do local s s.x = 1 end`: "attempt to index local 's' (a nil value)",
		`local t = setmetatable({}, {__index = 7}) return t.x`:                "attempt to index a non-table object(number) with key 'x'",
		`return (true).x`:                                                     "attempt to index a boolean value with key 'x'",
		// operators
		`local n return n + 1`:                         "attempt to perform arithmetic on local 'n' (a nil value)",
		`local c = {} return 1 - c.n`:                  "attempt to perform arithmetic on field 'n' (a nil value)",
		`local s = "x" return s * 2`:                   "attempt to perform arithmetic on local 's' (a string value)",
		`local s, n = "1" return s * n`:                "attempt to perform arithmetic on local 'n' (a nil value)",
		`local n return -n`:                            "attempt to perform arithmetic on local 'n' (a nil value)",
		`local n return #n`:                            "attempt to get length of local 'n' (a nil value)",
		`local a, b = "a" return "x" .. a .. b .. "y"`: "attempt to concatenate local 'b' (a nil value)",
		`local c = {} return "x" .. c.name`:            "attempt to concatenate field 'name' (a nil value)",
		`return "x" .. nobody`:                         "attempt to concatenate global 'nobody' (a nil value)",
		`local c = {} return 1 < c.score`:              "attempt to compare number with nil: field 'score' is nil",
		`local c = {} return c.score >= 1`:             "attempt to compare number with nil: field 'score' is nil",
		`return {} < 1`:                                "attempt to compare",
		// built-in functions that are called by no name
		`pcall(error, "x") local ok, err = pcall(string.rep) error(err, 0)`:      "bad argument #1 to string.rep (string expected",
		`local ok, err = pcall(refuser.check, 1) error(err, 0)`:                  "bad argument #1 to refuser.check (table expected",
		`local ok, err = pcall(channel.new().send) error(err, 0)`:                "bad argument #1 to a built-in function (channel expected",
		`local ok, err = pcall(channel.new().send, channel.new()) error(err, 0)`: "bad argument #2 to send (value expected",
		// forgotten asserts
		"local s = refuser.open()\nreturn s.x":              "app:test:3: attempt to index local 's' (a nil value): the call on line 2 has failed: there is no such thing",
		"local s, err = refuser.open()\nreturn s:x()":       "attempt to index local 's' (a nil value): the call on line 2 has failed: there is no such thing",
		`return refuser.open():x()`:                         "attempt to index the result of 'open' (a nil value): the call has failed: there is no such thing",
		`return refuser.open() + 1`:                         "attempt to perform arithmetic on the result of 'open' (a nil value): the call has failed: there is no such thing",
		"local s = refuser.open() return function() end, s": "",
	} {
		exit := w.run(body)
		if want == "" {
			continue
		}
		require.ErrorContains(t, exit.Err, want, body)
		require.ErrorContains(t, exit.Err, "app:test:", body)

		text, ok := w.value("local _, err = pcall(function() " + body + " end) return err").(string)
		require.True(t, ok, body)
		require.NotContains(t, text, "non-function", body)
		if body[0] != 'p' && body[len(body)-1] != ')' {
			text, _ = w.value("local _, err = coroutine.resume(coroutine.create(function() " + body + " end)) return err").(string)
			require.Contains(t, text, "a", body)
		}
	}
}

func TestEveryWayToCatchAnErrorNamesTheExpression(t *testing.T) {
	w := newWorld(t)
	const want = "app:test:2: attempt to index local 's' (a nil value)"
	const f = `local f = function() local s return s.x end `
	for name, body := range map[string]string{
		"pcall":     f + `return select(2, pcall(f))`,
		"xpcall":    f + `return select(2, xpcall(f, function(e) return e end))`,
		"resume":    f + `return select(2, coroutine.resume(coroutine.create(f)))`,
		"wrap":      f + `return select(2, pcall(coroutine.wrap(f)))`,
		"yielded":   f + `local co = coroutine.create(function() coroutine.yield() f() end) coroutine.resume(co) return select(2, coroutine.resume(co))`,
		"in resume": f + `return select(2, coroutine.resume(coroutine.create(function() return pcall(f) end))) == false and select(3, coroutine.resume(coroutine.create(function() return pcall(f) end)))`,
		"error":     `return select(2, pcall(error, "` + want + `", 0))`,
	} {
		require.Equal(t, want, w.value(body), name)
	}
	require.ErrorContains(t, w.run(f+`coroutine.spawn(f) channel.new():receive()`).Err, want)
	require.Equal(t, "attempt to call a non-function object", w.value(`return select(2, pcall(error, "attempt to call a non-function object", 0))`),
		"what a script raises is left alone")
}

func TestErrorsOfLibrariesNameTheExpression(t *testing.T) {
	w := newWorld(t)
	w.library("lib", "local M = {}\nfunction M.f(t) return t.a.b end\nreturn M", nil)
	require.ErrorContains(t, w.runImporting(`require("lib").f({})`, map[string]string{"lib": "lib"}).Err,
		"app:lib:2: attempt to index field 'a' (a nil value)")
}
