package sqlite

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// A subscription waits this long for a transaction that is open on the writer: the script that subscribes may be the
// one that has opened it.
const pinTimeout = 30 * time.Second

const (
	// A snapshot reports how far it is when it has taken so long, and again each time.
	reportInterval = 5 * time.Second
	// The clock is read once for so many rows.
	rowsPerLook = 256
)

// Subscribe implements cdc.Source.
func (r *run) Subscribe(ctx context.Context, opts api.StreamOptions) (api.Stream, error) {
	prelude := cdc.Prelude{Begin: r.begin, Backlog: func(s *cdc.Selection) cdc.Backlog { return newBacklog(&r.origin, s) }}
	switch {
	case opts.Snapshot == api.SnapshotAlways:
		return r.SubscribeSnapshot(ctx, opts, prelude)
	case opts.Snapshot == api.SnapshotDefault && r.bootstraps && !r.bootstrapped.Load():
		prelude.Delivered = r.bootstrap
		return r.SubscribeSnapshot(ctx, opts, prelude)
	default:
		return r.Log.Subscribe(opts)
	}
}

// bootstrap notes that a bootstrap was delivered in full.
func (r *run) bootstrap() {
	r.bootstrapped.Store(true)
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// begin begins a snapshot. While the writer is held the sequence stands still, and it is that of what the snapshot shows.
func (r *run) begin(ctx context.Context, selection *cdc.Selection, join func() error) (cdc.Snapshot, error) {
	s := &snapshot{log: r.logger, origin: &r.origin}
	pinned, cancel := context.WithTimeout(ctx, pinTimeout)
	defer cancel()
	opened, err := r.db.Snapshot(pinned, func() error {
		sequence := r.sequence.Load()
		s.header = api.Transaction{
			Source: r.origin.source, Generation: r.origin.generation, Sequence: sequence, LSN: lsn(sequence), CommittedAt: time.Now(),
		}
		return join()
	})
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = errs.New(errs.Unavailable, "the database is busy with a transaction that has been open for %s: end it", pinTimeout)
		}
		return nil, err
	}
	tables, err := opened.Tables()
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	for _, table := range tables {
		if selection.Accepts(table, api.OpSnapshot) {
			s.tables = append(s.tables, table)
		}
	}
	s.source, s.reportAt = opened, s.header.CommittedAt.Add(reportInterval)
	return s, nil
}

// snapshot reads the tables that one stream has selected, one after the other. It implements cdc.Snapshot.
type snapshot struct {
	log    *slog.Logger
	origin *origin
	source sql.Snapshot
	header api.Transaction
	// tables are those that have yet to be read; the first is being read if rows is not nil.
	tables   []*sql.Table
	rows     sql.SnapshotRows
	index    int
	reportAt time.Time
}

// Next implements cdc.Snapshot.
func (s *snapshot) Next(_ context.Context, change *api.Change) error {
	for {
		if s.rows == nil {
			if len(s.tables) == 0 {
				s.finish()
				return io.EOF
			}
			rows, err := s.source.Rows(s.tables[0])
			if err != nil {
				return err
			}
			s.rows = rows
		}
		values, rowid, err := s.rows.Next(change.After)
		if err == nil {
			change.Op, change.Table, change.Transaction, change.Index = api.OpSnapshot, s.tables[0], &s.header, s.index
			change.Before, change.After, change.NewRowID = nil, values, rowid
			if s.index++; s.index%rowsPerLook == 0 {
				s.report()
			}
			return nil
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		err = s.rows.Close()
		s.rows, s.tables = nil, s.tables[1:]
		if err != nil {
			return err
		}
	}
}

// report tells how far a snapshot is that takes long. It is called once for so many rows.
func (s *snapshot) report() {
	if now := time.Now(); now.After(s.reportAt) {
		s.reportAt = now.Add(reportInterval)
		s.summary().Info("snapshot in progress", "table", s.tables[0].Name)
	}
}

// finish tells that a snapshot which has taken long is complete.
func (s *snapshot) finish() {
	if time.Since(s.header.CommittedAt) >= reportInterval {
		s.summary().Info("snapshot complete")
	}
}

func (s *snapshot) summary() *slog.Logger {
	elapsed := time.Since(s.header.CommittedAt)
	return s.log.With("rows", s.index, "rows_per_second", int(float64(s.index)/elapsed.Seconds()), "lsn", s.header.LSN)
}

// Close implements cdc.Snapshot.
func (s *snapshot) Close() {
	if s.rows != nil {
		_ = s.rows.Close() // it was only read
	}
	_ = s.source.Close()
}
