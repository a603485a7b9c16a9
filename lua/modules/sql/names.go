package sql

import (
	"database/sql"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/sql"
)

// arguments returns the arguments that params gives to the statement. SQLite takes a name without a value for NULL,
// so that a misspelt one would go unnoticed: it is an error here.
func (r *runner) arguments(db api.DB, params lua.LValue) ([]any, error) {
	args, err := arguments(params)
	if err != nil || len(args) == 0 {
		return args, err
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
		return args, nil
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

// positional returns an error if args has names, which only SQLite knows.
func positional(db api.DB, args []any) error {
	if named, ok := args[0].(sql.NamedArg); ok {
		return errs.New(errs.Invalid, "params has the name %q, but %s knows only positions: write $1, $2 and a list", named.Name, db.Type())
	}
	return nil
}

// placeholders returns the names of the parameters in a SQLite statement or script, in order, as often as they are
// used. See https://www.sqlite.org/lang_expr.html#varparam.
func placeholders(text string) []string {
	var names []string
	for i := 0; i < len(text); {
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
			end := wordEnd(text, i+1)
			if end > i+1 {
				names = append(names, text[i+1:end])
			}
			i = end
		case isWord(c):
			i = wordEnd(text, i)
		default:
			i++
		}
	}
	return names
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

// isWord reports whether c can stand in an identifier.
func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
