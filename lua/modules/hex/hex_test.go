package hex_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	hexmodule "github.com/wippy-cdc/runtime/lua/modules/hex"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAnyBytesComeBack(t *testing.T) {
	t.Parallel()
	w := scripttest.New(t, hexmodule.New())
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		text := hex.EncodeToString([]byte(s))
		require.Equal(t, []any{text, s, s}, w.List(`
			local hex = require("hex")
			local s, upper = ...
			local text = hex.encode(s)
			return {text, assert(hex.decode(text)), assert(hex.decode(upper))}`, s, strings.ToUpper(text)))
	})
}

func TestWhatIsNoHexIsRefused(t *testing.T) {
	t.Parallel()
	w := scripttest.New(t, hexmodule.New())
	for text, problem := range map[string]string{
		`"0g"`: "at byte 2: this is no hexadecimal digit", `"0 0"`: "at byte 2: this is no hexadecimal digit", `"é"`: "at byte 1: this is no hexadecimal digit",
		`"\255"`: "at byte 1: this is no hexadecimal digit", `"000"`: "there are 3 digits: each byte has two",
	} {
		answer := w.List(`local s, err = require("hex").decode(` + text + `) return {tostring(s), err:kind(), err:message()}`)
		require.Equal(t, []any{"nil", "INVALID", "hex: decode: " + problem}, answer, text)
	}
	require.ErrorContains(t, w.Failure(`require("hex").encode(5)`), "the bytes are 5, must be a string")
	require.ErrorContains(t, w.Failure(`require("hex").decode()`), "the text is nil, must be a string")
}
