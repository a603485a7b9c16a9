package stream

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// Settings says what the streams of one run of a source are like.
type Settings struct {
	Source registry.ID
	// Generation is that of the source, as cursors have it.
	Generation string
	// Tables are those that the source captures; empty means all.
	Tables []string
	Limits
	// Counters are those of the source; nil means that they are not read.
	Counters *Counters
	// Logger is told of snapshots that take long; nil means that nothing is logged.
	Logger *slog.Logger
	// Engine knows what the records are.
	Engine Engine
	// Left is called with what a stream has left unread whose reader has ended; nil if that does not matter.
	Left func(opts api.StreamOptions, unread log.Unread)
}

// Limits bound the streams of a source and their log.
type Limits struct {
	// LogBytes is what the log keeps in memory at most, and how far a live stream may fall behind.
	LogBytes      unit.Size
	Subscriptions api.SubscriptionsConfig
}

// Engine is what an engine does for the streams of one run. Methods may be called from any goroutine.
type Engine interface {
	// NewDecoder returns a decoder for one stream.
	NewDecoder() Decoder
	// Void reports whether an entry of a record with that head does not count.
	Void(head, entry []byte) bool
	// Snapshot begins a snapshot of what selection accepts. What was appended up to position is in it, and what is
	// appended behind position is not.
	Snapshot(ctx context.Context, selection *Selection) (s Snapshot, position api.Position, err error)
	// Changed is called when a stream was opened or has ended. It must return at once.
	Changed()
}

// Decoder decodes the records of one engine for one stream. It is used by one goroutine at a time.
type Decoder interface {
	// Begin is called with each record before its entries.
	Begin(record *log.Record)
	// Decode sets Transaction of change and what the entry says about the row. Values are appended to Before and After,
	// which are empty; a side that the operation does not have is set to nil.
	Decode(entry *log.Entry, change *api.Change) error
}

// Streams are the streams of one run of a source, and the log that they read.
type Streams struct {
	*log.Log
	settings  Settings
	admission *admission
	roster    roster
	// closing is done when Close was called. Streams with a snapshot join scans under mu while it is not.
	closing context.Context //nolint:containedctx // it is the life of the streams, and ends what they wait for
	cancel  context.CancelFunc
	mu      sync.Mutex
	scans   sync.WaitGroup
}

// New returns the streams of a run, and their log, which must be closed.
func New(settings Settings) *Streams {
	if settings.Counters == nil {
		settings.Counters = NewCounters()
	}
	if settings.Logger == nil {
		settings.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Streams{
		Log:       log.New(settings.Source, settings.LogBytes),
		settings:  settings,
		admission: newAdmission(settings.Source, settings.Subscriptions),
	}
	s.closing, s.cancel = context.WithCancel(context.Background())
	settings.Counters.follow(s.Log)
	return s
}

// Close ends all streams with cause when they have read what was appended before, those that read a snapshot at once.
// It waits for the goroutines of the log and of the snapshots.
func (s *Streams) Close(cause error) {
	s.Log.Close(cause)
	s.end()
}

// Drop ends all streams with cause at once: what they have not read comes again in the next run.
func (s *Streams) Drop(cause error) {
	s.Log.Drop(cause)
	s.end()
}

func (s *Streams) end() {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.scans.Wait()
	s.settings.Counters.follow(nil)
}

// Lose ends every stream with a GapError after it has read what was appended before: the transaction of that sequence
// could not be captured. What err says of the gap, if it is a GapError, stays. It reports whether there was a stream.
func (s *Streams) Lose(sequence uint64, err error) (told bool) {
	gap := api.GapError{Cause: api.GapCaptureLost, Err: err}
	if known, ok := errors.AsType[*api.GapError](err); ok {
		gap = *known
	}
	gap.Source, gap.Generation = s.settings.Source, cmp.Or(gap.Generation, s.settings.Generation)
	if gap.Before == (api.Position{}) {
		gap.After, gap.Before = api.Behind(sequence-1), api.Behind(sequence)
	}
	return s.Log.Lose(sequence, &gap)
}

// Admission tells how much of the limits is in use.
func (s *Streams) Admission() api.Admission { return s.admission.snapshot() }

// Measure sets the gauges of stats that the streams know.
func (s *Streams) Measure(stats *api.Stats) {
	stats.LogBytes, stats.Streams = s.Held(), s.Admission().Active
	_, stats.LagBytes = s.Slowest()
}

// MaxSnapshotLag is how far a stream may fall behind, in bytes, that began with a snapshot and does not say, until it
// has caught up. It is more than the log keeps in memory.
const MaxSnapshotLag = unit.GiB

// DefaultSnapshotReserve is what such a stream counts for in subscriptions.max_bytes.
const DefaultSnapshotReserve = 3 * api.DefaultMaxBytes

// Open opens a stream, which delivers what is appended from now on, or where opts.Start says it resumes. Its errors are those of
// api.Streamer.
func (s *Streams) Open(opts api.StreamOptions) (*Stream, error) {
	opened, err := s.admit(opts, false)
	if err != nil {
		return nil, err
	}
	limit := opened.opts.MaxBytes
	if opened.after != nil { // it is behind until it has caught up
		limit, opened.live = cmp.Or(opts.MaxBytes, MaxSnapshotLag), false
	}
	if err := opened.open(opened.after, int64(limit)); err != nil {
		s.admission.leave(&opened.place)
		return nil, err
	}
	s.roster.add(opened)
	s.settings.Engine.Changed()
	return opened, nil
}

// HasLeft reports whether Open has failed because the position has left the log.
func HasLeft(err error) bool { return errors.Is(err, log.ErrLeft) }

// OpenAgain is Open for a stream that begins behind a position that has left the log, when everything behind it will
// be appended again and nothing is appended meanwhile.
func (s *Streams) OpenAgain(opts api.StreamOptions) (*Stream, error) {
	opened, err := s.admit(opts, false)
	if err != nil {
		return nil, err
	}
	if err := opened.open(nil, int64(opened.opts.MaxBytes)); err != nil {
		s.admission.leave(&opened.place)
		return nil, err
	}
	opened.reader.SkipTo(*opened.after)
	s.roster.add(opened)
	s.settings.Engine.Changed()
	return opened, nil
}

// OpenSnapshot opens a stream that begins with a snapshot. delivered is called once its reader has taken the whole
// snapshot and has come back or closed the stream; nil if that does not matter. With ManualAck it is called only if
// there was nothing to acknowledge. It must return at once. The errors are those of Open, and of Engine.Snapshot.
func (s *Streams) OpenSnapshot(ctx context.Context, opts api.StreamOptions, delivered func()) (*Stream, error) {
	limit := cmp.Or(opts.MaxBytes, MaxSnapshotLag)
	if opts.MaxBytes == 0 {
		opts.MaxBytes = min(DefaultSnapshotReserve, s.settings.LogBytes)
	}
	opened, err := s.admit(opts, true)
	if err != nil {
		return nil, err
	}
	opened.delivered = delivered
	if err := opened.open(nil, int64(limit)); err != nil {
		s.admission.leave(&opened.place)
		return nil, err
	}
	if err := opened.begin(ctx); err != nil {
		opened.Close()
		if cause := s.Closed(); cause != nil {
			err = cause
		}
		return nil, err
	}
	s.roster.add(opened)
	s.settings.Engine.Changed()
	return opened, nil
}

// admit returns a stream that has yet to be opened.
func (s *Streams) admit(opts api.StreamOptions, snapshot bool) (*Stream, error) {
	opts, err := Resolve(s.settings.Source, opts, s.settings.LogBytes, s.settings.Tables)
	if err != nil {
		return nil, err
	}
	admitted := &Stream{
		streams: s, opts: opts, selection: NewSelection(s.settings.Tables, opts), decoder: s.settings.Engine.NewDecoder(), live: !snapshot,
		number: s.settings.Counters.opened.Add(1), since: time.Now(),
	}
	if after, resumes := opts.Start.After(); resumes {
		admitted.after = &after
	}
	admitted.place, err = s.admission.admit(opts.MaxBytes, snapshot)
	return admitted, err
}

// open opens the reader of a stream.
func (s *Stream) open(after *api.Position, limit int64) (err error) {
	s.reader, err = s.streams.Log.Open(log.Options{
		After: after, Lasting: after != nil || s.opts.ManualAck, Limit: limit, Interest: s.selection.interest(), OnEnd: s.ended, Void: s.streams.settings.Engine.Void,
		Accept: func(shape log.Shape) log.Codes { return s.selection.codes(shape.Table()) },
	})
	return err
}

// Resolve completes the options of a stream on a source, or says what the source does not accept.
func Resolve(id registry.ID, opts api.StreamOptions, logBytes unit.Size, tables []string) (api.StreamOptions, error) {
	opts, err := opts.Resolved(logBytes)
	if err == nil {
		err = checkTables(tables, opts.Tables)
	}
	if err != nil {
		return opts, errs.New(errs.Invalid, "cdc: source %q: %w", id, err)
	}
	return opts, nil
}
