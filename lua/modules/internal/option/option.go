// Package option decodes the option tables of script calls strictly: an unknown key or a wrong value is an error
// that says what is accepted.
package option

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/modules/internal/value"
)

// Field is a key that an option table may have. Set takes its value, which is never nil.
type Field struct {
	Key string
	Set func(v lua.LValue) error
}

// Decode reads the options in v, a table or nil, into fields. The error is of kind Invalid and tells every problem.
func Decode(v lua.LValue, fields ...Field) error {
	if v == lua.LNil {
		return nil
	}
	t, ok := v.(*lua.LTable)
	if !ok {
		return errs.New(errs.Invalid, "options must be a table, not %s", Describe(v))
	}
	problems := unknown(t, fields)
	for _, f := range fields {
		v := t.RawGetString(f.Key)
		if v == lua.LNil {
			continue
		}
		if err := f.Set(v); err != nil {
			problems = append(problems, f.Key+" "+err.Error())
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return errs.New(errs.Invalid, "%s", strings.Join(problems, "; "))
}

func unknown(t *lua.LTable, fields []Field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.Key
	}
	var problems []string
	t.ForEach(func(k, _ lua.LValue) {
		if s, ok := k.(lua.LString); !ok || !slices.Contains(keys, string(s)) {
			problems = append(problems, fmt.Sprintf("key %s is not known: use %s", Describe(k), strings.Join(keys, ", ")))
		}
	})
	slices.Sort(problems)
	return problems
}

// Text returns argument n, which must be a string; what names it, with its verb: "the text is".
func Text(L *lua.LState, n int, what string) string {
	s, ok := L.Get(n).(lua.LString)
	if !ok {
		L.ArgError(n, fmt.Sprintf("%s %s, must be a string", what, Describe(L.Get(n))))
	}
	return string(s)
}

// Describe names v in an error message: short values as they are written, others by their type.
func Describe(v lua.LValue) string {
	const longest = 64
	switch v := v.(type) {
	case lua.LString:
		if len(v) > longest {
			return fmt.Sprintf("%q…", string(v[:longest]))
		}
		return fmt.Sprintf("%q", string(v))
	case lua.LNumber, lua.LBool, *lua.LNilType:
		return v.String()
	default:
		return "a " + v.Type().String()
	}
}

// Flag is a boolean option.
func Flag(key string, dst *bool) Field {
	return Field{Key: key, Set: func(v lua.LValue) error {
		b, ok := v.(lua.LBool)
		if !ok {
			return fmt.Errorf("is %s, must be true or false", Describe(v))
		}
		*dst = bool(b)
		return nil
	}}
}

// Word is a string option that accepts the words given, or any string if there are none.
func Word(key string, dst *string, words ...string) Field {
	return Field{Key: key, Set: func(v lua.LValue) error {
		s, ok := v.(lua.LString)
		switch {
		case len(words) > 0 && (!ok || !slices.Contains(words, string(s))):
			return fmt.Errorf("is %s, must be one of %s", Describe(v), strings.Join(words, ", "))
		case !ok:
			return fmt.Errorf("is %s, must be a string", Describe(v))
		}
		*dst = string(s)
		return nil
	}}
}

// Whole is an integer option from low to high; 0 as high means that there is no upper bound here.
func Whole(key string, dst *int64, low, high int64) Field {
	accepted := fmt.Sprintf("a whole number from %d to %d", low, high)
	if high == 0 {
		high, accepted = value.MaxExact, fmt.Sprintf("a whole number, at least %d", low)
	}
	return Field{Key: key, Set: func(v lua.LValue) error {
		n, ok := v.(lua.LNumber)
		if !ok {
			return fmt.Errorf("is %s, must be %s", Describe(v), accepted)
		}
		i, whole := value.Whole(n)
		if !whole || i < low || i > high {
			return fmt.Errorf("is %s, must be %s", Describe(v), accepted)
		}
		*dst = i
		return nil
	}}
}

// Words is a list of strings with at least one element, each among accepted, or any string that is not empty if
// accepted is nil.
func Words(key string, dst *[]string, accepted []string) Field {
	return Field{Key: key, Set: func(v lua.LValue) error {
		words, err := list(v)
		if err != nil {
			return err
		}
		for _, w := range words {
			if accepted != nil && !slices.Contains(accepted, w) {
				return fmt.Errorf("has %q, accepted are %s", w, strings.Join(accepted, ", "))
			}
			if w == "" {
				return errors.New("has an empty name")
			}
		}
		*dst = words
		return nil
	}}
}

func list(v lua.LValue) ([]string, error) {
	t, ok := v.(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("is %s, must be a list of strings", Describe(v))
	}
	count := 0
	t.ForEach(func(_, _ lua.LValue) { count++ })
	if count == 0 {
		return nil, errors.New("is empty: name at least one, or leave it out for all")
	}
	words := make([]string, count)
	for i := range words {
		s, ok := t.RawGetInt(i + 1).(lua.LString)
		if !ok {
			return nil, fmt.Errorf("must be a list of strings, its element %d is %s", i+1, Describe(t.RawGetInt(i+1)))
		}
		words[i] = string(s)
	}
	return words, nil
}
