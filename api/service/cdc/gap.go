package cdc

import (
	"fmt"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
)

// GapCause says why changes are missing.
type GapCause string

// The causes, as scripts see them.
const (
	// GapExternalWrite is a commit of another process, or of a connection that is not captured.
	GapExternalWrite GapCause = "external_write"
	// GapRetention is a position that has left the log.
	GapRetention GapCause = "retention"
	// GapTooLarge is a transaction that was too large to be kept.
	GapTooLarge GapCause = "too_large"
	// GapUnverifiedCrash is a crash after which it is not known what was committed.
	GapUnverifiedCrash GapCause = "unverified_crash"
	// GapRestored is a database, or a log, that is not the one that positions were given for.
	GapRestored GapCause = "restored"
	// GapCaptureLost is a transaction that could not be captured or kept.
	GapCaptureLost GapCause = "capture_lost"
)

// GapError says that changes are missing, in their place in the order: a stream ends with it, or cannot begin. Its kind is
// Unavailable, and it is retryable: going on behind the gap is up to the reader.
type GapError struct {
	Cause GapCause
	// Nothing is missing up to After, and nothing behind Before.
	After, Before Position
	Source        registry.ID
	Generation    string
	// Err says what has happened; nil if the cause says it all.
	Err error
}

// Error implements error. It says what to do.
func (e *GapError) Error() string {
	what := string(e.Cause)
	if e.Err != nil {
		what = e.Err.Error()
	}
	return fmt.Sprintf("cdc: source %q: changes were lost: %s; resubscribe with snapshot = true to begin anew; to go on without them, "+
		"let a stream begin with after = err:details().before, or a consumer go on there by cdc.reset", e.Source, what)
}

// Unwrap gives the error its kind.
func (e *GapError) Unwrap() error {
	if e.Err == nil {
		return &errs.Error{Kind: errs.Unavailable, Again: true, Err: fmt.Errorf("gap: %s", e.Cause)}
	}
	return errs.Wrap(errs.Unavailable, e.Err)
}

// Details implements errs.Detailed.
func (e *GapError) Details() map[string]any {
	return map[string]any{
		"reason": "gap", "cause": string(e.Cause), "source": e.Source.String(),
		"after": e.After.Cursor(e.Generation), "before": e.Before.Cursor(e.Generation),
	}
}
