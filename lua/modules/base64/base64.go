// Package base64 is the Lua module that writes bytes as text and back, see https://www.rfc-editor.org/rfc/rfc4648.
//
//	local base64 = require("base64")
//	local text = base64.encode("\0\255")                         -- AP8=
//	local text = base64.encode(s, {url = true, padding = false}) -- - and _ instead of + and /, no = at the end
//	local s, err = base64.decode(text)                           -- with the options of encode
//
// Strings are of any bytes. Line breaks in what is decoded are passed over.
package base64

import (
	"encoding/base64"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

// Module is the module base64.
type Module struct{}

// New returns the module.
func New() *Module { return &Module{} }

// Name implements engine.Module.
func (*Module) Name() string { return "base64" }

// Open implements engine.Module.
func (*Module) Open(L *lua.LState) *lua.LTable {
	t := L.CreateTable(0, 2)
	t.RawSetString("encode", L.NewFunction(encode))
	t.RawSetString("decode", L.NewFunction(decode))
	return t
}

func encode(L *lua.LState) int {
	s, f := arguments(L, "encode", "the bytes are")
	L.Push(lua.LString(f.encoding().EncodeToString([]byte(s))))
	return 1
}

func decode(L *lua.LState) int {
	s, f := arguments(L, "decode", "the text is")
	b, err := f.encoding().DecodeString(s)
	if err != nil {
		return engine.Fail(L, errs.New(errs.Invalid, "base64: decode: %s", f.problem(s)))
	}
	L.Push(lua.LString(b))
	return 1
}

// form is what the options choose.
type form struct{ url, padding bool }

// arguments returns argument 1, which must be a string, and the form.
func arguments(L *lua.LState, call, what string) (string, form) {
	s, f := option.Text(L, 1, what), form{padding: true}
	if err := option.Decode(L.Get(2), option.Flag("url", &f.url), option.Flag("padding", &f.padding)); err != nil {
		engine.Misuse(L, fmt.Errorf("base64: %s: %w", call, err))
	}
	return s, f
}

func (f form) encoding() *base64.Encoding {
	encoding := base64.StdEncoding
	if f.url {
		encoding = base64.URLEncoding
	}
	if !f.padding {
		encoding = encoding.WithPadding(base64.NoPadding)
	}
	return encoding.Strict()
}

// problem says what is wrong with a text that cannot be decoded.
func (f form) problem(s string) string {
	signs := "+/"
	if f.url {
		signs = "-_"
	}
	if f.padding {
		signs += "="
	}
	isOther := func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune(signs+"\r\n", r)
	}
	if at := strings.IndexFunc(s, isOther); at >= 0 {
		return fmt.Sprintf("at byte %d: only letters, digits and %s are base64 with these options", at+1, signs)
	}
	return "the text ends too early or too late, or its padding is not what the options say"
}
