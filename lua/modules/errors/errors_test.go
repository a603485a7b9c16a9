package errors_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/errs"
	errorsmodule "github.com/wippy-cdc/runtime/lua/modules/errors"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNewFromAMessage(t *testing.T) {
	t.Parallel()
	w := scripttest.New(t, errorsmodule.New())
	require.Equal(t, []any{"UNKNOWN", "no such user", false, "no such user"}, w.Value(`
		local e = errors.new("no such user")
		return {e:kind(), e:message(), e:retryable(), tostring(e)}`))
}

func TestNewFromATable(t *testing.T) {
	t.Parallel()
	w := scripttest.New(t, errorsmodule.New())
	for expression, want := range map[string][]any{
		`{message = "m"}`:                                                     {"UNKNOWN", false},
		`{message = "m", kind = errors.NOT_FOUND}`:                            {"NOT_FOUND", false},
		`{message = "m", kind = "UNAVAILABLE"}`:                               {"UNAVAILABLE", true},
		`{message = "m", kind = "TIMEOUT"}`:                                   {"TIMEOUT", true},
		`{message = "m", kind = errors.CONFLICT, retryable = false}`:          {"CONFLICT", false},
		`{message = "m", kind = errors.INTERNAL, retryable = true}`:           {"INTERNAL", true},
		`{message = "m", kind = errors.PERMISSION_DENIED, retryable = false}`: {"PERMISSION_DENIED", false},
	} {
		got := w.Value(`local e = errors.new(` + expression + `) return {e:kind(), e:retryable(), e:message()}`)
		require.Equal(t, append(want, "m"), got, expression)
	}
}

func TestConstantsAreTheKinds(t *testing.T) {
	t.Parallel()
	w := scripttest.New(t, errorsmodule.New())
	for _, kind := range []errs.Kind{
		errs.Unknown, errs.Invalid, errs.NotFound, errs.AlreadyExists, errs.PermissionDenied, errs.Timeout,
		errs.Canceled, errs.Unavailable, errs.Internal, errs.Conflict,
	} {
		require.Equal(t, string(kind), w.Value(`return errors[...]`, string(kind)))
	}
}

func TestIsBranchesOnTheKind(t *testing.T) {
	t.Parallel()
	w := scripttest.New(t, errorsmodule.New())
	require.Equal(t, []any{true, false, false, false, false, false, true, false}, w.Value(`
		local e = errors.new({message = "m", kind = errors.INVALID})
		return {
			errors.is(e, errors.INVALID), errors.is(e, "NOT_FOUND"), errors.is(nil, "INVALID"),
			errors.is("INVALID", "INVALID"), errors.is({kind = "INVALID"}, "INVALID"), errors.is(print, "INVALID"),
			errors.is(e), errors.is(nil),
		}`))
}

func TestRequireGivesTheGlobal(t *testing.T) {
	t.Parallel()
	w := scripttest.New(t, errorsmodule.New())
	require.Equal(t, true, w.Value(`return require("errors") == errors`))
}

func TestARaisedErrorKeepsItsKind(t *testing.T) {
	t.Parallel()
	w := scripttest.New(t, errorsmodule.New())
	err := w.Failure(`error(errors.new({message = "gone", kind = errors.NOT_FOUND}))`)
	require.EqualError(t, err, "gone")
	require.True(t, errs.Is(err, errs.NotFound))
}

func TestWrongArgumentsAreRaised(t *testing.T) {
	t.Parallel()
	w := scripttest.New(t, errorsmodule.New())
	for call, want := range map[string]string{
		`errors.new()`:              `message or {message, kind, retryable} expected, got nil`,
		`errors.new(5)`:             `message or {message, kind, retryable} expected, got 5`,
		`errors.new({})`:            `message is required`,
		`errors.new({message = 5})`: `message is 5, must be a string`,
		`errors.new({message = "m", kind = "WRONG"})`: `kind is "WRONG", must be one of UNKNOWN, INVALID, NOT_FOUND`,
		`errors.new({message = "m", retryable = 1})`:  `retryable is 1, must be true or false`,
		`errors.new({mesage = "m"})`:                  `key "mesage" is not known: use message, kind, retryable`,
		`errors.is(nil, errors.NOTFOUND)`:             `string expected, got nil`,
		`errors.is(nil, "NOTFOUND")`:                  `"NOTFOUND" is no kind of error: use UNKNOWN, INVALID`,
	} {
		require.ErrorContains(t, w.Failure(call), want, call)
	}
}
