package json

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/value"
)

// maxDepth bounds how deeply arrays and objects may be nested, in both directions.
const maxDepth = 512

// encoder writes one Lua value as JSON. path is where it stands, for errors.
type encoder struct {
	out   bytes.Buffer
	words *json.Encoder
	path  []string
	open  map[*lua.LTable]bool
}

func newEncoder() *encoder {
	e := &encoder{open: make(map[*lua.LTable]bool)}
	e.words = json.NewEncoder(&e.out)
	e.words.SetEscapeHTML(false)
	return e
}

func (e *encoder) encode(v lua.LValue) error {
	switch v := v.(type) {
	case *lua.LNilType:
		e.out.WriteString("null")
		return nil
	case lua.LBool:
		e.out.WriteString(strconv.FormatBool(bool(v)))
		return nil
	case lua.LNumber:
		return e.number(v)
	case lua.LString:
		return e.text(string(v))
	case *lua.LTable:
		return e.table(v)
	default:
		if err, ok := engine.ErrorOf(v); ok {
			return e.text(err.Error())
		}
		return e.fail("a %s has no JSON form", v.Type())
	}
}

// number writes integers up to 2^53 and fractions plainly. Larger integers get an exponent, so that decode, which keeps
// the digits of a long integer in a string, gives the number back; so do fractions that begin with many zeros.
func (e *encoder) number(n lua.LNumber) error {
	f := float64(n)
	switch i, whole := value.Whole(n); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return e.fail("%s has no JSON form", n)
	case whole:
		e.out.Write(strconv.AppendInt(e.out.AvailableBuffer(), i, 10))
	case f == math.Trunc(f) && f != 0:
		e.out.Write(strconv.AppendFloat(e.out.AvailableBuffer(), f, 'e', -1, 64))
	case f != 0 && math.Abs(f) < 1e-6:
		e.out.Write(strconv.AppendFloat(e.out.AvailableBuffer(), f, 'e', -1, 64))
	default:
		e.out.Write(strconv.AppendFloat(e.out.AvailableBuffer(), f, 'f', -1, 64))
	}
	return nil
}

func (e *encoder) text(s string) error {
	if plain(s) {
		e.out.WriteByte('"')
		e.out.WriteString(s)
		e.out.WriteByte('"')
		return nil
	}
	if !utf8.ValidString(s) {
		s = asBase64(s)
	}
	if err := e.words.Encode(s); err != nil {
		return e.fail("%w", err)
	}
	e.out.Truncate(e.out.Len() - 1) // the newline that the encoder adds
	return nil
}

// asBase64 returns the text that stands for bytes that are no text, as in encoded changes.
func asBase64(s string) string { return "base64:" + base64.StdEncoding.EncodeToString([]byte(s)) }

// plain reports whether s is written as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf || c == 0x7f {
			return false
		}
	}
	return true
}

func (e *encoder) table(t *lua.LTable) error {
	if e.open[t] {
		return e.fail("the table contains itself")
	}
	if len(e.path) >= maxDepth {
		return e.fail("it is nested more than %d deep", maxDepth)
	}
	e.open[t] = true
	defer delete(e.open, t)
	names, elements, err := e.keys(t)
	if err != nil {
		return err
	}
	if elements > 0 {
		return e.array(t, elements)
	}
	return e.object(t, names)
}

// keys returns the sorted keys of an object, or the number of elements of an array.
func (e *encoder) keys(t *lua.LTable) (names []string, elements int, err error) {
	var odd lua.LValue
	t.ForEach(func(k, _ lua.LValue) {
		switch k := k.(type) {
		case lua.LString:
			names = append(names, string(k))
		case lua.LNumber:
			elements++
		default:
			odd = k
		}
	})
	switch {
	case odd != nil:
		return nil, 0, e.fail("the table has a %s as a key; JSON keys are strings", odd.Type())
	case elements > 0 && len(names) > 0:
		return nil, 0, e.fail("the table has both numbers and strings as keys; an array has 1..n, an object has strings")
	case elements > 0 && !sequence(t, elements):
		return nil, 0, e.fail("the table has gaps; an array has the keys 1..n, all of them")
	}
	slices.Sort(names)
	return names, elements, nil
}

// sequence reports whether the n number keys of t are 1..n.
func sequence(t *lua.LTable, n int) bool {
	for i := 1; i <= n; i++ {
		if t.RawGet(lua.LNumber(i)) == lua.LNil {
			return false
		}
	}
	return true
}

func (e *encoder) array(t *lua.LTable, elements int) error {
	e.out.WriteByte('[')
	for i := 1; i <= elements; i++ {
		if i > 1 {
			e.out.WriteByte(',')
		}
		e.path = append(e.path, "["+strconv.Itoa(i)+"]")
		if err := e.encode(t.RawGet(lua.LNumber(i))); err != nil {
			return err
		}
		e.path = e.path[:len(e.path)-1]
	}
	e.out.WriteByte(']')
	return nil
}

func (e *encoder) object(t *lua.LTable, names []string) error {
	e.out.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			e.out.WriteByte(',')
		}
		e.path = append(e.path, "."+name)
		if !utf8.ValidString(name) && t.RawGetString(asBase64(name)) != lua.LNil {
			return e.fail("the table has two keys that are written alike, one of them is not UTF-8")
		}
		if err := e.text(name); err != nil {
			return err
		}
		e.out.WriteByte(':')
		if err := e.encode(t.RawGetString(name)); err != nil {
			return err
		}
		e.path = e.path[:len(e.path)-1]
	}
	e.out.WriteByte('}')
	return nil
}

func (e *encoder) fail(format string, args ...any) error {
	const longest = 16
	where := "value" + strings.Join(e.path[:min(len(e.path), longest)], "")
	if len(e.path) > longest {
		where += "…"
	}
	return errs.New(errs.Invalid, "json: encode: %q: %w", where, errs.New(errs.Invalid, format, args...))
}
