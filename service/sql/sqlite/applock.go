package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// appLock keeps two programs of ours from writing one database: neither would capture what the other commits. It is advisory: other
// programs do not notice. The file is beside the database while it is open.
type appLock struct {
	file *os.File
	path string
}

// lockApp locks a database file, unless it is not written. The error is a Conflict that names the process that has it.
func lockApp(database string, cfg *sqlapi.SQLiteConfig) (*appLock, error) {
	if database == sqlapi.InMemory || cfg.QueryOnly() {
		return nil, nil //nolint:nilnil // there is nothing to lock
	}
	if resolved, err := filepath.EvalSymlinks(database); err == nil {
		database = resolved
	}
	l := &appLock{path: database + "-lock"}
	for {
		file, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, os.ErrPermission) || errors.Is(err, unix.EROFS) {
			return nil, nil //nolint:nilnil // nothing can be written there, the database included
		}
		if err != nil {
			return nil, fmt.Errorf("lock the database: %w", err)
		}
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EWOULDBLOCK):
			err = held(database, file)
			return nil, errors.Join(err, file.Close())
		case errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOLCK): // a file system without locks
			return nil, file.Close()
		case err != nil:
			return nil, errors.Join(fmt.Errorf("lock %s: %w", l.path, err), file.Close())
		}
		if l.file = file; l.isThere() {
			return l, l.sign()
		}
		if err := file.Close(); err != nil { // its owner has removed it meanwhile
			return nil, fmt.Errorf("lock %s: %w", l.path, err)
		}
	}
}

func held(database string, file *os.File) error {
	owner, err := io.ReadAll(io.LimitReader(file, 64))
	if err != nil {
		return fmt.Errorf("lock %s: %w", database, err)
	}
	return errs.New(errs.Conflict, "%s is open in another app (process %s), and what one commits the other would not capture: "+
		"stop it, or give one of them options: {query_only: true}", database, strings.TrimSpace(string(owner)))
}

// isThere reports whether the file that is locked is still the one beside the database.
func (l *appLock) isThere() bool {
	locked, err := l.file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(l.path)
	return err == nil && os.SameFile(locked, now)
}

// sign writes who has the lock.
func (l *appLock) sign() error {
	err := l.file.Truncate(0)
	if err == nil {
		_, err = l.file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("lock %s: %w", l.path, err), l.release())
	}
	return nil
}

// release unlocks the database. It is removed first: a program that has opened it meanwhile notices.
func (l *appLock) release() error {
	if l == nil {
		return nil
	}
	return errors.Join(os.Remove(l.path), l.file.Close())
}
