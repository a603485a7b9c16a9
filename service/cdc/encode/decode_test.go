package encode_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// object is a JSON object as a reader takes it apart that knows what docs/formats.md says. No name comes twice.
type object map[string]json.RawMessage

// parse takes an object apart.
func parse(t require.TestingT, text []byte) object {
	in := json.NewDecoder(bytes.NewReader(text))
	token, err := in.Token()
	require.NoError(t, err)
	require.Equal(t, json.Delim('{'), token, "%s", text)
	found := make(object)
	for in.More() {
		name, err := in.Token()
		require.NoError(t, err)
		require.NotContains(t, found, name, "%s", text)
		var v json.RawMessage
		require.NoError(t, in.Decode(&v))
		found[name.(string)] = v
	}
	return found
}

// in takes apart the object that a member is; there may be none.
func (o object) in(t require.TestingT, name string) object {
	if o[name] == nil || string(o[name]) == "null" {
		return nil
	}
	return parse(t, o[name])
}

// to reads a member.
func to[T any](t require.TestingT, o object, member string) (v T) {
	require.Contains(t, o, member)
	require.NoError(t, json.Unmarshal(o[member], &v))
	return v
}

// unescape returns the name that was written as text.
func unescape(t require.TestingT, text string) string {
	encoded, ok := strings.CutPrefix(text, "base64:")
	if !ok {
		return text
	}
	name, err := base64.StdEncoding.DecodeString(encoded)
	require.NoError(t, err)
	return string(name)
}

func unescapeAll(t require.TestingT, texts []string) []string {
	var names []string
	for _, text := range texts {
		names = append(names, unescape(t, text))
	}
	return names
}

// value reads a value by the type that it is marked with, "" if it is not.
func value(t require.TestingT, text json.RawMessage, mark string) sqlapi.Value {
	if mark == "" {
		switch {
		case string(text) == "null":
			return sqlapi.Value{}
		case text[0] == 't', text[0] == 'f':
			return sqlapi.BoolValue(text[0] == 't')
		case text[0] != '"' && bytes.ContainsAny(text, ".eE"):
			f, err := strconv.ParseFloat(string(text), 64)
			require.NoError(t, err)
			return sqlapi.RealValue(f)
		case text[0] != '"':
			n, err := strconv.ParseInt(string(text), 10, 64)
			require.NoError(t, err)
			require.True(t, n >= -1<<53 && n <= 1<<53)
			return sqlapi.IntegerValue(n)
		}
	}
	var s string
	require.NoError(t, json.Unmarshal(text, &s))
	switch mark {
	case "":
		return sqlapi.TextValue(s)
	case "integer":
		n, err := strconv.ParseInt(s, 10, 64)
		require.NoError(t, err)
		require.True(t, n < -1<<53 || n > 1<<53)
		return sqlapi.IntegerValue(n)
	case "real":
		f, err := strconv.ParseFloat(s, 64)
		require.NoError(t, err)
		require.True(t, math.IsInf(f, 0) || math.IsNaN(f))
		if math.IsNaN(f) {
			f = math.NaN()
		}
		return sqlapi.RealValue(f)
	default:
		b, err := base64.StdEncoding.DecodeString(s)
		require.NoError(t, err)
		if mark == "text" {
			require.False(t, utf8.Valid(b))
			return sqlapi.TextValue(string(b))
		}
		require.Equal(t, "blob", mark)
		return sqlapi.BlobValue(string(b))
	}
}

// row reads an object of columns with the types that are marked.
func row(t require.TestingT, columns, types object) map[string]sqlapi.Value {
	if columns == nil {
		return nil
	}
	values := make(map[string]sqlapi.Value, len(columns))
	for name, v := range columns {
		mark := ""
		if types[name] != nil {
			mark = to[string](t, types, name)
		}
		values[unescape(t, name)] = value(t, v, mark)
	}
	for name := range types {
		require.Contains(t, columns, name)
	}
	return values
}

func TestTheReaderOfTheTestsIsStrict(t *testing.T) {
	t.Parallel()
	require.Equal(t, sqlapi.RealValue(1), value(t, []byte("1.0"), ""))
	require.Equal(t, sqlapi.IntegerValue(1), value(t, []byte("1"), ""))
	require.Equal(t, sqlapi.TextValue("1"), value(t, []byte(`"1"`), ""))
	require.Equal(t, sqlapi.BlobValue("1"), value(t, []byte(`"MQ=="`), "blob"))
}
