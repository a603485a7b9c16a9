// Package errors is the Lua module that lets scripts make errors like those of the runtime, and tell errors apart.
//
// Errors are values with the methods kind, message and retryable; tostring gives the message. The kinds are also
// constants of the module: errors.NOT_FOUND is "NOT_FOUND".
//
//	errors.new("no such user")                                          -- kind UNKNOWN
//	errors.new({message = "try later", kind = errors.UNAVAILABLE})      -- retryable, as its kind says
//	errors.new({message = "odd", kind = "CONFLICT", retryable = false})
//	errors.is(v)                                                        -- whether v is an error value at all
//	errors.is(v, errors.NOT_FOUND)                                      -- ... and of this kind
package errors

import (
	"errors"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/internal/option"
)

// Module is the module errors. Scripts have it as a global.
type Module struct{}

// New returns the module.
func New() *Module { return &Module{} }

// Name implements engine.Module.
func (*Module) Name() string { return "errors" }

// Global implements engine.Global.
func (*Module) Global() {}

// Open implements engine.Module.
func (*Module) Open(L *lua.LState) *lua.LTable {
	t := L.CreateTable(0, len(kinds())+2)
	t.RawSetString("new", L.NewFunction(newError))
	t.RawSetString("is", L.NewFunction(is))
	for _, kind := range kinds() {
		t.RawSetString(string(kind), lua.LString(kind))
	}
	return t
}

func kinds() []errs.Kind {
	return []errs.Kind{
		errs.Unknown, errs.Invalid, errs.NotFound, errs.AlreadyExists, errs.PermissionDenied, errs.Timeout,
		errs.Canceled, errs.Unavailable, errs.Internal, errs.Conflict,
	}
}

// newError is errors.new. A wrong argument raises an error: returning one would be mistaken for the one asked for.
func newError(L *lua.LState) int {
	var err error
	switch v := L.Get(1).(type) {
	case lua.LString:
		err = errs.Wrap(errs.Unknown, errors.New(string(v)))
	case *lua.LTable:
		err = fromTable(L, v)
	default:
		L.ArgError(1, "message or {message, kind, retryable} expected, got "+option.Describe(v))
	}
	L.Push(engine.ErrorValue(L, err))
	return 1
}

func fromTable(L *lua.LState, t *lua.LTable) error {
	var message string
	kind := string(errs.Unknown)
	var retryable *bool
	err := option.Decode(t,
		option.Word("message", &message),
		option.Word("kind", &kind, names()...),
		option.Field{Key: "retryable", Set: func(v lua.LValue) error {
			retryable = new(bool)
			return option.Flag("retryable", retryable).Set(v)
		}},
	)
	switch {
	case err != nil:
		L.ArgError(1, err.Error())
	case t.RawGetString("message") == lua.LNil:
		L.ArgError(1, "message is required")
	}
	made := &errs.Error{Kind: errs.Kind(kind), Err: errors.New(message)}
	made.Again = errs.Retryable(errs.Wrap(made.Kind, made.Err))
	if retryable != nil {
		made.Again = *retryable
	}
	return made
}

// is is errors.is. A kind that does not exist raises an error: a misspelt one would never match.
func is(L *lua.LState) int {
	err, ok := engine.ErrorOf(L.Get(1))
	if L.GetTop() > 1 { // a kind that is nil was looked up under a name that does not exist
		kind := errs.Kind(L.CheckString(2))
		if !slices.Contains(kinds(), kind) {
			L.ArgError(2, option.Describe(L.Get(2))+" is no kind of error: use "+strings.Join(names(), ", "))
		}
		ok = ok && errs.Is(err, kind)
	}
	L.Push(lua.LBool(ok))
	return 1
}

func names() []string {
	var all []string
	for _, k := range kinds() {
		all = append(all, string(k))
	}
	return all
}
