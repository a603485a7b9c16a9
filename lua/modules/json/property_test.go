package json_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What was encoded is JSON for others too, and decodes to the same value.
func TestWhatIsEncodedDecodesToTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		v := tree(3).Draw(t, "value")
		got := w.List(`
			local json = require("json")
			local text, err = json.encode(...)
			if err then error(err) end
			local back, err = json.decode(text)
			if err then error(err) end
			return {text, back, json.encode(back)}`, v)
		require.Equal(t, v, got[1])
		require.Equal(t, got[0], got[2])
		var std any
		require.NoError(t, json.Unmarshal(fmt.Append(nil, got[0]), &std))
	})
}

// decode accepts exactly what encoding/json accepts, but for what it would damage.
func TestDecodeAcceptsWhatIsValid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pieces := rapid.SliceOf(rapid.SampledFrom([]string{
		"{", "}", "[", "]", ",", ":", `"a"`, `"\n"`, `"\u00e9"`, "1", "-2.5", "1e5", "-", "true", "null", " ", "0", `"`, `\`,
	}))
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(pieces.Draw(t, "pieces"), "")
		accepted := w.Value(`local _, err = require("json").decode(...) return err == nil`, text)
		require.Equal(t, json.Valid([]byte(text)), accepted, text)
	})
}

// tree generates values that JSON carries unchanged.
func tree(depth int) *rapid.Generator[any] {
	text := rapid.String().Filter(utf8.ValidString)
	leaves := []*rapid.Generator[any]{
		rapid.Bool().AsAny(),
		rapid.Int64Range(-(1 << 53), 1<<53).AsAny(),
		rapid.Float64Range(-1e308, 1e308).Filter(func(f float64) bool { return f != float64(int64(f)) }).AsAny(),
		text.AsAny(),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	return rapid.OneOf(append(leaves,
		rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return tree(depth - 1) }), 1, 5).AsAny(),
		rapid.MapOfN(text, rapid.Deferred(func() *rapid.Generator[any] { return tree(depth - 1) }), 0, 5).AsAny(),
	)...)
}
