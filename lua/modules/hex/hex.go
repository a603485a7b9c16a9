// Package hex is the Lua module that writes bytes as hexadecimal digits and back.
//
//	local hex = require("hex")
//	local text = hex.encode("\0\255")   -- 00ff
//	local s, err = hex.decode("00FF")   -- in either case
//
// Strings are of any bytes.
package hex

import (
	"encoding/hex"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

// Module is the module hex.
type Module struct{}

// New returns the module.
func New() *Module { return &Module{} }

// Name implements engine.Module.
func (*Module) Name() string { return "hex" }

// Open implements engine.Module.
func (*Module) Open(L *lua.LState) *lua.LTable {
	t := L.CreateTable(0, 2)
	t.RawSetString("encode", L.NewFunction(encode))
	t.RawSetString("decode", L.NewFunction(decode))
	return t
}

func encode(L *lua.LState) int {
	L.Push(lua.LString(hex.EncodeToString([]byte(option.Text(L, 1, "the bytes are")))))
	return 1
}

func decode(L *lua.LState) int {
	s := option.Text(L, 1, "the text is")
	isNoDigit := func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", r) }
	if at := strings.IndexFunc(s, isNoDigit); at >= 0 {
		return engine.Fail(L, errs.New(errs.Invalid, "hex: decode: at byte %d: this is no hexadecimal digit", at+1))
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return engine.Fail(L, errs.New(errs.Invalid, "hex: decode: there are %d digits: each byte has two", len(s)))
	}
	L.Push(lua.LString(b))
	return 1
}
