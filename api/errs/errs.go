// Package errs classifies errors: every error that reaches a user has a kind that a caller can branch on
// and says whether trying again can help.
package errs

import (
	"context"
	"errors"
	"fmt"
)

// Kind names a class of errors. Lua scripts see it as a string.
type Kind string

// The kinds of errors, as scripts see them.
const (
	Unknown          Kind = "UNKNOWN"
	Invalid          Kind = "INVALID"
	NotFound         Kind = "NOT_FOUND"
	AlreadyExists    Kind = "ALREADY_EXISTS"
	PermissionDenied Kind = "PERMISSION_DENIED"
	Timeout          Kind = "TIMEOUT"
	Canceled         Kind = "CANCELED"
	Unavailable      Kind = "UNAVAILABLE"
	Internal         Kind = "INTERNAL"
	Conflict         Kind = "CONFLICT"
)

// Error is an error with a kind. Its text is Err's; wrap with New or Wrap.
type Error struct {
	// Kind is the class of the error.
	Kind Kind
	// Again says whether the same call may succeed later without a change by the user.
	Again bool
	// Err carries the message and the cause.
	Err error
}

// Error returns the message.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error of kind with a formatted message; %w keeps the cause. Errors of kind Unavailable,
// Timeout and Conflict are retryable, all others are not.
func New(kind Kind, format string, args ...any) error {
	return Wrap(kind, fmt.Errorf(format, args...))
}

// Wrap gives err a kind and keeps its text. It returns nil for nil.
func Wrap(kind Kind, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Again: retryable(kind), Err: err}
}

// KindOf returns the kind of the outermost classified error in err's chain. Context errors are Canceled and
// Timeout; anything else is Unknown. KindOf(nil) is "".
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	default:
		return Unknown
	}
}

// Is reports whether err is of kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// Retryable reports whether trying the same call again can succeed without a change by the user.
func Retryable(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Again
	}
	return retryable(KindOf(err))
}

// Detailed is an error that tells more than its text does. Scripts see it as a table, so its values are strings, numbers and
// booleans.
type Detailed interface {
	error
	Details() map[string]any
}

// DetailsOf returns the details of the outermost error in err's chain that has any, else nil.
func DetailsOf(err error) map[string]any {
	if e, ok := errors.AsType[Detailed](err); ok {
		return e.Details()
	}
	return nil
}

func retryable(kind Kind) bool {
	return kind == Unavailable || kind == Timeout || kind == Conflict
}
