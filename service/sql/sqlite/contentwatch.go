package sqlite

import (
	"bytes"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"net/url"
	"os"
	"time"
	"unsafe"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// damage is what something other than SQLite has done to the files of an open database.
type damage int

// What a contentWatch finds.
const (
	// intact means that nothing was found.
	intact damage = iota
	// touched means that the file's time was changed, and as far as can be seen nothing else.
	touched
	// logDeleted means that the write-ahead log, or its index, was deleted. SQLite still has it open, and closing the
	// last connection in good order writes what is in it into the file.
	logDeleted
	// overwritten means that the file or its log was written or truncated by something else. What is in the log belongs
	// to the former content: a checkpoint would mix both.
	overwritten
)

// contentWatch notices what SQLite does not: that the file of an open database, or its write-ahead log, was written, truncated or
// deleted by something other than SQLite. It compares what the wal-index says about checkpoints, in which alone SQLite
// writes the file, with what has become of it. It has a connection of its own, with which the log cannot end while
// it is open. It is used by one goroutine at a time.
//
// What it cannot tell: a copy of the same size whose header is no older, put over the file between two looks of which the
// second also sees a checkpoint, or a log that was begun anew.
type contentWatch struct {
	path   string
	inner  *sqlite3.SQLiteConn
	handle unsafe.Pointer
	log    os.FileInfo
	// settled is what was seen last while no checkpoint was under way.
	settled *footprint
	// counter is the newest change counter of the file's header, begun says that there has been one.
	counter uint32
	begun   bool
}

// footprint is what the files of a database look like at one moment.
type footprint struct {
	checkpoints checkpoints
	size        int64
	modified    time.Time
	sample      uint64
}

// checkpoints is what a wal-index says about them. Numbers are of frames, see https://www.sqlite.org/walformat.html.
type checkpoints struct {
	salt                          [8]byte
	frames, backfilled, attempted uint32
	pages, pageSize               uint32
}

// watchContent watches the content of a database whose writer is open. The path has no symbolic links in it.
func watchContent(path string) (*contentWatch, error) {
	inner, err := openPlain("file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=ro&_busy_timeout=1000")
	if err != nil {
		return nil, err
	}
	w := &contentWatch{path: path, inner: inner}
	if err := w.begin(); err != nil {
		_ = inner.Close() // nothing was written by it
		return nil, err
	}
	return w, nil
}

func (w *contentWatch) begin() error {
	// In the other modes there is no wal-index, and asking for it would make one.
	mode := ""
	err := eachRow(w.inner, "PRAGMA journal_mode", func(row []driver.Value) { mode = fmt.Sprint(row[0]) })
	if err == nil && mode != "wal" {
		err = fmt.Errorf("%s has no write-ahead log: its journal_mode is %s", w.path, mode)
	}
	if err != nil {
		return err
	}
	// Reading opens the log.
	if err := eachRow(w.inner, "SELECT count(*) FROM sqlite_schema", func([]driver.Value) {}); err != nil {
		return err
	}
	if w.handle, err = handleOf(w.inner); err != nil {
		return err
	}
	if _, ok := w.checkpoints(); !ok {
		return fmt.Errorf("%s has no write-ahead log that is shared", w.path)
	}
	w.log, err = os.Stat(w.path + "-wal")
	return err
}

// Close ends the watch.
func (w *contentWatch) Close() error { return w.inner.Close() }

// Look looks at the files once, and says what has happened since the last time. The reason is for people.
func (w *contentWatch) Look() (damage, string) {
	if found, how := w.lookAtLog(); found != intact {
		return found, how
	}
	if how := w.lookAtHeader(); how != "" {
		return overwritten, how
	}
	return w.lookAtFile()
}

// lookAtLog finds out whether the log is the one that SQLite has open, and holds what the wal-index says.
func (w *contentWatch) lookAtLog() (damage, string) {
	before, ok := w.checkpoints()
	if !ok {
		return intact, ""
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(w.path + suffix); os.IsNotExist(err) {
			return logDeleted, "its " + suffix + " was deleted"
		}
	}
	info, err := os.Stat(w.path + "-wal")
	switch {
	case err != nil:
		return intact, ""
	case !os.SameFile(info, w.log):
		return logDeleted, "its -wal was replaced by another"
	}
	salt, found := w.logSalt()
	if now, _ := w.checkpoints(); now.salt != before.salt || now.frames != before.frames || before.frames == 0 {
		return intact, ""
	}
	const header, frameHeader = 32, 24
	needed := header + int64(before.frames)*(frameHeader+int64(before.pageSize))
	switch {
	case info.Size() < needed:
		return overwritten, "its -wal was truncated"
	case found && salt != before.salt:
		return overwritten, "its -wal was overwritten"
	default:
		return intact, ""
	}
}

// logSalt reads the salt in the header of the log. SQLite holds no locks on that file, so it may be opened and closed.
func (w *contentWatch) logSalt() (salt [8]byte, ok bool) {
	file, err := os.Open(w.path + "-wal")
	if err != nil {
		return salt, false
	}
	defer func() { _ = file.Close() }() // it was only read
	var header [32]byte
	if _, err := io.ReadFull(file, header[:]); err != nil {
		return salt, false
	}
	copy(salt[:], header[16:24])
	return salt, true
}

// lookAtHeader finds out whether the file still begins like a database, and with none that is older.
func (w *contentWatch) lookAtHeader() string {
	how := w.header()
	if how != "" {
		how = w.header() // it may have been read while it was written
	}
	return how
}

// header compares the file's header to those before, see https://www.sqlite.org/fileformat.html#the_database_header.
func (w *contentWatch) header() string {
	var header [100]byte
	magic := []byte("SQLite format 3\x00")
	switch read := capture.ReadFile(w.handle, header[:], 0); {
	case !read && !w.begun:
		return "" // nothing was checkpointed yet
	case !read:
		return "it was truncated"
	case !bytes.HasPrefix(header[:], magic):
		return "it is no database any more"
	}
	counter := binary.BigEndian.Uint32(header[24:28])
	if w.begun && int32(counter-w.counter) < 0 { //nolint:gosec // the counter wraps around
		return "what is in it now is older"
	}
	w.counter, w.begun = counter, true
	return ""
}

// lookAtFile compares the file to what it was before, if no checkpoint has been made in between.
func (w *contentWatch) lookAtFile() (damage, string) {
	now, ok := w.footprint()
	if !ok {
		return intact, ""
	}
	before := w.settled
	w.settled = now
	c := now.checkpoints
	switch {
	case c.pages > 0 && c.frames == c.backfilled && now.size != int64(c.pages)*int64(c.pageSize):
		return overwritten, fmt.Sprintf("it has %d bytes instead of %d", now.size, int64(c.pages)*int64(c.pageSize))
	case before == nil || !before.checkpoints.sameAs(c):
		return intact, ""
	case before.size != now.size || before.sample != now.sample:
		return overwritten, "something other than SQLite has written to it"
	case !before.modified.Equal(now.modified):
		return touched, "its time was changed, but as far as can be seen not its content"
	default:
		return intact, ""
	}
}

// sameAs reports whether no checkpoint can have written to the file between two moments at which none was under way.
func (c checkpoints) sameAs(later checkpoints) bool {
	return c.salt == later.salt && c.backfilled == later.backfilled && c.attempted == later.attempted
}

// footprint returns what the file looks like, false while a checkpoint is under way.
func (w *contentWatch) footprint() (*footprint, bool) {
	before, ok := w.checkpoints()
	if !ok || before.attempted > before.backfilled {
		return nil, false
	}
	info, err := os.Stat(w.path)
	if err != nil {
		return nil, false
	}
	f := &footprint{checkpoints: before, size: info.Size(), modified: info.ModTime()}
	if last := w.settled; last != nil && last.checkpoints.sameAs(before) && last.size == f.size && last.modified.Equal(f.modified) {
		f.sample = last.sample
	} else {
		f.sample = w.sample(f.size, int64(before.pageSize))
	}
	after, ok := w.checkpoints()
	if !ok || after != before {
		return nil, false
	}
	return f, true
}

// sample returns a sum over pages of the file: all of a small one, else some that are spread over it, its last among
// them.
func (w *contentWatch) sample(size, pageSize int64) uint64 {
	const most = 256
	sum := fnv.New64a()
	pages := size / max(pageSize, 512)
	page := make([]byte, max(pageSize, 512))
	step := max(1, float64(pages)/most)
	for at := 0.0; int64(at) < pages; at += step {
		if capture.ReadFile(w.handle, page, int64(at)*pageSize) {
			_, _ = sum.Write(page) // a hash does not fail
		}
	}
	if pages > 0 && capture.ReadFile(w.handle, page, (pages-1)*pageSize) {
		_, _ = sum.Write(page)
	}
	return sum.Sum64()
}

// checkpoints reads the wal-index. It is false while that is being changed.
func (w *contentWatch) checkpoints() (c checkpoints, ok bool) {
	raw, ok := capture.ReadWALIndex(w.handle)
	const header, initialized = 48, 12
	if !ok || !bytes.Equal(raw[:header], raw[header:2*header]) || raw[initialized] == 0 {
		return c, false
	}
	number := func(at int) uint32 { return binary.NativeEndian.Uint32(raw[at:]) }
	size := uint32(binary.NativeEndian.Uint16(raw[14:]))
	copy(c.salt[:], raw[32:40])
	c.pageSize, c.frames, c.pages = size&0xfe00+size&1<<16, number(16), number(20)
	c.backfilled, c.attempted = number(96), number(128)
	return c, true
}
