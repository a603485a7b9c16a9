package base64_test

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	base64module "github.com/wippy-cdc/runtime/lua/modules/base64"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newWorld(t *testing.T) *scripttest.World {
	t.Helper()
	return scripttest.New(t, base64module.New())
}

func TestAnyBytesComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		url, padding := rapid.Bool().Draw(t, "url"), rapid.Bool().Draw(t, "padding")
		encoding := base64.StdEncoding
		if url {
			encoding = base64.URLEncoding
		}
		if !padding {
			encoding = encoding.WithPadding(base64.NoPadding)
		}
		require.Equal(t, []any{encoding.EncodeToString([]byte(s)), s}, w.List(`
			local base64 = require("base64")
			local s, url, padding = ...
			local text = base64.encode(s, {url = url, padding = padding})
			return {text, assert(base64.decode(text, {url = url, padding = padding}))}`, s, url, padding))
	})
}

func TestTheUsualFormIsTheDefault(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{"+/8=", "-_8=", "-_8", "\xfb\xff", ""}, newWorld(t).List(`
		local base64 = require("base64")
		local s = "\251\255"
		return {base64.encode(s), base64.encode(s, {url = true}), base64.encode(s, {url = true, padding = false}), base64.decode("+/\r\n8="), base64.decode("")}`))
}

func TestWhatIsNoBase64IsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const ending = "the text ends too early or too late, or its padding is not what the options say"
	for call, problem := range map[string]string{
		`"+/8"`: ending, `"+/8=="`: ending, `"+/8=", {padding = false}`: "at byte 4: only letters, digits and +/ are base64 with these options",
		`"+/9="`: ending, `"A"`: ending, `"AP8=AP8="`: ending, `"AP8", {url = true}`: ending,
		`"+/8*"`:               "at byte 4: only letters, digits and +/= are base64 with these options",
		`"-_8="`:               "at byte 1: only letters, digits and +/= are base64 with these options",
		`"+/8=", {url = true}`: "at byte 1: only letters, digits and -_= are base64 with these options",
		`"\255"`:               "at byte 1: only letters, digits and +/= are base64 with these options",
	} {
		answer := w.List(`local s, err = require("base64").decode(` + call + `) return {tostring(s), err:kind(), err:message()}`)
		require.Equal(t, []any{"nil", "INVALID", "base64: decode: " + problem}, answer, call)
	}
	for call, problem := range map[string]string{
		`encode()`: "the bytes are nil, must be a string", `encode(5)`: "the bytes are 5, must be a string", `decode({})`: "the text is a table, must be a string",
		`encode("", {web = true})`: `base64: encode: key "web" is not known: use url, padding`, `decode("", {url = 1})`: "base64: decode: url is 1, must be true or false",
	} {
		require.ErrorContains(t, w.Failure(`require("base64").`+call), problem, call)
	}
}
