package cdc

import (
	"errors"
	"io"
	"log/slog"
	"runtime"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

const (
	// A snapshot reports how far it is when it has taken so long, and again each time.
	reportInterval = 5 * time.Second
	// The clock is read once for so many rows.
	rowsPerLook = 256
	// Others get their turn after so many: a writer that comes back from SQLite would wait for a processor.
	rowsPerTurn = 32
)

// scan is a snapshot that is being read, until the stream ends. What takes long is logged.
type scan struct {
	Snapshot
	next func(change *api.Change) error
	// drain is nil if what is committed meanwhile stays in the log.
	drain *drain

	logger          *slog.Logger
	began, reportAt time.Time
	rows            int
	lsn             string
}

func newScan(snapshot Snapshot, next func(change *api.Change) error, logger *slog.Logger) *scan {
	now := time.Now()
	return &scan{Snapshot: snapshot, next: next, logger: logger, began: now, reportAt: now.Add(reportInterval)}
}

// Next has the form that the pump reads transactions in, too.
func (s *scan) Next(change *api.Change) error {
	err := s.next(change)
	switch {
	case err == nil:
		s.count(change)
	case errors.Is(err, io.EOF) && time.Since(s.began) >= reportInterval:
		s.summary().Info("snapshot complete")
	}
	return err
}

func (s *scan) count(change *api.Change) {
	if s.rows++; s.rows == 1 {
		s.lsn = change.Transaction.LSN
	}
	if s.rows%rowsPerTurn == 0 {
		runtime.Gosched()
	}
	if s.rows%rowsPerLook == 0 {
		s.report(change)
	}
}

// report tells how far the snapshot is, if it is time.
func (s *scan) report(change *api.Change) {
	now := time.Now()
	if now.Before(s.reportAt) {
		return
	}
	s.reportAt = now.Add(reportInterval)
	s.summary().Info("snapshot in progress", "table", change.Table.Name)
}

func (s *scan) summary() *slog.Logger {
	return s.logger.With("rows", s.rows, "rows_per_second", int(float64(s.rows)/time.Since(s.began).Seconds()), "lsn", s.lsn)
}
