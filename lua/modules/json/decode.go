package json

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/modules/internal/value"
)

// decode reads exactly one JSON value from s.
func decode(L *lua.LState, s string) (lua.LValue, error) {
	if !utf8.ValidString(s) {
		return nil, errs.New(errs.Invalid, "json: decode: the text is not valid UTF-8")
	}
	if at, ok := loneSurrogate(s); ok {
		return nil, errs.New(errs.Invalid, "json: decode: at byte %d: half of a surrogate pair is not a character", at+1)
	}
	d := &decoder{L: L, in: json.NewDecoder(strings.NewReader(s))}
	d.in.UseNumber()
	v, err := d.value(0)
	if err != nil {
		return nil, d.fail(err)
	}
	if _, err := d.in.Token(); !errors.Is(err, io.EOF) {
		return nil, d.fail(errors.New("there is more after the end of the value"))
	}
	return v, nil
}

type decoder struct {
	L  *lua.LState
	in *json.Decoder
}

func (d *decoder) fail(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the text ends too early")
	}
	at := d.in.InputOffset()
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = e.Offset
	}
	return errs.New(errs.Invalid, "json: decode: at byte %d: %w", at, err)
}

func (d *decoder) value(depth int) (lua.LValue, error) {
	token, err := d.in.Token()
	if err != nil {
		return nil, err
	}
	return d.from(token, depth)
}

func (d *decoder) from(token json.Token, depth int) (lua.LValue, error) {
	switch token := token.(type) {
	case json.Delim:
		if depth >= maxDepth {
			return nil, errors.New("it is nested more than " + strconv.Itoa(maxDepth) + " deep")
		}
		if token == '[' {
			return d.array(depth + 1)
		}
		return d.object(depth + 1)
	case string:
		return lua.LString(token), nil
	case json.Number:
		return number(token.String())
	case bool:
		return lua.LBool(token), nil
	default:
		return lua.LNil, nil
	}
}

func (d *decoder) array(depth int) (lua.LValue, error) {
	t := d.L.CreateTable(0, 0)
	for i := 1; d.in.More(); i++ {
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		t.RawSetInt(i, v)
	}
	_, err := d.in.Token()
	return t, err
}

func (d *decoder) object(depth int) (lua.LValue, error) {
	t := d.L.CreateTable(0, 0)
	for d.in.More() {
		token, err := d.in.Token()
		if err != nil {
			return nil, err
		}
		name, ok := token.(string)
		if !ok {
			return nil, errors.New("an object has strings as keys")
		}
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		t.RawSetString(name, v)
	}
	_, err := d.in.Token()
	return t, err
}

// number returns a literal as a number, or as the string that it is if it is an integer beyond ±2^53.
func number(literal string) (lua.LValue, error) {
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return nil, errors.New("the number " + literal + " is too large")
	}
	if strings.ContainsAny(literal, ".eE") {
		return lua.LNumber(f), nil
	}
	if i, err := strconv.ParseInt(literal, 10, 64); err != nil || i > value.MaxExact || i < -value.MaxExact {
		return lua.LString(literal), nil //nolint:nilerr // not an int64: it keeps its digits as a string
	}
	return lua.LNumber(f), nil
}

// loneSurrogate finds a \uD800..\uDFFF escape without its other half, which encoding/json would replace silently.
func loneSurrogate(s string) (int, bool) {
	for i := 0; i+1 < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		switch first := escaped(s[i:]); {
		case first >= 0xD800 && first < 0xDC00:
			if low := escaped(s[i+6:]); low < 0xDC00 || low > 0xDFFF {
				return i, true
			}
			i += 11
		case first >= 0xDC00 && first <= 0xDFFF:
			return i, true
		default:
			i++
		}
	}
	return 0, false
}

// escaped returns the code of the \uXXXX escape that s begins with, -1 if it does not.
func escaped(s string) int64 {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	code, err := strconv.ParseUint(s[2:6], 16, 16)
	if err != nil {
		return -1
	}
	return int64(code)
}
