// Package json is the Lua module that converts between Lua values and JSON texts.
//
//	local json = require("json")
//	local text, err = json.encode({id = 7, tags = {"a", "b"}})      -- {"id":7,"tags":["a","b"]}
//	local text, err = json.encode(value, {indent = "  "})     -- or four spaces, or a tab
//	local value, err = json.decode('{"id": 7}')
//
// # Encoding
//
// A table whose keys are exactly 1..n is an array, one whose keys are strings is an object with its keys sorted, and
// the empty table is the object {}. An error value is its message. A string that is not UTF-8 is written as base64: and
// the base64 form of its bytes. Anything else – gaps, mixed keys, functions, other userdata, cycles, more than 512
// levels, inf, nan – is an INVALID error that names the place. Integers up to ±2^53 are written plainly, larger numbers
// with an exponent.
//
// # Decoding
//
// null becomes nil: it is absent from an object, and leaves a gap in an array, so that the length operator is not
// reliable there. An integer beyond ±2^53 becomes the string of its digits, so that none is lost. Of two equal keys in
// an object the last one counts.
package json

import (
	"bytes"
	"encoding/json"
	"fmt"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

// Module is the module json.
type Module struct{}

// New returns the module.
func New() *Module { return &Module{} }

// Name implements engine.Module.
func (*Module) Name() string { return "json" }

// Open implements engine.Module.
func (*Module) Open(L *lua.LState) *lua.LTable {
	t := L.CreateTable(0, 2)
	t.RawSetString("encode", L.NewFunction(encodeCall))
	t.RawSetString("decode", L.NewFunction(decodeCall))
	return t
}

func encodeCall(L *lua.LState) int {
	var indent string
	if err := option.Decode(L.Get(2), option.Word("indent", &indent, "  ", "    ", "\t")); err != nil {
		return engine.Misuse(L, fmt.Errorf("json: encode: %w", err))
	}
	e := newEncoder()
	if err := e.encode(L.Get(1)); err != nil {
		return engine.Fail(L, err)
	}
	out := e.out.Bytes()
	if indent != "" {
		var indented bytes.Buffer
		if err := json.Indent(&indented, out, "", indent); err != nil {
			return engine.Fail(L, errs.New(errs.Internal, "json: encode: indent: %w", err))
		}
		out = indented.Bytes()
	}
	L.Push(lua.LString(out))
	return 1
}

func decodeCall(L *lua.LState) int {
	v, err := decode(L, option.Text(L, 1, "the text is"))
	if err != nil {
		return engine.Fail(L, err)
	}
	L.Push(v)
	return 1
}
