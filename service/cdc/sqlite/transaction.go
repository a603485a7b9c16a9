package sqlite

import (
	"errors"
	"io"
	"strconv"
	"sync/atomic"
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
	counters   *cdc.Counters
}

// transaction is a committed transaction in the log. All that can wait is left to the first stream that reads it.
type transaction struct {
	rows     sql.Transaction
	origin   *origin
	sequence uint64
	header   atomic.Pointer[api.Transaction]
	// counted is set when the changes have been counted.
	counted atomic.Bool
}

var _ cdc.Glanced = (*transaction)(nil)

// overhead is the memory that a transaction holds besides its rows.
const overhead = int64(unsafe.Sizeof(transaction{}))

func (t *transaction) Size() int64 { return t.rows.Size() + overhead }

func (t *transaction) Open(selection *cdc.Selection) cdc.Reader {
	r := &reader{tx: t, header: t.describe(), selection: selection}
	r.rows = t.rows.Rows(r.accepts)
	return r
}

// Concerns implements cdc.Glanced.
func (t *transaction) Concerns(selection *cdc.Selection) bool {
	touches, _ := t.rows.Touches(func(table *sql.Table, op sql.Op) bool { return selection.Accepts(table, opOf(op)) })
	return touches
}

// Passed implements cdc.Glanced.
func (t *transaction) Passed() {
	_, passed := t.rows.Touches(nothing)
	t.count(passed)
}

func nothing(*sql.Table, sql.Op) bool { return false }

// describe returns what all changes of the transaction share, in all streams.
func (t *transaction) describe() *api.Transaction {
	if header := t.header.Load(); header != nil {
		return header
	}
	t.header.CompareAndSwap(nil, &api.Transaction{
		Source:      t.origin.source,
		Generation:  t.origin.generation,
		Sequence:    t.sequence,
		LSN:         lsn(t.sequence),
		CommittedAt: t.rows.CommittedAt(),
	})
	return t.header.Load()
}

// lsn writes a position the way users see it.
func lsn(sequence uint64) string { return strconv.FormatUint(sequence, 10) }

// reader decodes one transaction for one stream.
type reader struct {
	tx        *transaction
	header    *api.Transaction
	rows      sql.RowReader
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
		if errors.Is(err, io.EOF) {
			r.count()
		}
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

// count counts the changes of a transaction that was read through, unless another stream has done so. A reader passes
// all changes whatever it selects, so that counting costs next to nothing, and nothing at all on the writer.
func (r *reader) count() { r.tx.count(r.rows.Passed()) }

func (t *transaction) count(passed sql.Tally) {
	if !t.counted.CompareAndSwap(false, true) {
		return
	}
	for op := sql.Insert; op <= sql.Schema; op++ {
		t.origin.counters.Changes(opOf(op), passed[op])
	}
}

// pass reads a transaction through, without decoding it, only to count its changes.
func (t *transaction) pass() error {
	if t.counted.Load() {
		return nil
	}
	read := t.rows.Rows(nothing)
	defer read.Close()
	if err := read.Next(new(sql.RowChange)); !errors.Is(err, io.EOF) {
		return err
	}
	t.count(read.Passed())
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
