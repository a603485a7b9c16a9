package sqlite

import (
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/api/errs"
)

// Classify implements sql.Classifier: it gives an error of the driver the kind that its result code means, see
// https://www.sqlite.org/rescode.html. Errors that are not the driver's are returned as they are.
func (db *DB) Classify(err error) error {
	e, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return err
	}
	if what := cure(e); what != "" {
		err = fmt.Errorf("%w: %s", err, what)
	}
	return errs.Wrap(kindOf(e), err)
}

// cure says what to do about a lock that cannot be had, see https://www.sqlite.org/rescode.html#busy, and about a commit that the
// commit hook has refused, which only a durable log does.
func cure(e sqlite3.Error) string {
	switch {
	case e.ExtendedCode == sqlite3.ErrBusySnapshot:
		return "another program has written since this transaction began to read; roll it back and begin anew"
	case e.Code == sqlite3.ErrBusy:
		return "another connection, perhaps of another program, had it locked for longer than busy_timeout; end its transaction, or raise busy_timeout"
	case e.ExtendedCode == sqlite3.ErrConstraintCommitHook:
		return "the log of the durable source cannot be written, and its on_log_full is refuse; make room on the disk, or set on_log_full: commit"
	default:
		return ""
	}
}

func kindOf(e sqlite3.Error) errs.Kind {
	switch e.Code {
	case sqlite3.ErrConstraint:
		if e.ExtendedCode == sqlite3.ErrConstraintCommitHook {
			return errs.Unavailable
		}
		if e.ExtendedCode == sqlite3.ErrConstraintUnique || e.ExtendedCode == sqlite3.ErrConstraintPrimaryKey {
			return errs.AlreadyExists
		}
		return errs.Invalid
	case sqlite3.ErrError, sqlite3.ErrMismatch, sqlite3.ErrRange, sqlite3.ErrTooBig, sqlite3.ErrNotADB, sqlite3.ErrCantOpen:
		return errs.Invalid
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return errs.Unavailable
	case sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrAuth:
		return errs.PermissionDenied
	case sqlite3.ErrInterrupt:
		return errs.Canceled
	default:
		return errs.Unknown
	}
}
