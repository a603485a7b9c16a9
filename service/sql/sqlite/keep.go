package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/internal/tempfile"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/segment"
)

// KeepLog makes the database have a durable log with these settings, behind a sequence if it has none yet. It waits for the writer.
// The error is Invalid if the database cannot have one, and Conflict if it is another source's.
func (db *DB) KeepLog(ctx context.Context, settings LogSettings, sequence uint64) error {
	if db.connector.file == sqlapi.InMemory {
		return errs.New(errs.Invalid, "durable: database %q is in memory, and has nothing that lasts: give it a file, or remove durable", db.id)
	}
	err := db.holdWriter(ctx, func(writer *conn) error {
		if db.durable.Load() == nil {
			return db.makeLog(ctx, writer, settings, sequence)
		}
		return db.adoptLog(settings)
	})
	if err == nil {
		db.filterVersion.Add(1)
	}
	return prefix(err, "sqlite: durable log of %q", db.id)
}

func (db *DB) makeLog(ctx context.Context, writer *conn, settings LogSettings, sequence uint64) error {
	path, err := filepath.EvalSymlinks(db.connector.file)
	if err != nil {
		return err
	}
	if err := refuseMode(writer); err != nil {
		return err
	}
	left, err := segment.SetAside(segment.Dir(path))
	if err != nil {
		return err
	}
	made, err := segment.Create(segment.Dir(path), settings.stored(), sequence)
	if err != nil {
		return errs.Wrap(errs.Invalid, err)
	}
	d := newDurable(made, path, db.connector.cfg, db.logger)
	if left {
		d.logger.WarnContext(ctx, "there were files of a log without its log.json: they were set aside, and the log begins anew; "+
			"let its consumers begin anew with a snapshot")
	}
	db.LookForOthers() // what they have done until now is none of the log's
	if err := d.begin(ctx, writer); err != nil {
		return errors.Join(err, made.Undo())
	}
	db.durable.Store(d)
	return nil
}

// adoptLog takes over the log that there is.
func (db *DB) adoptLog(settings LogSettings) error {
	have := db.durable.Load().log.Settings()
	if have.Source != settings.Source {
		return errs.New(errs.Conflict, "the log in %s is that of source %q: a database has one durable source; "+
			"remove durable from one of them, or delete the directory if that source is gone", segment.Dir(db.durable.Load().path), have.Source)
	}
	wanted := settings.stored()
	wanted.Generation, wanted.Bootstrapped = have.Generation, have.Bootstrapped
	return db.durable.Load().log.Set(wanted)
}

func (s *LogSettings) stored() segment.Settings {
	return segment.Settings{
		Source: s.Source, Generation: s.Generation, Tables: s.Tables, Refuse: s.Refuse, MaxBytes: s.MaxBytes, MaxAge: s.MaxAge,
	}
}

// DropLog deletes the durable log of a source. It is not an error if there is none.
func (db *DB) DropLog(ctx context.Context, source string) error {
	err := db.holdWriter(ctx, func(writer *conn) error {
		d := db.durable.Load()
		if d == nil || d.log.Settings().Source != source {
			return nil
		}
		db.endWatch(writer.session)
		writer.session.recorder.EndSegment()
		writer.session.durable = nil
		db.durable.Store(nil)
		db.filterVersion.Add(1)
		return segment.Remove(segment.Dir(d.path))
	})
	return prefix(err, "sqlite: delete the durable log of %q", db.id)
}

// HasLog reports whether the database has a durable log of a source.
func (db *DB) HasLog(source string) bool {
	return db.durable.Load() != nil && db.durable.Load().log.Settings().Source == source
}

// LogState is what a durable log is at a moment.
type LogState struct {
	Generation string
	// Bootstrapped says that a snapshot was delivered in full for which the source had asked.
	Bootstrapped bool
	// Bytes is what the Files take, Oldest when the oldest transaction was committed that is kept, zero if none is, and Trimmed the
	// sequence up to which all has left.
	Bytes   int64
	Files   int
	Oldest  time.Time
	Trimmed uint64
	// Newest is the sequence up to which the log can be read.
	Newest uint64
}

// LogState describes the durable log. Without one it is zero.
func (db *DB) LogState() LogState {
	d := db.durable.Load()
	if d == nil {
		return LogState{}
	}
	settings, size := d.log.Settings(), d.log.Size()
	return LogState{
		Generation: settings.Generation, Bootstrapped: settings.Bootstrapped,
		Bytes: size.Bytes, Files: size.Files, Oldest: size.Oldest, Trimmed: size.Trimmed, Newest: size.Newest,
	}
}

// SetBootstrapped notes in the durable log that a snapshot was delivered in full.
func (db *DB) SetBootstrapped() error {
	return db.withLog(func(log *segment.Log) error {
		settings := log.Settings()
		if settings.Bootstrapped {
			return nil
		}
		settings.Bootstrapped = true
		return log.Set(settings)
	})
}

// withLog calls f with the durable log. What uses the log of a source may still be at work when a reload has deleted that.
func (db *DB) withLog(f func(log *segment.Log) error) error {
	d := db.durable.Load()
	if d == nil {
		return errs.New(errs.Unavailable, "sqlite: database %q has no durable log: its source was deleted, or is not durable any more", db.id)
	}
	return f(d.log)
}

// LogBehind returns about how many bytes of the durable log lie behind a sequence, -1 without a log, and how many
// transactions up to newest.
func (db *DB) LogBehind(sequence, newest uint64) (bytes int64, transactions uint64) {
	if d := db.durable.Load(); d != nil {
		return d.log.Behind(sequence, newest)
	}
	return -1, newest - sequence
}

// TrimLog deletes what the settings do not keep.
func (db *DB) TrimLog() error { return db.withLog((*segment.Log).Trim) }

// ReadConsumers and WriteConsumers keep v, as JSON, beside the durable log, for one goroutine at a time.
func (db *DB) ReadConsumers(v any) error {
	return db.withLog(func(log *segment.Log) error { return log.ReadConsumers(v) })
}

// WriteConsumers is the counterpart of ReadConsumers.
func (db *DB) WriteConsumers(v any) error {
	return db.withLog(func(log *segment.Log) error { return log.WriteConsumers(v) })
}

// LogTransaction is a committed transaction, or a gap, in a durable log.
type LogTransaction struct {
	Commit
	// Gap is why there is a gap in this place, "" for a transaction.
	Gap api.GapCause
}

// LogCursor reads a durable log. It is used by one goroutine at a time.
type LogCursor struct {
	cursor *segment.Cursor
	shapes map[*segment.Shape]*Shape
}

// ErrTrimmed and UndoneError are errors of ReadLog and LogCursor.Next.
var ErrTrimmed = segment.ErrTrimmed

// UndoneError means that transactions up to a position were undone.
type UndoneError = segment.UndoneError

// ReadLog returns a cursor over what is behind a sequence in the durable log. It must be closed.
func (db *DB) ReadLog(after uint64) (*LogCursor, error) {
	read := &LogCursor{shapes: make(map[*segment.Shape]*Shape)}
	err := db.withLog(func(log *segment.Log) (err error) {
		read.cursor, err = log.Read(after)
		return err
	})
	if err != nil {
		return nil, err
	}
	return read, nil
}

// Close lets go of the file that is open.
func (c *LogCursor) Close() { c.cursor.Close() }

// Through returns the sequence up to which there is nothing more.
func (c *LogCursor) Through() uint64 { return c.cursor.Through() }

// Next returns the next transaction, io.EOF if there is none by now. What it returns is good for ever; Spilled must be released.
func (c *LogCursor) Next() (*LogTransaction, error) {
	tx, err := c.cursor.Next()
	if err != nil {
		return nil, err
	}
	read := &LogTransaction{Commit: Commit{
		Sequence: tx.Sequence, At: time.Unix(0, tx.At), Counts: tx.Counts, Spilled: tx.Spilled, Records: tx.Rows, Owned: true,
	}}
	if tx.Gap != 0 {
		read.Gap = CauseOf(tx.Gap)
		return read, nil
	}
	for _, t := range tx.Tables {
		if t.Shape == nil { // one that is not captured
			read.Touched = append(read.Touched, TouchedTable{Slot: t.Slot, Ops: t.Ops})
			continue
		}
		shape, err := c.shapeOf(t.Shape)
		if err != nil {
			(*tempfile.Part).Release(tx.Spilled)
			return nil, err
		}
		read.Touched = append(read.Touched, TouchedTable{t.Slot, shape, t.Ops})
	}
	return read, nil
}

func (c *LogCursor) shapeOf(text *segment.Shape) (*Shape, error) {
	if known := c.shapes[text]; known != nil {
		return known, nil
	}
	shape, err := decodeShape(text.Text)
	if err == nil {
		c.shapes[text] = shape
	}
	return shape, err
}
