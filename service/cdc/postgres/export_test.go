package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

// Decoding feeds messages of pgoutput to a decoder that keeps up to limit bytes in memory and up to most of a
// transaction. It hands over what a stream reads of a transaction that has committed, or why its changes are lost.
func Decoding(limit, most int64, commit func(changes []*api.Change, lost error)) (decode func(message []byte) error, end func()) {
	d := newDecoder(most)
	d.limit = limit
	d.describe = func(_ context.Context, _ uint32, m *pglogrepl.RelationMessage) (details, error) {
		more := details{names: make([]string, len(m.Columns))}
		for _, c := range m.Columns {
			more.bases = append(more.bases, c.DataType)
		}
		return more, nil
	}
	d.commit = func(_ context.Context, tx *transaction, lost error) error {
		commit(read(tx), lost)
		return nil
	}
	return func(message []byte) error { return d.decode(context.Background(), message) }, d.close
}

// read returns what a stream reads of a transaction.
func read(tx *transaction) (changes []*api.Change) {
	id := registry.ID{Namespace: "app", Name: "cdc"}
	streams := stream.New(stream.Settings{
		Source: id, Limits: stream.Limits{LogBytes: api.DefaultLogBytes}, Engine: &run{origin: origin{source: id, generation: "g"}},
	})
	defer streams.Close(errors.New("test is over"))
	s, err := streams.Open(api.StreamOptions{})
	if err != nil {
		panic(err)
	}
	defer s.Close()
	streams.Append(tx.logged())
	for {
		c, err := s.Poll()
		if c == nil || err != nil {
			return changes
		}
		changes = append(changes, c)
	}
}

// LimitTransactions makes larger transactions a gap.
func (s *Engine) LimitTransactions(bytes int64) { s.most = bytes }

// ReleaseUsed releases the external state of a source that was ready, ReleaseUnused that of one that was not.
func (s *Engine) ReleaseUsed(ctx context.Context, successors ...*api.PostgresConfig) error {
	return s.release(ctx, true, successors)
}

// ReleaseUnused is the counterpart of ReleaseUsed.
func (s *Engine) ReleaseUnused(ctx context.Context, successors ...*api.PostgresConfig) error {
	return s.release(ctx, false, successors)
}

// Refused is what becomes of an error with the given code when a slot is to be read.
func Refused(code string) error {
	db := sql.OpenDB(unreachable{})
	defer func() { _ = db.Close() }()
	r := &run{source: &Engine{config: &api.PostgresConfig{SlotName: "s"}}, db: db}
	return r.refused(context.Background(), &pgconn.PgError{Code: code})
}

// unreachable is a server that is not there.
type unreachable struct{ driver.Connector }

// Connect implements driver.Connector.
func (unreachable) Connect(context.Context) (driver.Conn, error) { return nil, driver.ErrBadConn }
