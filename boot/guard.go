package boot

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// guardInterval is how often a guarded database looks for its file.
const guardInterval = 100 * time.Millisecond

// guarded is a database service that fails when its file is no longer what was opened: moved, deleted, replaced by
// another, or overwritten in place. SQLite would notice nothing of it. With a file that was moved it would go on, and
// what is committed would be found by nothing that opens the path; over one that was overwritten it would write pages
// of the former content.
//
// A file that has vanished is waited for and not created anew. One that was put in its place is not opened beside the
// write-ahead log of its predecessor: SQLite does not know whose it is and would write it into the new file. (Of a
// file that was moved it leaves the log behind, see https://www.sqlite.org/howtocorrupt.html.) One that was overwritten
// is not opened again by this program, and its log is moved out of the way.
type guarded struct {
	supervisor.Service
	path string
	log  *slog.Logger
	// overwritten is shared by all databases of the app.
	overwritten *overwritten
	// open is the database while it is open.
	open atomic.Pointer[sqlite.DB]
	// file is what was open last, nil if nothing yet; wal is its write-ahead log, as seen last.
	file, wal os.FileInfo
}

// overwritten remembers files that were overwritten while they were open. The connections that have watched them are
// never closed: the last one to be closed would write the log over the new content. SQLite shares what it knows of a log
// between the connections of a program, so that a new one would go on with it.
type overwritten struct {
	mu      sync.Mutex
	files   []os.FileInfo
	watches []*sqlite.Watch
}

func (o *overwritten) add(file os.FileInfo, watch *sqlite.Watch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files, o.watches = append(o.files, file), append(o.watches, watch)
}

func (o *overwritten) has(file os.FileInfo) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, known := range o.files {
		if os.SameFile(known, file) {
			return true
		}
	}
	return false
}

// newGuarded returns a guard for the database of a configuration; its Service is set by the caller.
func newGuarded(config *sqlapi.SQLiteConfig, r *runtime) *guarded {
	path := config.File
	if path != sqlapi.InMemory && !filepath.IsAbs(path) {
		path = filepath.Join(r.Dir, path)
	}
	return &guarded{path: path, log: r.Logger, overwritten: &r.overwritten}
}

// opening notes which database is open.
func (g *guarded) opening(open func(ctx context.Context) (*sqlite.DB, error)) func(ctx context.Context) (sql.Database, error) {
	return func(ctx context.Context) (sql.Database, error) {
		_, missing := os.Stat(g.path)
		_, noFolder := os.Stat(filepath.Dir(g.path))
		db, err := open(ctx)
		if err != nil {
			return nil, err
		}
		if g.path != sqlapi.InMemory && errors.Is(missing, fs.ErrNotExist) {
			g.log.InfoContext(ctx, "database file created", "file", g.path, "folder_created", errors.Is(noFolder, fs.ErrNotExist))
		}
		g.open.Store(db)
		return db, nil
	}
}

// Serve implements supervisor.Service. The context of the service inside ends when the watch has ended.
func (g *guarded) Serve(ctx context.Context, ready func()) error {
	if g.path == sqlapi.InMemory {
		return g.Service.Serve(ctx, ready)
	}
	if err := g.check(); err != nil {
		return err
	}
	inner, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	unwatched := context.AfterFunc(ctx, func() { end(context.Cause(ctx)) })
	var watching sync.WaitGroup
	err := g.Service.Serve(inner, func() {
		if file, err := os.Stat(g.path); err == nil && unwatched() {
			g.file = file
			watching.Go(func() { end(g.watch(ctx, inner)) })
		}
		ready()
	})
	end(nil)
	watching.Wait()
	if lost, ok := errors.AsType[*lostFile](context.Cause(inner)); ok {
		return errors.Join(g.gone(lost), err)
	}
	return err
}

// gone is the error of a database whose file is lost. The database is closed by then.
func (g *guarded) gone(lost *lostFile) error {
	if lost.watch == nil {
		return errs.Wrap(errs.Unavailable, lost)
	}
	aside := g.resolved() + "-wal." + time.Now().UTC().Format("20060102T150405Z")
	if err := os.Rename(g.resolved()+"-wal", aside); err == nil {
		lost.detail += "; its write-ahead log was moved to " + aside
	}
	return errs.New(errs.Invalid, "%w; %s", lost, restore)
}

// restore is what to do with a file that was overwritten.
const restore = "stop the app, put the file in place once more, for what was written in between may be in it, and start the app"

// resolved is the path without symbolic links, beside which SQLite keeps the log.
func (g *guarded) resolved() string {
	if path, err := filepath.EvalSymlinks(g.path); err == nil {
		return path
	}
	return g.path
}

// check finds out whether the file can be opened.
func (g *guarded) check() error {
	now, err := os.Stat(g.path)
	switch {
	case err == nil && g.overwritten.has(now):
		return errs.New(errs.Invalid, "the file %q was overwritten while it was open; %s", g.path, restore)
	case g.file == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return errs.New(errs.Unavailable, "the file %q was moved or deleted while the app was running; put it back", g.path)
	case err == nil && os.SameFile(g.file, now):
		return nil
	}
	if wal := g.statWAL(); wal != nil && g.wal != nil && os.SameFile(wal, g.wal) {
		return errs.New(errs.Unavailable, "the file %q was replaced while the app was running, and %[1]q-wal is still that of its predecessor, "+
			"with what was committed to it last; move it to where the predecessor is now, or delete it", g.path)
	}
	return nil
}

// watch returns why the database must end: the cause of ctx, or what has become of the file.
func (g *guarded) watch(ctx, inner context.Context) error {
	content, err := sqlite.OpenWatch(g.resolved())
	if err != nil {
		g.log.Debug("only the place of the database file is watched, not its content", "file", g.path, "error", err)
	}
	lost := g.wait(ctx, inner, content)
	if lost != nil && lost.watch != nil {
		g.overwritten.add(g.file, lost.watch)
		if db := g.open.Load(); db != nil {
			db.Abandon()
		}
		return lost
	}
	if content != nil {
		if err := content.Close(); err != nil {
			g.log.Warn("the watch of the database file did not end well", "file", g.path, "error", err)
		}
	}
	if lost != nil {
		return lost
	}
	return context.Cause(ctx)
}

// wait looks until the database is to end (nil), or its file is lost. content may be nil.
func (g *guarded) wait(ctx, inner context.Context, content *sqlite.Watch) *lostFile {
	ticker := time.NewTicker(guardInterval)
	defer ticker.Stop()
	g.wal = nil
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-inner.Done():
			return nil
		case <-ticker.C:
		}
		if how := g.look(); how != "" {
			return &lostFile{path: g.path, how: how}
		}
		if content == nil {
			continue
		}
		switch damage, how := content.Look(); damage {
		case sqlite.Intact:
		case sqlite.Touched:
			g.log.Warn("the database file was touched by something other than SQLite; nothing may write it while it is open",
				"file", g.path, "found", how)
		case sqlite.LogDeleted:
			return &lostFile{path: g.path, how: "not left alone", detail: how}
		case sqlite.Overwritten:
			return &lostFile{path: g.path, how: "overwritten", detail: how, watch: content}
		}
	}
}

// look returns what has become of the file that is open, "" if it is where it was.
func (g *guarded) look() string {
	now, err := os.Stat(g.path)
	moved := errors.Is(err, fs.ErrNotExist)
	replaced := err == nil && !os.SameFile(g.file, now)
	if g.wal == nil || (!moved && !replaced) {
		g.wal = g.statWAL()
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
func (g *guarded) statWAL() os.FileInfo {
	info, err := os.Stat(g.resolved() + "-wal")
	if err != nil {
		return nil
	}
	return info
}

// lostFile is why a guarded database ends.
type lostFile struct {
	path, how, detail string
	// watch is that of a file that was overwritten; it is not closed.
	watch *sqlite.Watch
}

// Error implements error.
func (l *lostFile) Error() string {
	text := "the file " + l.path + " was " + l.how + " while it was open"
	if l.detail != "" {
		text += ": " + l.detail
	}
	return text
}
