package json_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	jsonmodule "github.com/wippy-cdc/runtime/lua/modules/json"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newWorld(t *testing.T) *scripttest.World {
	t.Helper()
	return scripttest.New(t, jsonmodule.New())
}

func TestEncode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for expression, want := range map[string]string{
		`nil`:                             `null`,
		`true`:                            `true`,
		`false`:                           `false`,
		`0`:                               `0`,
		`-7`:                              `-7`,
		`9007199254740992`:                `9007199254740992`,
		`-9007199254740992`:               `-9007199254740992`,
		`1700000000.123456`:               `1700000000.123456`,
		`0.00000012`:                      `1.2e-07`,
		`9007199254740994`:                `9.007199254740994e+15`,
		`2^60`:                            `1.152921504606847e+18`,
		`1e300`:                           `1e+300`,
		`0.1`:                             `0.1`,
		`-2.5e-10`:                        `-2.5e-10`,
		`-0.0 * 1`:                        `-0`,
		`""`:                              `""`,
		`"plain"`:                         `"plain"`,
		`"a\"b\\c\n\t\0"`:                 `"a\"b\\c\n\t\u0000"`,
		`"<b>&amp;</b>"`:                  `"<b>&amp;</b>"`,
		`"grüße 世界 😀"`:                    `"grüße 世界 😀"`,
		`{}`:                              `{}`,
		`{1, "two", {3}}`:                 `[1,"two",[3]]`,
		`{b = 1, a = {}, c = {x = true}}`: `{"a":{},"b":1,"c":{"x":true}}`,
		`{["quo\"te"] = 1}`:               `{"quo\"te":1}`,
		`{[1] = "a", [2] = "b"}`:          `["a","b"]`,
		`{[2] = "b", [1] = "a"}`:          `["a","b"]`,
	} {
		require.Equal(t, want, w.Value(`local text, err = require("json").encode(`+expression+`) return text or err`), expression)
	}
}

func TestAnErrorIsItsMessage(t *testing.T) {
	t.Parallel()
	require.Equal(t, `["json: decode: at byte 0: the text ends too early"]`, newWorld(t).Value(`
		local json = require("json")
		local _, err = json.decode("")
		return json.encode({err})`))
}

func TestEncodeWithIndent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const want = "{\n  \"a\": [\n    1\n  ],\n  \"b\": {}\n}"
	got := w.Value(`return require("json").encode({a = {1}, b = {}}, {indent = "  "})`)
	require.True(t, want == got, got) //nolint:testifylint // white space matters here
	require.Equal(t, "[\n\t1\n]", w.Value(`return require("json").encode({1}, {indent = "\t"})`))
}

// A row of a database may have any bytes, and what writes rows down must not stop at one of them.
func TestEncodeWritesBytesThatAreNoText(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{`{"a":"base64:/w==","base64:/gBh":1}`}, newWorld(t).Value(`
		return {require("json").encode({a = "\255", ["\254\0a"] = 1})}`))
}

func TestEncodeRefusesWhatJSONCannotSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for script, want := range map[string]string{
		`v = print`:                  `json: encode: "value": a function has no JSON form`,
		`v = {a = {1, {b = print}}}`: `json: encode: "value.a[2].b": a function has no JSON form`,
		`v = {n = 0/0}`:              `json: encode: "value.n": NaN has no JSON form`,
		`v = 1/0`:                    `json: encode: "value": +Inf has no JSON form`,
		`v = {1, nil, 3}`:            `json: encode: "value": the table has gaps; an array has the keys 1..n, all of them`,
		`v = {[0] = 1}`:              `json: encode: "value": the table has gaps`,
		`v = {[1.5] = 1}`:            `json: encode: "value": the table has gaps`,
		`v = {1, a = 2}`:             `json: encode: "value": the table has both numbers and strings as keys`,
		`v = {[true] = 1}`:           `json: encode: "value": the table has a boolean as a key`,
		`v = {["\255"] = 1, ["base64:/w=="] = 2}`: `the table has two keys that are written alike, one of them is not UTF-8`,
		`v = {} v.v = {v}`:                        `json: encode: "value.v[1]": the table contains itself`,
		`v = {} for i = 1, 600 do v = {v} end`:    `it is nested more than 512 deep`,
	} {
		answer := w.List(script + ` local text, err = require("json").encode(v, o) return {tostring(text), err:kind(), err:message()}`)
		require.Equal(t, []any{"nil", "INVALID"}, answer[:2], script)
		require.Contains(t, answer[2], want, script)
	}
}

func TestTheSameTableTwiceIsNoCycle(t *testing.T) {
	t.Parallel()
	require.Equal(t, `[{"a":1},{"a":1}]`, newWorld(t).Value(`local one = {a = 1} return require("json").encode({one, one})`))
}

func TestDecode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for text, want := range map[string]any{
		`null`:                            nil,
		` true `:                          true,
		`false`:                           false,
		`0`:                               int64(0),
		`-7`:                              int64(-7),
		`1.5e3`:                           int64(1500),
		`0.25`:                            0.25,
		`9007199254740992`:                int64(1 << 53),
		`9007199254740993`:                "9007199254740993",
		`-9007199254740993`:               "-9007199254740993",
		`9223372036854775807`:             "9223372036854775807",
		`123456789012345678901234567890`:  "123456789012345678901234567890",
		`9.007199254740994e15`:            float64(9007199254740994),
		`"a\u00e9\ud83d\ude00\n\\ud800"`:  "aé😀\n\\ud800",
		`[]`:                              map[string]any{}, // an empty table has no type
		`{}`:                              map[string]any{},
		`[1, "two", [3], {"x": [true]}]`:  []any{int64(1), "two", []any{int64(3)}, map[string]any{"x": []any{true}}},
		`{"a": {"b": null, "c": "d"}}`:    map[string]any{"a": map[string]any{"c": "d"}},
		`{"a": 1, "a": 2}`:                map[string]any{"a": int64(2)},
		"\n\t{ \"a\" : [ 1 , 2 ] }\r\n  ": map[string]any{"a": []any{int64(1), int64(2)}},
	} {
		got := w.Value(`local v, err = require("json").decode(...) if err then error(err) end return v`, text)
		require.Equal(t, want, got, text)
	}
}

func TestNullLeavesAGapInAnArray(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{int64(1), true, int64(3)}, newWorld(t).Value(`
		local v = require("json").decode("[1, null, 3]")
		return {v[1], v[2] == nil, v[3]}`))
}

func TestMinusZeroKeepsItsSign(t *testing.T) {
	t.Parallel()
	require.Equal(t, true, newWorld(t).Value(`return 1 / require("json").decode("-0") == -1/0`))
}

func TestDecodeRefusesWhatIsNotJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for text, want := range map[string]string{
		``:                "the text ends too early",
		`  `:              "the text ends too early",
		`[1, 2`:           "the text ends too early",
		`{"a":`:           "the text ends too early",
		`{"a"`:            "the text ends too early",
		`"abc`:            "the text ends too early",
		`[1,]`:            "invalid character ']'",
		`[1 2]`:           "invalid character '2'",
		`{"a" 1}`:         "invalid character '1'",
		`{a: 1}`:          "invalid character 'a'",
		`{"a":1,}`:        "invalid character '}'",
		`{1: 2}`:          "invalid character '1'",
		`[1}`:             "invalid character '}'",
		`]`:               "invalid character ']'",
		`nul`:             "the text ends too early",
		`01`:              "there is more after the end of the value",
		`1 2`:             "there is more after the end of the value",
		`{} x`:            "there is more after the end of the value",
		`'a'`:             `invalid character '\''`,
		`1e400`:           "the number 1e400 is too large",
		"\"\xff\"":        "the text is not valid UTF-8",
		`"\ud800"`:        "at byte 2: half of a surrogate pair is not a character",
		`"ab\udc00"`:      "at byte 4: half of a surrogate pair is not a character",
		`"\ud800\ud800"`:  "half of a surrogate pair",
		`"\ud800\u0041"`:  "half of a surrogate pair",
		"\"tab\there\"":   "invalid character",
		`{"a": undefined`: "invalid character 'u'",
	} {
		answer := w.List(`local v, err = require("json").decode(...) return {tostring(v), err:kind(), err:message()}`, text)
		require.Equal(t, []any{"nil", "INVALID"}, answer[:2], text)
		require.Contains(t, answer[2], "json: decode: ", text)
		require.Contains(t, answer[2], want, text)
	}
}

func TestDecodeIsBoundedInDepth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, []any{true, "INVALID"}, w.Value(`
		local json = require("json")
		local deep = json.decode(string.rep("[", 512) .. string.rep("]", 512))
		local _, err = json.decode(string.rep("[", 513) .. string.rep("]", 513))
		return {deep ~= nil, err:kind()}`))
}

func TestWrongCallsRaise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for call, want := range map[string]string{
		`decode(5)`:                 "bad argument #1 to decode (the text is 5, must be a string)",
		`decode()`:                  "the text is nil, must be a string",
		`encode(1, {indnt = " "})`:  `json: encode: key "indnt" is not known: use indent`,
		`encode(1, {indent = "x"})`: `json: encode: indent is "x", must be one of`,
		`encode(1, 2)`:              "options must be a table, not 2",
	} {
		require.ErrorContains(t, w.Failure(`require("json").`+call), want, call)
	}
}
