package sqlite

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// A subscription waits this long for a transaction that is open on the writer: the script that subscribes may be the
// one that has opened it.
const pinTimeout = 30 * time.Second

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
	s := &snapshot{origin: &r.origin}
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
	s.source = opened
	return s, nil
}

// snapshot reads the tables that one stream has selected, one after the other. It implements cdc.Snapshot.
type snapshot struct {
	origin *origin
	source sql.Snapshot
	header api.Transaction
	// tables are those that have yet to be read; the first is being read if rows is not nil.
	tables []*sql.Table
	rows   sql.SnapshotRows
	index  int
}

// Next implements cdc.Snapshot.
func (s *snapshot) Next(_ context.Context, change *api.Change) error {
	for {
		if s.rows == nil {
			if len(s.tables) == 0 {
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
			s.index++
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

// Close implements cdc.Snapshot.
func (s *snapshot) Close() {
	if s.rows != nil {
		_ = s.rows.Close() // it was only read
	}
	_ = s.source.Close()
}
