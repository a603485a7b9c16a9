package sink

import (
	"context"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Record is one change as a destination gets it.
type Record struct {
	// Change is what is delivered; it may be kept until Deliver returns.
	Change *api.Change
	// Cursor is that of the change.
	Cursor string
	// Value is the change in the format of the sink. Its bytes are used again after Deliver has returned.
	Value []byte
}

// Destination is where a sink delivers. One goroutine uses it.
type Destination interface {
	// Deliver hands records over in order, and returns how many of them, counted from the first, the destination has
	// confirmed. If that are not all, the error says why. Records that were handed over before, and not confirmed, come
	// again, from the first of them on.
	//
	// A RejectedError says that the destination does not take the next record, or one of the next. An error of kind
	// Invalid, PermissionDenied or NotFound, see package errs, says that it takes none of this sink: the sink ends. All
	// others are tried again, see RetryAfter. No error has anything secret in it.
	Deliver(ctx context.Context, records []Record) (confirmed int, err error)
	// Close lets go of everything.
	Close()
}

// RejectedError is a destination's refusal of records for what is in them.
type RejectedError struct {
	// One says that it is the first record that was not confirmed; else it is any of them.
	One bool
	// Err says why.
	Err error
}

// Error implements error.
func (e *RejectedError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *RejectedError) Unwrap() error { return e.Err }

// RetryAfterError is a failure after which the destination asks for a pause.
type RetryAfterError struct {
	Pause time.Duration
	Err   error
}

// Error implements error.
func (e *RetryAfterError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *RetryAfterError) Unwrap() error { return e.Err }
