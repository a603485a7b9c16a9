package sqlite

import (
	"iter"
	"strings"
)

// token is a part of a SQL text: https://www.sqlite.org/lang_keywords.html. The text of a name in quotes, and of a string,
// is without them.
type token struct {
	text string
	// at is where it begins, and end where it ends.
	at, end int
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
		r := &reading{text: text}
		for r.next(); !r.isAtEnd(); r.next() {
			if !yield(r.now) {
				return
			}
		}
	}
}

// space is the characters that SQLite takes for white space.
const space = " \t\n\r\f\uFEFF"

// skipSpace skips white space and comments.
func skipSpace(text string) string { return skip(text, space) }

// skip skips characters and comments, see https://www.sqlite.org/lang_comment.html.
func skip(text, characters string) string {
	for {
		text = strings.TrimLeft(text, characters)
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

// isPlain reports whether a definition ends with the bracket that closes its columns, as seen at a glance.
func isPlain(definition string) bool {
	return strings.HasSuffix(definition, ")") && !strings.Contains(definition, "--") && !strings.Contains(definition, "/*")
}

// tableOptions reads what stands behind the columns of a CREATE TABLE as SQLite stores it:
// https://www.sqlite.org/lang_createtable.html#tablecoldef.
func tableOptions(definition string) (withoutRowID, isStrict bool) {
	if isPlain(definition) {
		return false, false
	}
	for t := range tokensOf(definition) {
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

// creation is what a CREATE statement says about what it creates.
type creation struct {
	// name is that of an ordinary table of main, "" if it is none.
	name string
	// sql is its definition as SQLite stores it, "" for CREATE TABLE … AS.
	sql string
	// virtual means that it is a virtual table.
	virtual bool
}

// reading is a text that is read token by token.
type reading struct {
	text string
	// now is the token that was read last, the zero token at the end.
	now token
}

func (r *reading) next() token {
	at := len(r.text) - len(skipSpace(r.text[r.now.end:]))
	if at >= len(r.text) {
		r.now = token{at: at, end: at}
		return r.now
	}
	t, n := firstToken(r.text[at:])
	t.at, t.end = at, at+n
	r.now = t
	return t
}

func (r *reading) isAtEnd() bool { return r.now.at == len(r.text) }

// creationOf reads https://www.sqlite.org/lang_createtable.html as far as the name.
func creationOf(text string) (c creation) {
	r := &reading{text: text}
	for r.next().is(";") {
	}
	t := r.next() // what follows CREATE
	elsewhere := t.is("TEMP") || t.is("TEMPORARY")
	if elsewhere {
		t = r.next()
	}
	if c.virtual = t.is("VIRTUAL"); c.virtual || elsewhere || !t.is("TABLE") {
		return c
	}
	name := r.next()
	if r.next(); name.is("IF") && r.now.is("NOT") { // else it is a table of that name
		r.next() // EXISTS
		name = r.next()
		r.next()
	}
	if r.now.is(".") {
		if lower(name.text) != "main" {
			return c
		}
		name = r.next()
		r.next()
	}
	if c.name = name.text; c.name != "" && !r.now.is("AS") {
		c.sql = "CREATE TABLE " + text[name.at:r.endOfDefinition()]
	}
	return c
}

// endOfDefinition returns where the part of a CREATE TABLE ends that SQLite stores: with the bracket that closes the columns,
// the first of which was read last, or, if there are options behind it, where the statement ends.
func (r *reading) endOfDefinition() (end int) {
	if isPlain(r.text) && !strings.Contains(r.text, ";") {
		return len(r.text)
	}
	for depth := 0; !r.isAtEnd(); r.next() {
		switch {
		case r.now.is(";"):
			if end == 0 {
				end = r.now.at
			}
			return end
		case r.now.is("("):
			depth++
		case r.now.is(")"):
			depth--
			end = r.now.end
		case depth == 0:
			end = 0
		}
	}
	if end == 0 {
		end = len(r.text)
	}
	return end
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
