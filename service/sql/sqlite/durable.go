package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/segment"
)

// durable is the log of a durable source, as the connections of its database see it. The log belongs to the database: it is written
// from the first statement of a connection to the last, whether the source runs or not.
type durable struct {
	log *segment.Log
	// path is the database file, links resolved, and before what was seen of it before the connection was opened.
	path   string
	before segment.Before
	// unsynced says that SQLite does not wait for the disk.
	unsynced bool
	// sync waits until what was written is on the disk; nil if SQLite does not do so at each commit either. broken says that it has failed.
	sync   func(*capture.Recorder) error
	broken bool
	logger *slog.Logger

	// These belong to the connection that is open: how the segment file calls shapes, and which of them it describes.
	names     map[*Shape]uint32
	described map[uint32]bool

	// mu guards what follows: kept is the sequence of the newest transaction that is complete in the files, and late a gap behind
	// transactions that are not yet.
	mu   sync.Mutex
	kept uint64
	late capture.News
	// away says that there was no room to begin with the log, and away.told is the newest sequence of what has committed since.
	away struct {
		isAway bool
		told   uint64
	}
}

// LogSettings are what a durable log is for.
type LogSettings struct {
	// Source is the entry ID of the source, Generation the name of the log if it is made now.
	Source, Generation string
	// Tables names what is captured, as Sink.Tables does.
	Tables []string
	// Refuse says that commits are refused that cannot be written to the log.
	Refuse bool
	// MaxBytes and MaxAge bound what is kept.
	MaxBytes int64
	MaxAge   time.Duration
}

// openDurable opens the log of a database file if there is one. It looks at the wal-index, if the file is not open in this process
// yet.
func (db *DB) openDurable(file string) (*durable, error) {
	path, err := filepath.EvalSymlinks(file)
	if errors.Is(err, os.ErrNotExist) {
		path, err = file, nil
	}
	if err != nil || file == sqlapi.InMemory || !segment.Exists(segment.Dir(path)) {
		return nil, err
	}
	opened, err := segment.Open(segment.Dir(path))
	d := newDurable(opened, path, db.connector.cfg, db.logger)
	if errors.Is(err, segment.ErrDamaged) {
		d.logger.Error("the log of a durable source is damaged and was set aside: it begins anew when the source starts; "+
			"let its consumers begin anew with a snapshot", "error", err)
		_, err := segment.SetAside(segment.Dir(path))
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	d.look()
	if !db.reopened {
		d.before.Found = readIndex(path + "-shm")
	}
	return d, nil
}

func newDurable(log *segment.Log, path string, cfg *sqlapi.SQLiteConfig, logger *slog.Logger) *durable {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	d := &durable{log: log, path: path, unsynced: cfg.Synchronous == "off", logger: logger.With("log", segment.Dir(path))}
	if cfg.Synchronous == "full" || cfg.Synchronous == "extra" {
		d.sync = (*capture.Recorder).SyncSegment
	}
	return d
}

// flush makes what was written to the log survive a loss of power, if a commit does. It comes behind the commit, with what settles it: a
// record without that would tell as little as none.
func (d *durable) flush(r *capture.Recorder) {
	if d.sync == nil {
		return
	}
	err := d.sync(r)
	if err != nil && !d.broken {
		d.logger.Error("the log of a durable source cannot be synced, and commits go on without: after a loss of power its consumers may be "+
			"told of a gap; look after the disk", "error", err)
	}
	d.broken = err != nil
}

// look notes what the files are like before a connection is opened.
func (d *durable) look() {
	d.before = segment.Before{Database: segment.FootprintOf(d.path), Log: segment.FootprintOf(d.path + "-wal")}
}

// readIndex reads a wal-index that no connection of this process has open: closing the file would drop SQLite's locks.
func readIndex(path string) *segment.Place {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }() // it was only read
	var header [capture.WALIndexHeader]byte
	if _, err := io.ReadFull(file, header[:]); err != nil {
		return nil
	}
	return placeIn(header)
}

// placeIn returns the place that the header of a wal-index names, nil if its two copies differ.
func placeIn(header [capture.WALIndexHeader]byte) *segment.Place {
	const size = 48
	if string(header[:size]) != string(header[size:2*size]) {
		return nil
	}
	word := func(i int) uint32 { return binary.NativeEndian.Uint32(header[4*i:]) }
	return &segment.Place{
		Salt1: binary.BigEndian.Uint32(header[32:]), Salt2: binary.BigEndian.Uint32(header[36:]),
		Frames: word(4), Changes: word(2), Check1: word(6), Check2: word(7),
	}
}

// begin makes a connection write to the log, behind what the log has. No other connection may write meanwhile, so that none can
// do so unseen.
func (d *durable) begin(ctx context.Context, c *conn) (err error) {
	if err := refuseMode(c); err != nil {
		return err
	}
	if _, err := c.inner.ExecContext(ctx, "BEGIN IMMEDIATE", nil); err != nil {
		return fmt.Errorf("durable log: %w", err)
	}
	defer func() {
		_, undone := c.inner.ExecContext(context.WithoutCancel(ctx), "ROLLBACK", nil)
		err = errors.Join(err, undone)
	}()
	handle, err := handleOf(c.inner)
	if err != nil {
		return err
	}
	var live *segment.Place
	if header, ok := capture.ReadWALIndex(handle); ok {
		live = placeIn(header)
	}
	outcome, err := d.log.Restore(d.before, live, d.frames)
	if err != nil {
		return err
	}
	if told := d.toldAway(); told > 0 {
		d.log.Lose(told, &outcome)
	}
	d.tell(ctx, &outcome)
	if err := d.nameUnnamed(c, &outcome); err != nil {
		return err
	}
	file, end, sequence, err := d.log.Next(outcome.Sequence, d.unsynced)
	if err != nil {
		return err
	}
	if err := errors.Join(begin(c.session.recorder, file, end, sequence, d.log.Settings().Refuse), file.Close()); err != nil {
		return err
	}
	d.log.Publish(end, sequence)
	d.names, d.described = make(map[*Shape]uint32), make(map[uint32]bool)
	c.session.durable = d
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	c.db.watching = c.session
	return nil
}

// refuseMode refuses a database whose commits the log could not follow.
func refuseMode(c *conn) error {
	for pragma, wanted := range map[string]string{"journal_mode": "wal", "locking_mode": "normal"} {
		mode, err := pragmaText(c, pragma)
		if err != nil {
			return err
		}
		if mode != wanted {
			return errs.New(errs.Invalid, "a durable log needs %s = %s, and the database has %s: remove options.%s, or durable from the source",
				pragma, wanted, mode, pragma)
		}
	}
	return nil
}

// begin gives the recorder a descriptor of its own.
func begin(r *capture.Recorder, file *os.File, end int64, sequence uint64, refuse bool) error {
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("durable log: %w", err)
	}
	return r.BeginSegment(fd, end, sequence, refuse)
}

// tell says in the log of the program what was found.
func (d *durable) tell(ctx context.Context, o *segment.Outcome) {
	switch {
	case o.Gap != 0:
		d.logger.WarnContext(ctx, "the log of a durable source has a gap: its consumers are told; let them begin anew with a snapshot",
			"cause", CauseOf(o.Gap), "reason", o.Why, "sequence", o.Sequence+1)
	case o.Doubt:
		d.logger.InfoContext(ctx, "the fate of the newest transaction was found out after a crash", "reason", o.Why, "sequence", o.Sequence)
	}
}

// CauseOf returns the cause of a gap as users see it.
func CauseOf(gap capture.Gap) api.GapCause {
	switch gap {
	case capture.GapExternal:
		return api.GapExternalWrite
	case capture.GapTooLarge:
		return api.GapTooLarge
	case capture.GapUnverified:
		return api.GapUnverifiedCrash
	case capture.GapRestored:
		return api.GapRestored
	default:
		return api.GapCaptureLost
	}
}

// nameUnnamed writes the shapes of the newest transaction, which a crash has kept from being written: nothing has changed the schema
// since. Without them the transaction is a gap.
func (d *durable) nameUnnamed(c *conn, o *segment.Outcome) error {
	if len(o.Unnamed) == 0 {
		return nil
	}
	texts := make(map[uint32][]byte)
	for _, t := range o.Unnamed {
		shape, err := new(shapes).read(c.inner, t.Name, &catalog{})
		if err != nil {
			d.logger.Warn("the columns of a table are not known after a crash: consumers will be told of a gap", "table", t.Name, "error", err)
			return nil
		}
		if shape != nil { // else it is not captured
			texts[t.Slot] = shape.encode()
		}
	}
	return d.log.Bind(o.Commit, texts)
}

// frames looks at the write-ahead log: https://www.sqlite.org/fileformat2.html#the_write_ahead_log.
func (d *durable) frames(from, to uint32) (f segment.Frames, err error) {
	const header, frame = 32, 24
	file, err := os.Open(d.path + "-wal")
	if err != nil {
		return f, err
	}
	defer func() { _ = file.Close() }() // it was only read
	var b [header]byte
	if _, err := file.ReadAt(b[:], 0); err != nil {
		return f, err
	}
	pageSize := int64(binary.BigEndian.Uint32(b[8:]))
	for i := max(from, 1); i <= to; i++ {
		if _, err := file.ReadAt(b[:frame], header+int64(i-1)*(frame+pageSize)); err != nil {
			return f, err
		}
		if i == from {
			f.Check1, f.Check2 = binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
			continue
		}
		if f.EndsInCommit = binary.BigEndian.Uint32(b[4:]) != 0; f.EndsInCommit {
			f.Commits++
		}
	}
	return f, nil
}

// left notes how the database was left by a connection that was closed in good order.
func (d *durable) left() error {
	d.look()
	return d.log.Stop(segment.Stop{Database: d.before.Database, Log: d.before.Log})
}

func pragmaText(c *conn, pragma string) (value string, err error) {
	err = eachRow(c.inner, "PRAGMA main."+pragma, func(row []driver.Value) { value = fmt.Sprint(row[0]) })
	return strings.ToLower(value), err
}
