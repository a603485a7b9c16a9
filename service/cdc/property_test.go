package cdc_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

func TestEveryStreamIsCompleteAndInOrderUnlessItFellBehind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes := unit.Size(rapid.SampledFrom([]int{200, 2000, 1 << 20}).Draw(t, "log"))
		log := cdc.NewLog(cdc.LogSettings{Source: sourceID, Bytes: bytes})
		defer log.Close(errOver)
		m := &machine{log: log, writer: &writer{log: log}, bytes: bytes}
		t.Repeat(map[string]func(*rapid.T){
			"commit":    m.commit,
			"subscribe": m.subscribe,
			"read":      m.read,
			"wait":      m.wait,
			"close":     m.close,
			"":          m.bounded,
		})
		for _, r := range m.open {
			r.catchUp(t)
		}
		log.Close(errOver)
		for _, r := range m.open {
			c, err := r.stream.Poll()
			require.Nil(t, c, "a change too many")
			require.Error(t, err)
			r.stream.Close()
		}
		require.Zero(t, log.Admission().ReservedBytes)
	})
}

var errOver = errors.New("test is over")

// machine drives a log and compares its streams with a model.
type machine struct {
	log     *cdc.Log
	writer  *writer
	bytes   unit.Size
	largest unit.Size
	open    []*reading
}

// reading is a stream and what the model says about it.
type reading struct {
	stream api.Stream
	opts   api.StreamOptions
	want   []string
	got    int
	// behind is the size of all transactions since the first that it was to deliver.
	behind, first int64
}

func (m *machine) commit(t *rapid.T) {
	rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) row {
		return row{
			table: rapid.SampledFrom([]*sql.Table{users, orders}).Draw(t, "table"),
			op:    rapid.SampledFrom([]api.Op{api.OpInsert, api.OpUpdate, api.OpDelete}).Draw(t, "op"),
			value: rapid.Int64().Draw(t, "value"),
		}
	}), 1, 90).Draw(t, "rows")
	size := rapid.OneOf(rapid.Int64Range(1, 400), rapid.Just(int64(100_000))).Draw(t, "size")
	var tx *transaction
	if rapid.Bool().Draw(t, "tells whom it concerns") {
		tx = m.writer.commitBrief(size, rows...).transaction
	} else {
		tx = m.writer.commit(size, rows...)
	}
	m.largest = max(m.largest, unit.Size(tx.size))
	for _, r := range m.open {
		r.expect(tx)
	}
}

func (m *machine) subscribe(t *rapid.T) {
	opts := api.StreamOptions{
		Buffer:   rapid.SampledFrom([]int{1, 2, 3, 64, 100}).Draw(t, "buffer"),
		MaxBytes: unit.Size(rapid.Int64Range(1, int64(m.bytes)).Draw(t, "max_bytes")),
		Tables:   rapid.SampledFrom([][]string{nil, {"users"}, {"MAIN.ORDERS"}}).Draw(t, "tables"),
		Ops:      rapid.SampledFrom([][]api.Op{nil, {api.OpInsert}, {api.OpDelete}}).Draw(t, "ops"),
	}
	s, err := m.log.Subscribe(opts)
	require.NoError(t, err)
	m.open = append(m.open, &reading{stream: s, opts: opts})
}

// read polls some changes from a stream.
func (m *machine) read(t *rapid.T) {
	if len(m.open) == 0 {
		t.Skip("no stream")
	}
	r := m.open[rapid.IntRange(0, len(m.open)-1).Draw(t, "stream")]
	for range rapid.IntRange(1, 200).Draw(t, "changes") {
		c, err := r.stream.Poll()
		if err != nil {
			r.requireLaggard(t, err)
			return
		}
		if c == nil {
			return
		}
		r.receive(t, c)
	}
}

func (m *machine) close(t *rapid.T) {
	if len(m.open) == 0 {
		t.Skip("no stream")
	}
	i := rapid.IntRange(0, len(m.open)-1).Draw(t, "stream")
	m.open[i].stream.Close()
	m.open = append(m.open[:i], m.open[i+1:]...)
}

// wait reads a stream until it has delivered everything.
func (m *machine) wait(t *rapid.T) {
	if len(m.open) == 0 {
		t.Skip("no stream")
	}
	m.open[rapid.IntRange(0, len(m.open)-1).Draw(t, "stream")].catchUp(t)
}

// bounded checks the bound of the log: everything behind the oldest transaction.
func (m *machine) bounded(t *rapid.T) {
	_, size := m.log.Held()
	require.LessOrEqual(t, size, m.bytes+m.largest)
}

func (r *reading) catchUp(t *rapid.T) {
	for r.got < len(r.want) {
		c, err := r.stream.Next(t.Context())
		if err != nil {
			r.requireLaggard(t, err)
			return
		}
		r.receive(t, c)
	}
}

func (r *reading) receive(t *rapid.T, c *api.Change) {
	require.Less(t, r.got, len(r.want), "unexpected %v", c)
	require.Equal(t, r.want[r.got], lines([]*api.Change{c})[0])
	r.got++
}

func (r *reading) requireLaggard(t *rapid.T, err error) {
	require.ErrorContains(t, err, "stream fell behind: ")
	require.Equal(t, err, r.stream.Err())
	require.Greater(t, r.behind-r.first, int64(r.opts.MaxBytes), "it was never that far behind")
}

// expect notes what the stream has to deliver of tx.
func (r *reading) expect(tx *transaction) {
	if r.behind == 0 {
		r.first = tx.size
	}
	r.behind += tx.size
	var changes []*api.Change
	for i, row := range tx.rows {
		table := r.opts.Tables == nil || (r.opts.Tables[0] == "users") == (row.table == users)
		if table && (r.opts.Ops == nil || r.opts.Ops[0] == row.op) {
			image := []sql.Value{sql.IntegerValue(row.value)}
			changes = append(changes, &api.Change{Op: row.op, Table: row.table, Transaction: &tx.header, Index: i, After: image})
		}
	}
	if len(changes) > 0 {
		changes[len(changes)-1].Last = true
	}
	r.want = append(r.want, lines(changes)...)
}
