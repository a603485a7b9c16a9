package sqlite

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// explainAccess says what a database that cannot be opened lacks, for SQLite names neither the directory nor the permission, and may
// report a file that it could not make as one that does not exist. Other errors are returned as they are.
func (db *DB) explainAccess(err error) error {
	e, ok := errors.AsType[sqlite3.Error](err)
	if !ok || e.Code != sqlite3.ErrCantOpen && e.Code != sqlite3.ErrReadonly && e.Code != sqlite3.ErrPerm || db.connector.file == sqlapi.InMemory {
		return err
	}
	file, own := db.connector.file, uint32(unix.R_OK|unix.W_OK)
	if resolved, err := filepath.EvalSymlinks(file); err == nil {
		file = resolved
	}
	if db.connector.cfg.QueryOnly() {
		own = unix.R_OK
	}
	if refused := access(file, own); refused != nil && !errors.Is(refused, os.ErrNotExist) {
		return errs.New(errs.PermissionDenied, "%s cannot be read and written: %w; let user %d do so", file, refused, os.Geteuid())
	}
	if refused := access(filepath.Dir(file), unix.W_OK|unix.X_OK); refused != nil {
		return errs.New(errs.PermissionDenied, "%s cannot be opened: the directory %s, where files beside it are made, cannot be written: %w; "+
			"let user %d write there, or give file another path", file, filepath.Dir(file), refused, os.Geteuid())
	}
	return err
}

// access says why the program may not use a path so, nil if it may.
func access(path string, mode uint32) error {
	return unix.Faccessat(unix.AT_FDCWD, path, mode, unix.AT_EACCESS)
}
