package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// Decoding feeds messages of pgoutput to a decoder that keeps up to limit bytes in memory and up to most of a
// transaction. It hands over what has committed, or why its changes are lost.
func Decoding(limit, most int64, commit func(tx cdc.Transaction, lost error)) (decode func(message []byte) error, end func()) {
	d := newDecoder(&origin{source: registry.ID{Namespace: "app", Name: "cdc"}, generation: "g", counters: cdc.NewCounters()})
	d.limit, d.most = limit, most
	d.describe = func(_ context.Context, _ uint32, m *pglogrepl.RelationMessage) (details, error) {
		more := details{names: make([]string, len(m.Columns))}
		for _, c := range m.Columns {
			more.bases = append(more.bases, c.DataType)
		}
		return more, nil
	}
	d.commit = func(_ context.Context, tx *transaction, lost error) error {
		commit(tx, lost)
		return nil
	}
	return func(message []byte) error { return d.decode(context.Background(), message) }, d.close
}

// Refused is what becomes of an error with the given code when a slot is to be read.
func Refused(code string) error {
	db := sql.OpenDB(unreachable{})
	defer func() { _ = db.Close() }()
	r := &run{source: &Source{config: &api.PostgresConfig{SlotName: "s"}}, db: db}
	return r.refused(context.Background(), &pgconn.PgError{Code: code})
}

// unreachable is a server that is not there.
type unreachable struct{ driver.Connector }

// Connect implements driver.Connector.
func (unreachable) Connect(context.Context) (driver.Conn, error) { return nil, driver.ErrBadConn }

// Everything selects all changes.
func Everything() *cdc.Selection { return cdc.NewSelection(nil, api.StreamOptions{}) }
