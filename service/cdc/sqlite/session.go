package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/consumer"
	"github.com/wippy-cdc/runtime/service/cdc/log"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// origin is what all transactions of one run of a source have in common.
type origin struct {
	source     registry.ID
	database   string
	generation string
}

// session is one run of a source: the sink that the writer hands its transactions to.
type session struct {
	origin     origin
	db         *sqlite.DB
	tables     []string
	checkpoint checkpoint
	// saved is the checkpoint that was loaded, unloaded why it could not be.
	saved    source.Checkpoint
	unloaded error
	logger   *slog.Logger
	// counters are those of the source.
	counters *stream.Counters
	// streams is set before the writer hands anything over.
	streams *stream.Streams
	// sequence is that of the newest transaction, of earlier runs too, 0 if there is none yet.
	sequence atomic.Uint64
	// tx and touched belong to the writer: what it hands over next is put together in them.
	tx      log.Transaction
	touched []log.Touched
	// closed is closed when the database has closed.
	closed chan struct{}
	// durable says that the log is kept beside the database.
	durable bool
	// retention bounds it, named returns the consumers of the run, and warned is what was said of the slowest of them last.
	retention api.RetentionConfig
	named     func() *consumer.Consumers
	warned    warning
}

var (
	_ sqlite.Sink    = (*session)(nil)
	_ source.Session = (*session)(nil)
)

// Saved implements source.Session.
func (s *session) Saved() (source.Checkpoint, error) { return s.saved, s.unloaded }

// Capture implements source.Session.
func (s *session) Capture(ctx context.Context, streams *stream.Streams, ready func()) error {
	s.streams = streams
	streams.BeginAt(s.sequence.Load())
	if s.durable {
		streams.KeepIn(&store{s}, s.origin.generation)
	}
	detach, err := s.db.Attach(ctx, s)
	if err != nil {
		return fmt.Errorf("attach to %q: %w", s.db.ID(), err)
	}
	defer detach()
	if s.durable { // what the writer has committed before it was attached to is in the files
		s.advance(s.db.LogState().Newest)
		streams.BeginAt(s.sequence.Load())
	}
	ready()
	for look := time.Tick(lookInterval); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-s.closed:
			return errs.New(errs.Unavailable, "database %q was closed", s.db.ID())
		case <-look:
			s.look(ctx)
		}
	}
}

// lookInterval is how often a source looks for commits of others, and for what its log need not keep.
const lookInterval = time.Second

func (s *session) look(ctx context.Context) {
	s.db.LookForOthers()
	if !s.durable {
		return
	}
	resuming, cancel := context.WithTimeout(ctx, lookInterval)
	defer cancel()
	if err := s.db.ResumeLog(resuming); err != nil {
		s.logger.WarnContext(ctx, "the durable log cannot be begun", "error", err)
	}
	if err := s.db.TrimLog(); err != nil {
		s.logger.WarnContext(ctx, "the durable log cannot be trimmed", "error", err)
	}
	s.warnOfSlowest(ctx)
}

// advance makes sequence the newest, if it is.
func (s *session) advance(sequence uint64) {
	for {
		newest := s.sequence.Load()
		if newest >= sequence || s.sequence.CompareAndSwap(newest, sequence) {
			return
		}
	}
}

// Missed implements source.Session: streams are told when it happens.
func (s *session) Missed() error { return nil }

// ListTables implements source.Session: those of main that hold rows of their own.
func (s *session) ListTables(ctx context.Context) (names []string, err error) {
	rows, err := s.db.Pool().QueryContext(ctx, `SELECT 'main.' || name FROM main.sqlite_schema
		WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// Check implements source.Session: a database that is gone says so itself.
func (s *session) Check(context.Context) error { return nil }

// Save implements source.Session.
func (s *session) Save(ctx context.Context, c source.Checkpoint) error {
	if s.durable { // the log is the checkpoint
		if c.Bootstrapped {
			return s.db.SetBootstrapped()
		}
		return nil
	}
	return s.checkpoint.save(ctx, position{Checkpoint: c, sequence: s.sequence.Load()})
}

// Resumes implements source.Session: a stream that is no consumer's would not get later what it has not read when the source
// stops.
func (s *session) Resumes() bool { return false }

// Close implements source.Session.
func (s *session) Close(context.Context) {}

// Tables implements sqlite.Sink.
func (s *session) Tables() []string {
	if len(s.tables) == 0 {
		return nil
	}
	return s.tables
}

// count returns the sequence of what comes next. That of the durable log, 0 without one, is for the source that keeps it: others of the
// database have numbers of their own, which may be greater.
func (s *session) count(inLog uint64) uint64 {
	if !s.durable || inLog == 0 {
		return s.sequence.Add(1)
	}
	s.sequence.Store(inLog)
	return inLog
}

// Committed implements sqlite.Sink.
func (s *session) Committed(c *sqlite.Commit) {
	if c.Unkept && s.durable {
		s.Lost(c.Sequence, api.GapCaptureLost, errUnkept)
		return
	}
	sequence := s.count(c.Sequence)
	s.touched = s.touched[:0]
	for _, t := range c.Touched {
		s.touched = append(s.touched, touchedBy(t))
	}
	s.tx = log.Transaction{
		Sequence: sequence, At: c.At, Touched: s.touched, Counts: log.Counts(c.Counts),
		Spilled: c.Spilled.Retain(), Entries: c.Records, Owned: c.Owned,
	}
	s.streams.Append(&s.tx)
}

// touchedBy is a table in the summary of a transaction. One that is not captured takes its ID: no other may have it meanwhile.
func touchedBy(t sqlite.TouchedTable) log.Touched {
	if t.Shape == nil {
		return log.Touched{ID: t.Slot}
	}
	return log.Touched{ID: t.Slot, Shape: t.Shape, Codes: log.Codes(t.Ops)} //nolint:gosec // a bit for each of five operations
}

// errUnkept says why a transaction is not in a durable log.
var errUnkept = errs.New(errs.Unavailable, "the durable log could not be begun for want of room on the disk")

// Lost implements sqlite.Sink.
func (s *session) Lost(sequence uint64, cause api.GapCause, err error) {
	sequence = s.count(sequence)
	s.streams.Lose(sequence, &api.GapError{Cause: cause, Err: err})
}

// Others implements sqlite.Sink.
func (s *session) Others(commits int) { s.counters.ExternalCommits(commits) }

// Closed implements sqlite.Sink.
func (s *session) Closed() { close(s.closed) }

// Describe implements source.Session.
func (s *session) Describe(info *api.SourceInfo) {
	info.Generation = s.origin.generation
	if sequence := s.sequence.Load(); sequence > 0 {
		info.LSN = lsn(sequence)
	}
}

// Measure implements source.Session.
func (s *session) Measure(stats *api.Stats) {
	if size, ok := s.db.WALBytes(); ok {
		stats.WALBytes = &size
	}
	if s.durable {
		state := s.db.LogState()
		stats.DurableLog = &api.DurableLog{Bytes: state.Bytes, Files: state.Files, Oldest: state.Oldest}
	}
}

// Changed implements stream.Engine.
func (s *session) Changed() {}

// Void implements stream.Engine: what was undone is not in a record.
func (s *session) Void(_, _ []byte) bool { return false }

// NewDecoder implements stream.Engine.
func (s *session) NewDecoder() stream.Decoder { return &decoder{origin: &s.origin} }

// decoder decodes transactions for one stream.
type decoder struct {
	origin *origin
	header *api.Transaction
}

// Begin implements stream.Decoder.
func (d *decoder) Begin(record *log.Record) {
	d.header = &api.Transaction{
		Source: d.origin.source, Engine: api.EngineSQLite, Database: d.origin.database, Generation: d.origin.generation,
		Sequence: record.Sequence, LSN: lsn(record.Sequence), CommittedAt: record.At,
	}
}

// Decode implements stream.Decoder.
func (d *decoder) Decode(entry *log.Entry, change *api.Change) error {
	shape, ok := entry.Shape.(*sqlite.Shape)
	if !ok {
		return errs.New(errs.Internal, "the shape of a table is a %T", entry.Shape)
	}
	change.Transaction = d.header
	return shape.Decode(entry.Bytes, change)
}

// lsn writes a position the way users see it.
func lsn(sequence uint64) string { return strconv.FormatUint(sequence, 10) }
