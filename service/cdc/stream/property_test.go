package stream_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/internal/tempfile"
	"github.com/wippy-cdc/runtime/service/cdc/log"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

func TestEveryStreamIsCompleteAndInOrderUnlessItFellBehind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytes := unit.Size(rapid.SampledFrom([]int{3000, 20_000, 1 << 20}).Draw(t, "log"))
		streams := stream.New(stream.Settings{
			Source: sourceID, Engine: new(engine),
			Limits: stream.Limits{LogBytes: bytes, Subscriptions: api.SubscriptionsConfig{MaxBytes: 1 << 50}},
		})
		defer streams.Close(errOver)
		m := &machine{streams: streams, writer: &writer{streams: streams}, bytes: bytes}
		t.Repeat(map[string]func(*rapid.T){
			"commit":  m.commit,
			"commit2": m.commit,
			"open":    m.openOne,
			"resume":  m.resume,
			"read":    m.read,
			"wait":    m.wait,
			"close":   m.close,
		})
		for _, r := range m.open {
			r.catchUp(t)
		}
		streams.Close(errOver)
		for _, r := range m.open {
			c, err := r.stream.Poll()
			require.Nil(t, c, "a change too many")
			require.Error(t, err)
			r.stream.Close()
		}
		require.Zero(t, streams.Admission().ReservedBytes)
		require.Zero(t, streams.Admission().Active)
		require.False(t, streams.Watched())
		require.Zero(t, streams.Held())
	})
}

// machine drives a log and compares its streams with a model.
type machine struct {
	streams *stream.Streams
	writer  *writer
	bytes   unit.Size
	open    []*reading
}

// reading is a stream and what the model says about it.
type reading struct {
	stream api.Stream
	opts   api.StreamOptions
	all    []*api.Change // everything that was committed since it began, whatever it selects
	want   []string
	got    int
	// behind is the size of all transactions since the first that it was to deliver.
	behind, first int64
}

func (m *machine) commit(t *rapid.T) {
	rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) row {
		return row{
			table: rapid.SampledFrom([]*shape{users, orders}).Draw(t, "table"),
			code:  rapid.SampledFrom([]log.Code{log.Insert, log.Update, log.Delete}).Draw(t, "op"),
			value: rapid.Int64().Draw(t, "value"),
		}
	}), 1, 90).Draw(t, "rows")
	size := rapid.OneOf(rapid.Int64Range(1, 400), rapid.Just(int64(100_000))).Draw(t, "size")
	tx := m.writer.make(size, rows...)
	if rapid.IntRange(0, 9).Draw(t, "summary says too much") == 0 {
		for i := range tx.Touched {
			tx.Touched[i].Codes = ^log.Codes(0)
		}
	}
	switch rapid.IntRange(0, 5).Draw(t, "form") {
	case 0: // void entries count for nothing
		tx.Voids = true
		tx.Entries = append(entries(2, rows[:1]...), tx.Entries...)
	case 1: // the first rows have spilled
		half := entries(0, rows[:len(rows)/2]...)
		tx.Entries = tx.Entries[len(half):]
		tx.Spilled = spilled(t, half)
	}
	m.streams.Append(tx)
	for _, r := range m.open {
		r.expect(tx.Sequence, size, rows)
	}
}

func spilled(t *rapid.T, b []byte) *tempfile.Part {
	file, err := tempfile.Create()
	require.NoError(t, err)
	_, err = file.Write(append([]byte("something else"), b...))
	require.NoError(t, err)
	return tempfile.NewPart(file, int64(len("something else")), int64(len(b)))
}

func (m *machine) options(t *rapid.T) api.StreamOptions {
	return api.StreamOptions{
		MaxBytes: unit.Size(rapid.Int64Range(1, int64(m.bytes)).Draw(t, "max_bytes")),
		Tables:   rapid.SampledFrom([][]string{nil, {"users"}, {"MAIN.ORDERS"}, {"users", "orders"}}).Draw(t, "tables"),
		Ops:      rapid.SampledFrom([][]api.Op{nil, {api.OpInsert}, {api.OpDelete}}).Draw(t, "ops"),
	}
}

func (m *machine) openOne(t *rapid.T) {
	opts := m.options(t)
	s, err := m.streams.Open(opts)
	require.NoError(t, err)
	m.open = append(m.open, &reading{stream: s, opts: opts})
}

// resume opens a stream behind a position that another one has just delivered: the log holds all that comes after it.
func (m *machine) resume(t *rapid.T) {
	var from *reading
	for _, r := range m.open {
		if r.got > 0 && r.got < len(r.want) && r.stream.Err() == nil {
			from = r
		}
	}
	if from == nil {
		t.Skip("no stream is in the middle")
	}
	var after api.Position
	_, err := fmt.Sscanf(from.want[from.got-1], "%d.%d", &after.Sequence, &after.Index)
	require.NoError(t, err)
	opts := m.options(t)
	opts.After, opts.MaxBytes = &after, m.bytes
	s, err := m.streams.Open(opts)
	if err != nil { // from is ended at the next patrol, or was
		require.ErrorContains(t, err, "has left the log")
		return
	}
	r := &reading{stream: s, opts: opts, all: slices.Clone(from.all), first: 1 << 40} // how far it is behind is not modelled
	r.behind = 1 << 41
	for _, c := range from.all {
		if c.Position().Compare(after) > 0 && r.selects(c) {
			r.want = append(r.want, lines([]*api.Change{c})[0])
		}
	}
	r.want = marked(r.want)
	m.open = append(m.open, r)
}

// marked puts a ! behind the last line of each transaction.
func marked(plain []string) []string {
	var all []string
	for i, line := range plain {
		var here, next uint64
		_, _ = fmt.Sscanf(line, "%d.", &here)
		if i+1 < len(plain) {
			_, _ = fmt.Sscanf(plain[i+1], "%d.", &next)
		}
		if here != next {
			line += " !"
		}
		all = append(all, line)
	}
	return all
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
	r.want = r.want[:r.got]
}

func (r *reading) selects(c *api.Change) bool {
	table := r.opts.Tables == nil || len(r.opts.Tables) == 2 || (r.opts.Tables[0] == "users") == (c.Table == users.Table())
	return table && (r.opts.Ops == nil || r.opts.Ops[0] == c.Op)
}

// overhead is more than a record takes besides its entries and its head.
const overhead = 200

// expect notes what the stream has to deliver of a transaction.
func (r *reading) expect(sequence uint64, size int64, rows []row) {
	size = max(size, int64(len(rows)*20)) + overhead
	if r.behind == 0 {
		r.first = size - overhead
	}
	r.behind += size
	header := &api.Transaction{Sequence: sequence}
	var changes []*api.Change
	for i, row := range rows {
		c := &api.Change{Op: row.code.Op(), Table: row.table.Table(), Transaction: header, Index: i}
		if c.After = []sql.Value{sql.IntegerValue(row.value)}; row.code == log.Delete {
			c.Before, c.After = c.After, nil
		}
		r.all = append(r.all, c)
		if r.selects(c) {
			changes = append(changes, c)
		}
	}
	r.want = append(r.want, marked(lines(changes))...)
}
