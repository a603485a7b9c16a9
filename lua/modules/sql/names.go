package sql

import (
	"database/sql"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// fit returns the arguments as the statement takes them. SQLite takes a name without a value for NULL,
// so that a misspelt one would go unnoticed, and ignores values without a placeholder: both are errors here.
func (r *runner) fit(db sqlapi.DB, args []any) ([]any, error) {
	if len(args) == 0 {
		return args, nil
	}
	if db.Type() != "sqlite" {
		return args, positional(db, args)
	}
	given := make([]string, 0, len(args))
	for _, arg := range args {
		if named, ok := arg.(sql.NamedArg); ok {
			given = append(given, named.Name)
		}
	}
	if len(given) == 0 {
		return args, surplus(len(args), capacity(r.text))
	}
	wanted := placeholders(r.text)
	for _, name := range wanted {
		if !slices.Contains(given, name) {
			return nil, errs.New(errs.Invalid, "params has no value for %q, it has %s", name, strings.Join(given, ", "))
		}
	}
	// The driver deals arguments out to the statements of a script by number, and then looks for names among all of
	// them: a name that several statements use must be there as often.
	for n := len(args); !r.prepared && len(args) < len(wanted); {
		args = append(args, args[len(args)%n])
	}
	return args, nil
}

// surplus returns an error if there are more values than places for them.
func surplus(values, places int) error {
	if values <= places {
		return nil
	}
	return errs.New(errs.Invalid, "%s for %s", count(values, "parameter"), count(places, "placeholder"))
}

func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// positional returns an error if args has names, which only SQLite knows.
func positional(db sqlapi.DB, args []any) error {
	if named, ok := args[0].(sql.NamedArg); ok {
		return errs.New(errs.Invalid, "params has the name %q, but %s knows only positions: write $1, $2 and a list", named.Name, db.Type())
	}
	return nil
}

// placeholders returns the names of the parameters in a SQLite statement or script, in order, as often as they are
// used.
func placeholders(text string) []string {
	var names []string
	for token := range tokens(text) {
		if token[0] != '?' && token[0] != ';' {
			names = append(names, token[1:])
		}
	}
	return names
}

// capacity returns how many values a SQLite statement or script takes by position: each of its statements as many as
// the highest number of its parameters, where ? and each new name get the next one.
func capacity(text string) int {
	total, highest := 0, 0
	seen := make(map[string]bool)
	for token := range tokens(text) {
		switch number, err := strconv.Atoi(token[1:]); {
		case token == ";":
			total, highest = total+highest, 0
			clear(seen)
		case token == "?":
			highest++
		case token[0] == '?' && err == nil:
			highest = max(highest, number)
		case !seen[token]:
			seen[token] = true
			highest++
		}
	}
	return total + highest
}

// tokens yields the parameters in a SQLite statement or script, as they are written, and the semicolons. See
// https://www.sqlite.org/lang_expr.html#varparam.
func tokens(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := 0; i < len(text); {
			begin, isToken := i, false
			switch c := text[i]; {
			case c == '\'' || c == '"' || c == '`':
				i = after(text, i+1, string(c))
			case c == '[':
				i = after(text, i+1, "]")
			case strings.HasPrefix(text[i:], "--"):
				i = after(text, i+2, "\n")
			case strings.HasPrefix(text[i:], "/*"):
				i = after(text, i+2, "*/")
			case c == ':' || c == '@' || c == '$':
				i = wordEnd(text, i+1)
				isToken = i > begin+1
			case c == '?':
				i = numberEnd(text, i+1)
				isToken = true
			case isWord(c):
				i = wordEnd(text, i)
			default:
				i++
				isToken = c == ';'
			}
			if isToken && !yield(text[begin:i]) {
				return
			}
		}
	}
}

// after returns the position behind the next end in text from i on, or the end of text.
func after(text string, i int, end string) int {
	if n := strings.Index(text[i:], end); n >= 0 {
		return i + n + len(end)
	}
	return len(text)
}

func wordEnd(text string, i int) int {
	for i < len(text) && isWord(text[i]) {
		i++
	}
	return i
}

func numberEnd(text string, i int) int {
	for i < len(text) && text[i] >= '0' && text[i] <= '9' {
		i++
	}
	return i
}

// isWord reports whether c can stand in an identifier.
func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
