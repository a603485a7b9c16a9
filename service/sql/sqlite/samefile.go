package sqlite

import (
	"os"
	"sync/atomic"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// identity is the file that a database was opened from. Connections that are opened later must come to the same file:
// SQLite would not notice that the path leads elsewhere by now, create a file that is missing, and write the
// write-ahead log of the old file into the new one. See https://www.sqlite.org/howtocorrupt.html.
type identity struct {
	info atomic.Pointer[os.FileInfo]
	// abandoned says that no connection may be opened any more.
	abandoned atomic.Bool
}

// note remembers the file at path, the first time it is called.
func (i *identity) note(path string) {
	if info, err := os.Stat(path); err == nil && path != sqlapi.InMemory {
		i.info.CompareAndSwap(nil, &info)
	}
}

// check refuses a path that leads to another file, or to none, if one was opened before.
func (i *identity) check(path string) error {
	if i.abandoned.Load() {
		return errs.New(errs.Unavailable, "the file %s was overwritten while it was open", path)
	}
	opened := i.info.Load()
	if opened == nil {
		return nil
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(*opened, now) {
		return errs.New(errs.Unavailable, "the file %s was moved, deleted or replaced while it was open", path)
	}
	return nil
}
