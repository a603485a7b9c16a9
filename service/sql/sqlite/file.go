package sqlite

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// lookInterval is how often the file of an open database is looked for.
const lookInterval = 100 * time.Millisecond

// Files are the database files of an app. Those that were overwritten while they were open are not opened again by this
// program, and the connections that have watched them are never closed: the last one to be closed would write the log over
// the new content. SQLite shares what it knows of a log between the connections of a program, so that a new one would go
// on with it. Methods may be called from any goroutine.
type Files struct {
	dir string
	log *slog.Logger

	mu          sync.Mutex
	overwritten []os.FileInfo
	watches     []*contentWatch
}

// NewFiles returns the files of an app in a directory, where relative paths start.
func NewFiles(dir string, log *slog.Logger) *Files { return &Files{dir: dir, log: log} }

// giveUp notes that a file was overwritten.
func (f *Files) giveUp(file os.FileInfo, watch *contentWatch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.overwritten, f.watches = append(f.overwritten, file), append(f.watches, watch)
}

// isGivenUp reports whether a file was overwritten.
func (f *Files) isGivenUp(file os.FileInfo) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, known := range f.overwritten {
		if os.SameFile(known, file) {
			return true
		}
	}
	return false
}

// File is the file of a db.sql.sqlite entry. It is opened again and again, and watched meanwhile: SQLite would notice
// nothing of a file that is moved, deleted, replaced by another, or overwritten in place. With one that was moved it would
// go on, and what is committed would be found by nothing that opens the path; over one that was overwritten it would write
// pages of the former content.
//
// A file that has vanished is waited for and not created anew. One that was put in its place is not opened beside the
// write-ahead log of its predecessor: SQLite does not know whose it is and would write it into the new file. (Of a
// file that was moved it leaves the log behind, see https://www.sqlite.org/howtocorrupt.html.) The log of one that was
// overwritten is moved out of the way.
//
// Open and Watch are called in turns by one goroutine.
type File struct {
	files  *Files
	id     registry.ID
	config *sqlapi.SQLiteConfig
	path   string
	// db is the database that is open, or was open last; content watches it from when it is opened, nil if it has no log.
	db      *DB
	content *contentWatch
	// opened is what was opened last, nil if nothing yet; wal is its write-ahead log, as seen last.
	opened, wal os.FileInfo
}

// File returns the file of an entry, whose configuration must be valid.
func (f *Files) File(id registry.ID, config *sqlapi.SQLiteConfig) *File {
	path := config.File
	if path != sqlapi.InMemory && !filepath.IsAbs(path) {
		path = filepath.Join(f.dir, path)
	}
	return &File{files: f, id: id, config: config, path: path}
}

// Open opens the database, unless that would do harm. The caller closes it after Watch has returned.
func (f *File) Open(ctx context.Context) (*DB, error) {
	if f.path == sqlapi.InMemory {
		return Open(ctx, f.id, f.config, f.files.dir)
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	_, missing := os.Stat(f.path)
	_, noFolder := os.Stat(filepath.Dir(f.path))
	db, err := Open(ctx, f.id, f.config, f.files.dir, WithLogger(f.files.log.With("database", f.id.String())), func(db *DB) {
		db.reopened, db.alone = f.opened != nil, true
	})
	if err != nil {
		return nil, err
	}
	if errors.Is(missing, fs.ErrNotExist) {
		f.files.log.InfoContext(ctx, "database file created", "file", f.path, "folder_created", errors.Is(noFolder, fs.ErrNotExist))
	}
	f.db, f.wal = db, nil
	if now, err := os.Stat(f.path); err == nil {
		f.opened = now
	}
	if f.content, err = watchContent(f.resolved()); err != nil {
		f.files.log.DebugContext(ctx, "only the place of the database file is watched, not its content", "file", f.path, "error", err)
	}
	return db, nil
}

// restore is what to do with a file that was overwritten.
const restore = "stop the app, put the file in place once more, for what was written in between may be in it, and start the app"

// check finds out whether the file can be opened.
func (f *File) check() error {
	now, err := os.Stat(f.path)
	switch {
	case err == nil && f.files.isGivenUp(now):
		return errs.New(errs.Invalid, "the file %q was overwritten while it was open; %s", f.path, restore)
	case f.opened == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return errs.New(errs.Unavailable, "the file %q was moved or deleted while the app was running; put it back", f.path)
	case err == nil && os.SameFile(f.opened, now):
		return nil
	}
	if wal := f.statWAL(); wal != nil && f.wal != nil && os.SameFile(wal, f.wal) {
		return errs.New(errs.Unavailable, "the file %q was replaced while the app was running, and %[1]q-wal is still that of its predecessor, "+
			"with what was committed to it last; move it to where the predecessor is now, or delete it", f.path)
	}
	return nil
}

// Watch looks after the database that was opened last, and is called once for each. It returns nil when ctx is done, and as soon as the file is lost an
// error that says how: the database must be closed then.
func (f *File) Watch(ctx context.Context) error {
	if f.path == sqlapi.InMemory {
		<-ctx.Done()
		return nil
	}
	lost := f.wait(ctx)
	if lost != nil && lost.overwritten {
		f.files.giveUp(f.opened, f.content)
		f.db.abandon()
		return errs.New(errs.Invalid, "%w; %s", f.moveLog(lost), restore)
	}
	// The last connection to be closed is to be one of the database.
	if f.content != nil {
		if err := f.content.Close(); err != nil {
			f.files.log.WarnContext(ctx, "the watch of the database file did not end well", "file", f.path, "error", err)
		}
	}
	if lost == nil {
		return nil
	}
	return errs.Wrap(errs.Unavailable, lost)
}

// moveLog moves the log of a file that was overwritten out of the way. Nothing is written to it any more.
func (f *File) moveLog(lost *lostFile) error {
	aside := f.resolved() + "-wal." + time.Now().UTC().Format("20060102T150405Z")
	if err := os.Rename(f.resolved()+"-wal", aside); err == nil {
		lost.detail += "; its write-ahead log was moved to " + aside
	}
	return lost
}

// wait looks until ctx is done (nil), or the file is lost.
func (f *File) wait(ctx context.Context) *lostFile {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if how := f.look(); how != "" {
			return &lostFile{path: f.path, how: how}
		}
		if f.content == nil {
			continue
		}
		switch found, how := f.content.Look(); found {
		case intact:
		case touched:
			f.files.log.WarnContext(ctx, "the database file was touched by something other than SQLite; nothing may write it while it is open",
				"file", f.path, "found", how)
		case logDeleted:
			return &lostFile{path: f.path, how: "not left alone", detail: how}
		case overwritten:
			return &lostFile{path: f.path, how: "overwritten", detail: how, overwritten: true}
		}
	}
}

// look returns what has become of the file that is open, "" if it is where it was.
func (f *File) look() string {
	now, err := os.Stat(f.path)
	moved := errors.Is(err, fs.ErrNotExist)
	replaced := err == nil && !os.SameFile(f.opened, now)
	if f.wal == nil || (!moved && !replaced) {
		f.wal = f.statWAL()
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

// resolved is the path without symbolic links, beside which SQLite keeps the log.
func (f *File) resolved() string {
	if path, err := filepath.EvalSymlinks(f.path); err == nil {
		return path
	}
	return f.path
}

// statWAL looks at the write-ahead log of a database, https://www.sqlite.org/wal.html; nil if there is none.
func (f *File) statWAL() os.FileInfo {
	info, err := os.Stat(f.resolved() + "-wal")
	if err != nil {
		return nil
	}
	return info
}

// lostFile is why the database of a file must be closed.
type lostFile struct {
	path, how, detail string
	overwritten       bool
}

// Error implements error.
func (l *lostFile) Error() string {
	text := "the file " + l.path + " was " + l.how + " while it was open"
	if l.detail != "" {
		text += ": " + l.detail
	}
	return text
}
