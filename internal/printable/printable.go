// Package printable makes text harmless that comes from files, databases and scripts and goes to a terminal: escape
// sequences would move its cursor or rewrite what stands there, and bidirectional characters turn words around.
package printable

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Line returns s with every character escaped, as Go writes it, that does not print, those that end a line included.
func Line(s string) string { return escape(s, "") }

// Lines returns s with every character escaped that does not print, but for tabs and the ends of lines.
func Lines(s string) string { return escape(s, "\t\n") }

// Prints reports whether Line would return s as it is.
func Prints(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })
}

func escape(s, allowed string) string {
	if Prints(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch invalid := r == utf8.RuneError && size == 1; {
		case !invalid && (strconv.IsPrint(r) || strings.ContainsRune(allowed, r)):
			b.WriteString(s[:size])
		default:
			quoted := strconv.Quote(s[:size])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[size:]
	}
	return b.String()
}
