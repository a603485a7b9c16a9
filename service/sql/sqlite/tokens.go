package sqlite

import (
	"iter"
	"strings"
)

// token is a part of a SQL text: https://www.sqlite.org/lang_keywords.html. The text of a name in quotes, and of a string,
// is without them.
type token struct {
	text string
	// at is where it begins.
	at int
	// isName means that it may be a name: a word, or anything in quotes.
	isName bool
	// isQuoted means that it was in quotes, and is no keyword.
	isQuoted bool
}

// is reports whether the token is a keyword or a symbol.
func (t token) is(text string) bool { return !t.isQuoted && strings.EqualFold(t.text, text) }

// tokensOf divides a text as SQLite does, as far as names are concerned: comments are left out, and numbers are words.
func tokensOf(text string) iter.Seq[token] {
	return func(yield func(token) bool) {
		for at := 0; ; {
			at = len(text) - len(skipSpace(text[at:]))
			if at >= len(text) {
				return
			}
			t, n := firstToken(text[at:])
			t.at = at
			if !yield(t) {
				return
			}
			at += n
		}
	}
}

// skipSpace skips white space and comments.
func skipSpace(text string) string {
	for {
		text = strings.TrimLeft(text, " \t\n\r\f\uFEFF")
		switch {
		case strings.HasPrefix(text, "--"):
			_, text, _ = strings.Cut(text, "\n")
		case strings.HasPrefix(text, "/*"):
			_, text, _ = strings.Cut(text[2:], "*/")
		default:
			return text
		}
	}
}

// firstToken returns the token that a text begins with, and its length.
func firstToken(text string) (t token, n int) {
	switch quote := text[0]; quote {
	case '"', '`', '\'':
		return quoted(text, quote)
	case '[':
		inner, _, found := strings.Cut(text[1:], "]")
		n = 1 + len(inner)
		if found {
			n++
		}
		return token{text: inner, isName: true, isQuoted: true}, n
	}
	for n < len(text) && isOfWord(text[n]) {
		n++
	}
	if n == 0 {
		return token{text: text[:1]}, 1
	}
	return token{text: text[:n], isName: true}, n
}

// quoted reads a token in quotes, in which a quote stands twice.
func quoted(text string, quote byte) (t token, n int) {
	var inner strings.Builder
	for n = 1; n < len(text); n++ {
		if text[n] == quote {
			if n+1 == len(text) || text[n+1] != quote {
				n++
				break
			}
			n++
		}
		inner.WriteByte(text[n])
	}
	return token{text: inner.String(), isName: true, isQuoted: true}, n
}

func isOfWord(c byte) bool {
	return c >= 0x80 || c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// tableOptions reads what stands behind the columns of a CREATE TABLE as SQLite stores it:
// https://www.sqlite.org/lang_createtable.html#tablecoldef.
func tableOptions(text string) (withoutRowID, isStrict bool) {
	for t := range tokensOf(text) {
		switch {
		case t.is(")"):
			withoutRowID, isStrict = false, false
		case t.is("WITHOUT"):
			withoutRowID = true
		case t.is("STRICT"):
			isStrict = true
		}
	}
	return withoutRowID, isStrict
}

// lower returns a name in small letters as SQLite sees it, to which letters beyond ASCII are different ones.
func lower(name string) string {
	for i := range len(name) {
		if c := name[i]; 'A' <= c && c <= 'Z' {
			return strings.Map(func(r rune) rune {
				if 'A' <= r && r <= 'Z' {
					return r + ('a' - 'A')
				}
				return r
			}, name)
		}
	}
	return name
}
