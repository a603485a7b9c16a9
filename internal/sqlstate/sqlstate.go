// Package sqlstate tells what the error codes of Postgres mean to a caller.
package sqlstate

import (
	"errors"
	"net"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
)

// Code returns the SQLSTATE of an error that a server has sent, "" for others.
func Code(err error) string {
	if e, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return e.SQLState()
	}
	return ""
}

// Kind returns the kind of an error of a server or of a connection to it, Unknown for others. See
// https://www.postgresql.org/docs/current/errcodes-appendix.html.
func Kind(err error) errs.Kind {
	code := Code(err)
	if code == "" {
		if _, broken := errors.AsType[net.Error](err); broken {
			return errs.Unavailable
		}
		return errs.Unknown
	}
	return kindOf(code, err)
}

func kindOf(code string, err error) errs.Kind {
	switch code {
	case "23505", "42P04", "42P06", "42P07", "42710": // unique_violation, duplicate_…
		return errs.AlreadyExists
	case "42501", "25006": // insufficient_privilege, read_only_sql_transaction
		return errs.PermissionDenied
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return errs.Conflict
	case "55P03", "55006": // lock_not_available, object_in_use
		return errs.Unavailable
	case "3D000": // invalid_catalog_name
		return errs.NotFound
	case "57014": // query_canceled
		if strings.Contains(err.Error(), "timeout") {
			return errs.Timeout
		}
		return errs.Canceled
	}
	switch code[:min(2, len(code))] {
	case "08", "53", "57": // connection exceptions, insufficient resources, operator intervention
		return errs.Unavailable
	case "28": // invalid authorization
		return errs.PermissionDenied
	case "0A", "21", "22", "23", "25", "26", "2B", "34", "3B", "3F", "42", "44", "54", "55", "P0":
		return errs.Invalid
	default:
		return errs.Unknown
	}
}
