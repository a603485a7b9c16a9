package sqlite

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// A subscription waits this long for a transaction that is open on the writer: the script that subscribes may be the
// one that has opened it.
const pinTimeout = 30 * time.Second

// Snapshot implements stream.Engine. While the writer is held the sequence stands still, and it is that of what the snapshot shows.
func (s *session) Snapshot(ctx context.Context, selection *stream.Selection) (stream.Snapshot, api.Position, error) {
	snap := &snapshot{}
	pinned, cancel := context.WithTimeout(ctx, pinTimeout)
	defer cancel()
	opened, err := s.db.Snapshot(pinned, func() {
		sequence := s.sequence.Load()
		snap.header = api.Transaction{
			Source: s.origin.source, Engine: api.EngineSQLite, Database: s.origin.database, Generation: s.origin.generation,
			Sequence: sequence, LSN: lsn(sequence), CommittedAt: time.Now(),
		}
	})
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = errs.New(errs.Unavailable, "the database is busy with a transaction that has been open for %s: end it", pinTimeout)
		}
		return nil, api.Position{}, err
	}
	tables, err := opened.Tables()
	if err != nil {
		return nil, api.Position{}, errors.Join(err, opened.Close())
	}
	for _, table := range tables {
		if selection.Accepts(table.Table(), api.OpSnapshot) {
			snap.tables = append(snap.tables, table)
		}
	}
	snap.source, snap.all = opened, snap.tables
	return snap, api.Behind(snap.header.Sequence), nil
}

// snapshot reads the tables that one stream has selected, one after the other. It implements stream.Snapshot.
type snapshot struct {
	source *sqlite.Snapshot
	header api.Transaction
	// tables are those of all that have yet to be read; the first is being read if rows is not nil.
	all, tables []*sqlite.Shape
	rows        *sqlite.SnapshotRows
	index       int
}

// Rows implements stream.Snapshot.
func (s *snapshot) Rows(ctx context.Context) (all int64) {
	for _, table := range s.all {
		n, err := s.source.Count(ctx, table)
		if err != nil {
			return 0
		}
		all += n
	}
	return all
}

// Next implements stream.Snapshot.
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
		err := s.rows.Next(change) //nolint:contextcheck // a default is asked of a database in memory, which does not wait
		if err == nil {
			change.Op, change.Table, change.Transaction, change.Index = api.OpSnapshot, s.tables[0].Table(), &s.header, s.index
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

// Close implements stream.Snapshot.
func (s *snapshot) Close() {
	if s.rows != nil {
		_ = s.rows.Close() // it was only read
	}
	_ = s.source.Close()
}
