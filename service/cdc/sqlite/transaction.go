package sqlite

import (
	"strconv"
	"sync"
	"unsafe"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// origin is what all transactions of one run of a source have in common.
type origin struct {
	source     registry.ID
	generation string
}

// transaction is a committed transaction in the log. All that can wait is left to the first stream that reads it.
type transaction struct {
	rows     sql.Transaction
	origin   *origin
	sequence uint64
	once     sync.Once
	header   api.Transaction
}

// overhead is the memory that a transaction holds besides its rows.
const overhead = int64(unsafe.Sizeof(transaction{}))

func (t *transaction) Size() int64 { return t.rows.Size() + overhead }

func (t *transaction) Open(selection *cdc.Selection) cdc.Reader {
	t.once.Do(func() {
		t.header = api.Transaction{
			Source:      t.origin.source,
			Generation:  t.origin.generation,
			Sequence:    t.sequence,
			LSN:         lsn(t.sequence),
			CommittedAt: t.rows.CommittedAt(),
		}
	})
	r := &reader{header: &t.header, selection: selection}
	r.rows = t.rows.Rows(r.accepts)
	return r
}

// lsn writes a position the way users see it.
func lsn(sequence uint64) string { return strconv.FormatUint(sequence, 10) }

// reader decodes one transaction for one stream.
type reader struct {
	rows      sql.RowReader
	header    *api.Transaction
	selection *cdc.Selection
	row       sql.RowChange
}

func (r *reader) accepts(table *sql.Table, op sql.Op) bool {
	return r.selection.Accepts(table, opOf(op))
}

// Next implements cdc.Reader.
func (r *reader) Next(change *api.Change) error {
	row := &r.row
	row.Before, row.After = change.Before, change.After
	if err := r.rows.Next(row); err != nil {
		return err
	}
	change.Op, change.Table, change.Transaction, change.Index = opOf(row.Op), row.Table, r.header, row.Index
	change.OldRowID, change.NewRowID, change.Reshape = row.OldRowID, row.NewRowID, row.Reshape
	change.Before, change.After = nil, nil
	if len(row.Before) > 0 {
		change.Before = row.Before
	}
	if len(row.After) > 0 {
		change.After = row.After
	}
	return nil
}

// Close implements cdc.Reader.
func (r *reader) Close() { r.rows.Close() }

func opOf(op sql.Op) api.Op {
	switch op {
	case sql.Insert:
		return api.OpInsert
	case sql.Update:
		return api.OpUpdate
	case sql.Delete:
		return api.OpDelete
	default:
		return api.Op(op.String()) // the others have the same names
	}
}
