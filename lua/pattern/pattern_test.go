package pattern_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/yuin/gopher-lua/pm"
	"pgregory.net/rapid"

	"github.com/wippy-cdc/runtime/lua/pattern"
)

func never() bool { return false }

// find returns the first match of a pattern and what it captures: pieces of text, and positions as numbers from 1 on.
func find(tb testing.TB, text, p string) (captures []any, found bool) {
	tb.Helper()
	m := pattern.New(text, p, never)
	m.Anchor()
	match, ok, err := m.From(0)
	require.NoError(tb, err, p)
	if !ok {
		return nil, false
	}
	captures = []any{text[match.Start:match.End]}
	for _, c := range match.Captures {
		if at, ok := c.Position(); ok {
			captures = append(captures, at+1)
		} else {
			captures = append(captures, c.Text(text))
		}
	}
	return captures, true
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		text, pattern string
		want          []any // nil: no match
	}{
		{"hello world", "o w", []any{"o w"}},
		{"key = value", "(%w+)%s*=%s*(%w+)", []any{"key = value", "key", "value"}},
		{"abc", "", []any{""}},
		{"", "^$", []any{""}},
		{"abc", "^b", nil},
		{"abc", "b$", nil},
		{"a$c", "a$c", []any{"a$c"}},
		{"a^c", "a^c", []any{"a^c"}},
		{"aaa", "a-", []any{""}},
		{"aaa", "a-$", []any{"aaa"}},
		{"<a><b>", "<(.-)>", []any{"<a>", "a"}},
		{"aab", "a?a?a?b", []any{"aab"}},
		{"abc", "()b()", []any{"b", 2, 3}},
		{"abc", "(a)(b(c))", []any{"abc", "a", "bc", "c"}},
		{`say "it's"`, `(["'])(.-)%1`, []any{`"it's"`, `"`, "it's"}},
		{"f(a(b)c)d", "%b()", []any{"(a(b)c)"}},
		{"f(a(b", "%b()", nil},
		{"THE (quick) fox", "%f[%a]%a+", []any{"THE"}},
		{"THE (quick) fox", "%f[%l]%a+", []any{"quick"}},
		{"foo.bar", "%.", []any{"."}},
		{"a]b", "[]]", []any{"]"}},
		{"a]b", "[^]]+", []any{"a"}},
		{"a-b", "[a%-]+", []any{"a-"}},
		{"a-b", "[%w-]+", []any{"a-b"}},
		{"x^y", "[y^]+", []any{"^y"}},
		{"a%b", "[%%]", []any{"%"}},
		{"héllo", "[\x80-\xff]+", []any{"é"}},
		{"a\x00b", "%z", []any{"\x00"}},
		{"a\x00b", "a.b", []any{"a\x00b"}},
		{"0x1F", "%x+$", []any{"1F"}},
		{"tab\there", "%c", []any{"\t"}},
		{"Hi!", "%p", []any{"!"}},
		{"Hi!", "%U+", []any{"i!"}},
		{"+-", "*", nil},
		{"a*b", "a*b", []any{"b"}},
	} {
		got, found := find(t, c.text, c.pattern)
		require.Equal(t, c.want, got, "%q in %q", c.pattern, c.text)
		require.Equal(t, c.want != nil, found)
	}
}

func TestMalformedPatterns(t *testing.T) {
	for p, want := range map[string]string{
		"%":                       "malformed pattern (ends with '%')",
		"a%":                      "malformed pattern (ends with '%')",
		"[a":                      "malformed pattern (missing ']')",
		"[^":                      "malformed pattern (missing ']')",
		"[]":                      "malformed pattern (missing ']')",
		"[a%":                     "malformed pattern (missing ']')",
		"(a":                      "unfinished capture",
		"a)":                      "invalid pattern capture",
		"%1":                      "invalid capture index",
		"(%1)":                    "invalid capture index",
		"()%1":                    "capture 1 is a position",
		"%bx":                     "%b needs two characters",
		"%fa":                     "missing '[' after '%f' in pattern",
		strings.Repeat("(a)", 33): "too many captures",
		strings.Repeat("a?", 1e5): "pattern too complex",
		strings.Repeat("()", 33):  "too many captures",
	} {
		m := pattern.New(strings.Repeat("a", 1e5), p, never)
		_, ok, err := m.From(0)
		require.False(t, ok, p)
		require.ErrorContains(t, err, want, p)
	}
}

func TestAMatchCanBeStopped(t *testing.T) {
	for _, p := range []string{strings.Repeat("a*", 30) + "b", strings.Repeat("a-", 30) + "b", strings.Repeat("(a?)", 30) + "b", "%b()"} {
		asked := 0
		text := strings.Repeat("a", 30)
		if p == "%b()" {
			text = strings.Repeat("(", 1<<20)
		}
		_, ok, err := pattern.New(text, p, func() bool { asked++; return asked == 3 }).From(0)
		require.False(t, ok, p)
		require.ErrorIs(t, err, pattern.ErrStopped, p)
		require.Equal(t, 3, asked, p)
	}
}

func TestRunsOfAnyLength(t *testing.T) {
	text := strings.Repeat("a", 3<<20)
	for _, p := range []string{"^a*$", "^a+$", "^a-$", "^(.*)$", "^.-(a)$", "^[ab]*$"} {
		captures, found := find(t, text, p)
		require.True(t, found, p)
		require.Len(t, captures[0], len(text), p)
	}
}

// TestAgainstGopherLua compares matches of random patterns with those of gopher-lua's own matcher, which differs from Lua
// in what the generator leaves out: %f, %z, ] and ^ in sets, and an item before ? or * that is a capture.
func TestAgainstGopherLua(t *testing.T) {
	atom := rapid.SampledFrom([]string{"a", "b", "c", ".", "%a", "%d", "%s", "%w", "%W", "%.", "[ab]", "[^a]", "[a-c]", "[%d.]", "%l", "%u", "%p", "%x"})
	item := rapid.Custom(func(t *rapid.T) string {
		return atom.Draw(t, "atom") + rapid.SampledFrom([]string{"", "", "", "*", "+", "-", "?"}).Draw(t, "times")
	})
	part := rapid.Custom(func(t *rapid.T) string {
		items := strings.Join(rapid.SliceOfN(item, 1, 3).Draw(t, "items"), "")
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 0, 1:
			return "(" + items + ")"
		case 2:
			return "()"
		case 3:
			return "%bab"
		case 4:
			return "((" + items + ")" + item.Draw(t, "item") + ")"
		default:
			return items
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		p := strings.Join(rapid.SliceOfN(part, 1, 4).Draw(t, "parts"), "")
		if rapid.Bool().Draw(t, "end") {
			p += "$"
		}
		if rapid.Bool().Draw(t, "begin") {
			p = "^" + p
		}
		text := rapid.StringOfN(rapid.RuneFrom([]rune("aabbcA1 .")), 0, 12, -1).Draw(t, "text")
		theirs, err := pm.Find(p, []byte(text), 0, 1)
		require.NoError(t, err)
		m := pattern.New(text, p, never)
		m.Anchor()
		ours, found, err := m.From(0)
		require.NoError(t, err)
		require.Equal(t, len(theirs) == 1, found)
		if !found {
			return
		}
		require.Equal(t, []int{theirs[0].Capture(0), theirs[0].Capture(1)}, []int{ours.Start, ours.End})
		require.Len(t, ours.Captures, theirs[0].CaptureLength()/2-1)
		for i, c := range ours.Captures {
			if at, ok := c.Position(); ok {
				require.True(t, theirs[0].IsPosCapture(2*i+2))
				require.Equal(t, theirs[0].Capture(2*i+2), at+1)
			} else {
				require.Equal(t, text[theirs[0].Capture(2*i+2):theirs[0].Capture(2*i+3)], c.Text(text))
			}
		}
	})
}
