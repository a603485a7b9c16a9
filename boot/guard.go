package boot

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// guardInterval is how often a guarded database looks for its file.
const guardInterval = time.Second

// guarded is a database service that fails when its file is no longer where it was opened: moved, deleted, or replaced
// by another. SQLite would notice nothing and go on with the file that it has open, and what is committed would be
// found by nobody who opens the path.
//
// A file that has vanished is waited for and not created anew. One that was put in its place is not opened beside the
// write-ahead log of its predecessor: SQLite does not know whose it is and would write it into the new file. (Of a
// file that was moved it leaves the log behind, see https://www.sqlite.org/howtocorrupt.html.)
type guarded struct {
	supervisor.Service
	path string
	// file is what was open last, nil if nothing yet; wal is its write-ahead log, as seen last.
	file, wal os.FileInfo
}

// guard returns service unless its database has no file.
func guard(service supervisor.Service, config *sqlapi.SQLiteConfig, dir string) supervisor.Service {
	if config.File == sqlapi.InMemory {
		return service
	}
	path := config.File
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return &guarded{Service: service, path: path}
}

// Serve implements supervisor.Service.
func (g *guarded) Serve(ctx context.Context, ready func()) error {
	if err := g.check(); err != nil {
		return err
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err := g.Service.Serve(ctx, func() {
		if file, err := os.Stat(g.path); err == nil {
			g.file = file
			watching.Go(func() { g.watch(ctx, cancel) })
		}
		ready()
	})
	if lost, ok := errors.AsType[*lostFile](context.Cause(ctx)); ok {
		return errors.Join(errs.Wrap(errs.Unavailable, lost), err)
	}
	return err
}

// check finds out whether the file can be opened again that was open before.
func (g *guarded) check() error {
	if g.file == nil {
		return nil
	}
	now, err := os.Stat(g.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errs.New(errs.Unavailable, "the file %q was moved or deleted while the app was running; put it back", g.path)
	case err == nil && os.SameFile(g.file, now):
		return nil
	}
	if wal := statWAL(g.path); wal != nil && g.wal != nil && os.SameFile(wal, g.wal) {
		return errs.New(errs.Unavailable, "the file %q was replaced while the app was running, and %[1]q-wal is still that of its predecessor, "+
			"with what was committed to it last; move it to where the predecessor is now, or delete it", g.path)
	}
	return nil
}

// watch calls lost when the path no longer leads to the file that is open.
func (g *guarded) watch(ctx context.Context, lost context.CancelCauseFunc) {
	ticker := time.NewTicker(guardInterval)
	defer ticker.Stop()
	g.wal = nil
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		how := g.look()
		if how != "" {
			lost(&lostFile{g.path, how})
			return
		}
	}
}

// look returns what has become of the file that is open, "" if it is where it was.
func (g *guarded) look() string {
	now, err := os.Stat(g.path)
	moved := errors.Is(err, fs.ErrNotExist)
	replaced := err == nil && !os.SameFile(g.file, now)
	if g.wal == nil || (!moved && !replaced) {
		g.wal = statWAL(g.path)
	}
	switch {
	case moved:
		return "moved or deleted"
	case replaced:
		return "replaced by another"
	default:
		return ""
	}
}

// statWAL looks at the write-ahead log of a database, https://www.sqlite.org/wal.html; nil if there is none.
func statWAL(path string) os.FileInfo {
	info, err := os.Stat(path + "-wal")
	if err != nil {
		return nil
	}
	return info
}

// lostFile is why a guarded database ends.
type lostFile struct{ path, how string }

// Error implements error.
func (l *lostFile) Error() string {
	return "the file " + l.path + " was " + l.how + " while it was open"
}
