package printable_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/internal/printable"
)

func TestWhatDoesNotPrintIsEscaped(t *testing.T) {
	for s, want := range map[string]string{
		"":                    "",
		"größe \"x\" \\ 日本 😀": "größe \"x\" \\ 日本 😀",
		"\x1b[31mred\x07":     `\x1b[31mred\a`,
		"a\u202Eb\u2066c":     `a\u202eb\u2066c`,
		"zero\u200bwidth":     `zero\u200bwidth`,
		"\xff\xfe":            `\xff\xfe`,
		"c1 \u009b31m":        `c1 \u009b31m`,
		"a\tb\r\nc":           `a\tb\r\nc`,
	} {
		require.Equal(t, want, printable.Line(s))
		require.Equal(t, want == s, printable.Prints(s), s)
		require.True(t, printable.Prints(printable.Line(s)), s)
	}
	require.Equal(t, "a\tb\\r\nc \\x1b[2J", printable.Lines("a\tb\r\nc \x1b[2J"))
}
