package sqlite

import (
	"errors"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// Statements come from scripts, which have no other access to files, and share one connection and one program. So a
// connection prepares nothing that reaches further, unless the entry allows it.

// authorize refuses from now on what the entry does not allow. Its own pragmas have been set. A program that has its
// database to itself may do anything.
func (c *connector) authorize(conn *conn) error {
	if c.program != nil {
		return nil
	}
	handle, err := handleOf(conn.inner)
	if err != nil {
		return err
	}
	var allowed capture.Permission
	for _, word := range c.cfg.Allow {
		allowed |= permissionOf(word)
	}
	conn.authorizer, err = capture.Authorize(handle, allowed)
	return err
}

func permissionOf(word string) capture.Permission {
	switch word {
	case sqlapi.AllowFiles:
		return capture.Files
	case sqlapi.AllowSettings:
		return capture.Settings
	case sqlapi.AllowSchema:
		return capture.WriteSchema
	case sqlapi.AllowCheckpoint:
		return capture.Checkpoint
	default:
		return 0
	}
}

// explain says why a statement was refused, and which field would allow it.
func (c *conn) explain(err error) error {
	e, ok := errors.AsType[sqlite3.Error](err)
	if !ok || c.authorizer == nil || e.Code != sqlite3.ErrAuth && e.Code != sqlite3.ErrError { // it is ErrError for a function
		return err
	}
	needs, pragma := c.authorizer.Denied()
	const allow = ": add %q to the field allow of the entry %q, if it is meant to: %w"
	refused := func(format string, args ...any) error { return errs.New(errs.PermissionDenied, format, args...) }
	switch needs {
	case capture.Files:
		return refused("ATTACH and VACUUM INTO reach other files, which this database may not"+allow, sqlapi.AllowFiles, c.db.id, err)
	case capture.Settings:
		return refused("PRAGMA %s is for all who use the database, so that statements may not set it, but the field options may"+allow,
			pragma, sqlapi.AllowSettings, c.db.id, err)
	case capture.WriteSchema:
		return refused("PRAGMA %s can make the database unreadable, and may not be set"+allow, pragma, sqlapi.AllowSchema, c.db.id, err)
	case capture.Checkpoint:
		return refused("the table wippy_cdc_offsets is kept by the sources of the database, and may be read only"+allow,
			sqlapi.AllowCheckpoint, c.db.id, err)
	case capture.Extensions:
		return refused("load_extension would run code of a file, which is never allowed: %w", err)
	default:
		return err
	}
}
