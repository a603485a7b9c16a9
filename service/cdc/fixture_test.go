package cdc_test

import (
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

var (
	sourceID = registry.ID{Namespace: "app", Name: "cdc"}
	users    = &sql.Table{Schema: "main", Name: "users", Columns: []sql.Column{{Name: "a"}, {Name: "b"}}, HasRowID: true, RowID: "rowid"}
	orders   = &sql.Table{Schema: "main", Name: "Orders", Columns: []sql.Column{{Name: "a"}}, HasRowID: true, RowID: "rowid"}
)

// row is a change of a hand-made transaction.
type row struct {
	table *sql.Table
	op    api.Op
	value int64
}

// transaction is a hand-made transaction.
type transaction struct {
	header api.Transaction
	size   int64
	rows   []row
	// opened counts the readers, decoded the changes that they have decoded.
	opened, decoded atomic.Int64
	// gate, if there is one, holds every reader up before its first change until it is closed.
	gate chan struct{}
	// fault, if there is one, is what readers find after the last change.
	fault error
}

func (t *transaction) Size() int64 { return t.size }

func (t *transaction) Open(selection *cdc.Selection) cdc.Reader {
	t.opened.Add(1)
	return &reader{tx: t, selection: selection}
}

type reader struct {
	tx        *transaction
	selection *cdc.Selection
	at        int
}

func (r *reader) Next(c *api.Change) error {
	if r.tx.gate != nil {
		<-r.tx.gate
	}
	for ; r.at < len(r.tx.rows); r.at++ {
		row := r.tx.rows[r.at]
		if !r.selection.Accepts(row.table, row.op) {
			continue
		}
		c.Op, c.Table, c.Transaction, c.Index = row.op, row.table, &r.tx.header, r.at
		image := sql.IntegerValue(row.value)
		for range row.table.Columns {
			c.Before, c.After = append(c.Before, image), append(c.After, image)
		}
		switch row.op {
		case api.OpInsert:
			c.Before = nil
		case api.OpDelete:
			c.After = nil
		default:
		}
		r.at++
		r.tx.decoded.Add(1)
		return nil
	}
	if r.tx.fault != nil {
		return r.tx.fault
	}
	return io.EOF
}

func (r *reader) Close() { r.at = len(r.tx.rows) }

// writer appends hand-made transactions to a log.
type writer struct {
	log      *cdc.Log
	sequence uint64
}

func (w *writer) make(size int64, rows ...row) *transaction {
	w.sequence++
	return &transaction{
		header: api.Transaction{
			Source: sourceID, Generation: "g", Sequence: w.sequence, LSN: strconv.FormatUint(w.sequence, 10),
		},
		size: size,
		rows: rows,
	}
}

// commit appends a transaction of the given size.
func (w *writer) commit(size int64, rows ...row) *transaction {
	tx := w.make(size, rows...)
	w.log.Append(tx)
	return tx
}

// inserts returns n inserts into users with values from first on.
func inserts(first int64, n int) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = row{table: users, op: api.OpInsert, value: first + int64(i)}
	}
	return rows
}

// newLog returns a log of the given bound that admits many streams, and a writer to it.
func newLog(tb testing.TB, bytes unit.Size) (*cdc.Log, *writer) {
	tb.Helper()
	log := cdc.NewLog(cdc.LogSettings{
		Source:        sourceID,
		Bytes:         bytes,
		Subscriptions: api.SubscriptionsConfig{MaxSubscriptions: 1 << 20, MaxBytes: 1 << 50},
	})
	tb.Cleanup(func() { log.Close(errOver) })
	return log, &writer{log: log}
}

func subscribe(tb testing.TB, log *cdc.Log, opts api.StreamOptions) api.Stream {
	tb.Helper()
	s, err := log.Subscribe(opts)
	require.NoError(tb, err)
	tb.Cleanup(s.Close)
	return s
}

// take reads the next n changes.
func take(tb testing.TB, s api.Stream, n int) []*api.Change {
	tb.Helper()
	changes := make([]*api.Change, n)
	for i := range changes {
		c, err := s.Next(tb.Context())
		require.NoError(tb, err, "change %d of %d", i, n)
		changes[i] = c
	}
	return changes
}

// rest reads what is left until the stream's end and returns how it ended.
func rest(tb testing.TB, s api.Stream) (changes []*api.Change, end error) {
	tb.Helper()
	for {
		c, err := s.Next(tb.Context())
		if err != nil {
			return changes, err
		}
		changes = append(changes, c)
	}
}

// lines describes changes: sequence.index op value, and a ! on the last of its transaction.
func lines(changes []*api.Change) []string {
	all := make([]string, len(changes))
	for i, c := range changes {
		image := c.After
		if image == nil {
			image = c.Before
		}
		all[i] = fmt.Sprintf("%d.%d %s %s %d", c.Transaction.Sequence, c.Index, c.Op, c.Table.Name, image[0].Int64())
		if c.Last {
			all[i] += " !"
		}
	}
	return all
}
