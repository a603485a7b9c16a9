package engine

import (
	"errors"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
)

// ScriptError is an error that a script did not handle.
type ScriptError struct {
	// Process is the entry whose script has failed.
	Process registry.ID
	// Err is what was raised: its text begins with file:line when a string or a runtime error was raised, and it
	// keeps its kind when an error value was.
	Err error
	// Traceback is the Lua stack at that point.
	Traceback string
}

// Error returns the message and, on further lines, the traceback.
func (e *ScriptError) Error() string {
	text := fmt.Sprintf("lua: process %q: %v", e.Process, e.Err)
	if e.Traceback == "" {
		return text
	}
	return text + "\n" + e.Traceback
}

// Unwrap returns what was raised.
func (e *ScriptError) Unwrap() error { return e.Err }

// boxed is the value of an error userdata.
type boxed struct{ err error }

// ErrorValue returns err as scripts see it: a value with the methods kind, message, retryable and details. It is nil for nil.
func ErrorValue(L *lua.LState, err error) lua.LValue {
	if err == nil {
		return lua.LNil
	}
	return &lua.LUserData{Value: &boxed{err}, Env: L.Env, Metatable: FromState(L).errorType}
}

// ErrorOf returns the error inside an error value.
func ErrorOf(v lua.LValue) (error, bool) {
	if ud, ok := v.(*lua.LUserData); ok {
		if b, ok := ud.Value.(*boxed); ok {
			return b.err, true
		}
	}
	return nil, false
}

// Misuse raises err with the place of the call. It is for what is wrong in the call itself and would be wrong each time:
// a value of another type, text that is no duration or ID, an option that there is not. A script that ignores what a call
// returns would not notice. What may fail in spite of a right call is returned, see Fail.
func Misuse(L *lua.LState, err error) int {
	L.RaiseError("%s", err.Error())
	return 0
}

// Fail pushes nil and err, the result of a call that has failed, and returns their number.
func Fail(L *lua.LState, err error) int {
	FromState(L).noteFailure(L, err)
	L.Push(lua.LNil)
	L.Push(ErrorValue(L, err))
	return 2
}

// Where returns the position of the Lua code that has called the function that runs, with ": " behind it; "" if none has.
// Go functions between them, such as pcall, are passed over.
func Where(L *lua.LState) string {
	for level := 1; ; level++ {
		if _, ok := L.GetStack(level); !ok {
			return ""
		}
		if where := L.Where(level); where != "" && where != "[G]:" {
			return where + " "
		}
	}
}

// newErrorType makes the metatable of error values.
func newErrorType(L *lua.LState) *lua.LTable {
	method := func(f func(err error) lua.LValue) *lua.LFunction {
		return L.NewFunction(func(L *lua.LState) int {
			err, ok := ErrorOf(L.Get(1))
			if !ok {
				L.ArgError(1, "error value expected, call it with a colon: err:message()")
			}
			L.Push(f(err))
			return 1
		})
	}
	message := method(func(err error) lua.LValue { return lua.LString(err.Error()) })
	methods := L.CreateTable(0, 4)
	methods.RawSetString("kind", method(func(err error) lua.LValue { return lua.LString(errs.KindOf(err)) }))
	methods.RawSetString("message", message)
	methods.RawSetString("retryable", method(func(err error) lua.LValue { return lua.LBool(errs.Retryable(err)) }))
	methods.RawSetString("details", L.NewFunction(errorDetails))
	mt := L.CreateTable(0, 4)
	mt.RawSetString("__index", methods)
	mt.RawSetString("__tostring", message)
	mt.RawSetString("__concat", L.NewFunction(concatError))
	mt.RawSetString("__metatable", lua.LString("error"))
	return mt
}

// errorDetails is err:details(): a new table each time, nil if the error has none.
func errorDetails(L *lua.LState) int {
	err, ok := ErrorOf(L.Get(1))
	if !ok {
		L.ArgError(1, "error value expected, call it with a colon: err:details()")
	}
	details := errs.DetailsOf(err)
	if details == nil {
		L.Push(lua.LNil)
		return 1
	}
	v, err := ToLua(L, details)
	if err != nil {
		L.RaiseError("%s", err.Error())
	}
	L.Push(v)
	return 1
}

// concatError makes "cannot read: " .. err work.
func concatError(L *lua.LState) int {
	var b strings.Builder
	for i := 1; i <= 2; i++ {
		switch v := L.Get(i).(type) {
		case lua.LString, lua.LNumber, *lua.LUserData:
			b.WriteString(L.ToStringMeta(v).String())
		default:
			L.RaiseError("attempt to concatenate an error with a %s value", v.Type())
		}
	}
	L.Push(lua.LString(b.String()))
	return 1
}

// scriptError turns what a protected call returned into the error of the process.
func (p *Process) scriptError(L *lua.LState, err error) error {
	api, ok := errors.AsType[*lua.ApiError](err)
	if !ok {
		return &ScriptError{Process: p.ID(), Err: err}
	}
	return &ScriptError{Process: p.ID(), Err: raised(L, api.Object), Traceback: api.StackTrace}
}

// raised returns the error that a script raised by v.
func raised(L *lua.LState, v lua.LValue) error {
	if err, ok := ErrorOf(v); ok {
		return err
	}
	if tb, ok := v.(*lua.LTable); ok && L.GetMetaField(tb, "__tostring") == lua.LNil {
		if text, ok := tb.RawGetString("message").(lua.LString); ok {
			return errors.New(string(text))
		}
		return errors.New("error object is a table without a message field or __tostring")
	}
	return errors.New(tostring(L, v))
}

// tostring is Lua's tostring; a __tostring that fails is reported in its place.
func tostring(L *lua.LState, v lua.LValue) string {
	top := L.GetTop()
	defer L.SetTop(top)
	f := L.NewFunction(func(L *lua.LState) int {
		L.Push(L.ToStringMeta(L.Get(1)))
		return 1
	})
	if err := L.CallByParam(lua.P{Fn: f, NRet: 1, Protect: true}, v); err != nil {
		return fmt.Sprintf("%s whose __tostring fails", v.Type())
	}
	return L.Get(-1).String()
}
