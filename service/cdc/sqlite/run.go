package sqlite

import (
	"log/slog"
	"sync/atomic"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// run is one run of a source: the sink that the writer hands its transactions to. It is the cdc.Source that the
// catalog knows while the source runs.
type run struct {
	*cdc.Log
	db     sql.Capturer
	logger *slog.Logger
	origin origin
	tables []string
	// sequence is that of the newest transaction, of earlier runs too, 0 if there is none yet.
	sequence atomic.Uint64
	// closed is closed when the database has closed.
	closed chan struct{}

	// bootstraps is whether streams begin with a snapshot by default, until one was delivered: bootstrapped. changed
	// then receives a value.
	bootstraps   bool
	bootstrapped atomic.Bool
	changed      chan struct{}
	// unsaved is why the checkpoint could not be written the last time.
	unsaved atomic.Pointer[error]
}

var (
	_ sql.Sink   = (*run)(nil)
	_ cdc.Source = (*run)(nil)
)

func newRun(s *Source, book *cdc.Run, db sql.Capturer) *run {
	return &run{
		Log: cdc.NewLog(cdc.LogSettings{
			Source:        s.id,
			Tables:        s.config.Tables,
			Bytes:         s.config.LogBytes,
			Subscriptions: s.config.Subscriptions,
			Counters:      book.Counters(),
			Logger:        s.logger(),
		}),
		db:         db,
		logger:     s.logger(),
		origin:     origin{source: s.id, generation: book.Generation(), counters: book.Counters()},
		tables:     s.config.Tables,
		closed:     make(chan struct{}),
		bootstraps: s.config.Snapshot,
		changed:    make(chan struct{}, 1),
	}
}

// Tables implements sql.Sink.
func (r *run) Tables() []string {
	if len(r.tables) == 0 {
		return nil
	}
	return r.tables
}

// Committed implements sql.Sink.
func (r *run) Committed(tx sql.Transaction) {
	sequence := r.sequence.Add(1)
	if r.Watched() {
		r.origin.counters.Spilled(tx.Spilled())
		r.Append(&transaction{rows: tx, origin: &r.origin, sequence: sequence})
	}
}

// Lost implements sql.Sink.
func (r *run) Lost(err error) { r.Lose(err) }

// Closed implements sql.Sink.
func (r *run) Closed() { close(r.closed) }

// position returns what a checkpoint would remember now.
func (r *run) position() position {
	return position{sequence: r.sequence.Load(), bootstrapped: r.bootstrapped.Load()}
}

// goOnFrom sets the position that an earlier run has left.
func (r *run) goOnFrom(p position) {
	r.sequence.Store(p.sequence)
	r.bootstrapped.Store(p.bootstrapped)
}

// lsn returns the position of the newest transaction, "" if there is none yet.
func (r *run) lsn() string {
	if sequence := r.sequence.Load(); sequence > 0 {
		return lsn(sequence)
	}
	return ""
}

// Describe implements cdc.Source.
func (r *run) Describe(info *api.SourceInfo) {
	r.Log.Describe(info)
	info.LSN = r.lsn()
	if err := r.unsaved.Load(); err != nil {
		info.CheckpointErr = *err
	}
}

// Measure implements cdc.Source.
func (r *run) Measure(stats *api.Stats) {
	r.Log.Measure(stats)
	if size, ok := r.db.WALBytes(); ok {
		stats.WALBytes = &size
	}
}
