package sqlite

import (
	"sync/atomic"

	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// run is one run of a source: the sink that the writer hands its transactions to. It is the cdc.Source that the
// catalog knows while the source runs.
type run struct {
	*cdc.Log
	origin origin
	tables []string
	// sequence is that of the newest transaction, 0 if there is none yet.
	sequence atomic.Uint64
	// closed is closed when the database has closed.
	closed chan struct{}
}

var (
	_ sql.Sink   = (*run)(nil)
	_ cdc.Source = (*run)(nil)
)

func newRun(s *Source, book *cdc.Run) *run {
	return &run{
		Log: cdc.NewLog(cdc.LogSettings{
			Source:        s.id,
			Tables:        s.config.Tables,
			Bytes:         s.config.LogBytes,
			Subscriptions: s.config.Subscriptions,
			Counters:      book.Counters(),
		}),
		origin: origin{source: s.id, generation: book.Generation(), counters: book.Counters()},
		tables: s.config.Tables,
		closed: make(chan struct{}),
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

// LSN implements cdc.Source.
func (r *run) LSN() string {
	if sequence := r.sequence.Load(); sequence > 0 {
		return lsn(sequence)
	}
	return ""
}
