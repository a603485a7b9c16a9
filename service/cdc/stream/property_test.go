package stream_test

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/internal/tempfile"
	"github.com/wippy-cdc/runtime/service/cdc/log"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

func TestEveryStreamIsCompleteAndInOrderUnlessItFellBehind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(unit.Size(rapid.SampledFrom([]int{3000, 20_000, 1 << 20}).Draw(t, "log")))
		defer m.streams.Close(errOver)
		t.Repeat(map[string]func(*rapid.T){
			"commit":   m.commit,
			"commit2":  m.commit,
			"lose":     m.lose,
			"open":     m.openOne,
			"snapshot": m.openSnapshot,
			"resume":   m.resume,
			"read":     m.read,
			"wait":     m.wait,
			"ack":      m.ack,
			"close":    m.close,
			"":         m.check,
		})
		m.finish(t)
	})
}

// machine drives a log and compares its streams with a model.
type machine struct {
	streams *stream.Streams
	engine  *engine
	writer  *writer
	bytes   unit.Size
	open    []*reading
	// all is every change that was committed, rows what the tables hold, gaps the sequences of what was lost.
	all  []*api.Change
	rows map[row]bool
	gaps []uint64
	// total is the size of all transactions or more, ends what it was behind each.
	total int64
	ends  map[uint64]int64
}

func newMachine(bytes unit.Size) *machine {
	e := new(engine)
	streams := stream.New(settings(bytes, e))
	return &machine{
		streams: streams, engine: e, writer: &writer{streams: streams}, bytes: bytes, rows: make(map[row]bool), ends: make(map[uint64]int64),
	}
}

var errLost = errors.New("something was lost")

func (m *machine) commit(t *rapid.T) {
	tables := []*shape{users, orders, rapid.SampledFrom([]*shape{cats, dogs}).Draw(t, "which")}
	rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) row {
		return row{
			table: rapid.SampledFrom(tables).Draw(t, "table"),
			code:  rapid.SampledFrom([]log.Code{log.Insert, log.Update, log.Delete}).Draw(t, "op"),
			value: rapid.Int64Range(0, 30).Draw(t, "value"),
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
	m.total += max(size, int64(len(rows)*20)) + overhead
	m.ends[tx.Sequence] = m.total
	for _, r := range m.open {
		r.furthest = max(r.furthest, r.behind())
	}
	m.expect(tx.Sequence, rows)
}

// overhead is more than a record takes besides its entries and its head.
const overhead = 200

func spilled(t *rapid.T, b []byte) *tempfile.Part {
	file, err := tempfile.Create()
	require.NoError(t, err)
	_, err = file.Write(append([]byte("something else"), b...))
	require.NoError(t, err)
	return tempfile.NewPart(file, int64(len("something else")), int64(len(b)))
}

// expect notes what the streams have to deliver of a transaction.
func (m *machine) expect(sequence uint64, rows []row) {
	changes := make([]*api.Change, len(rows))
	for i, r := range rows {
		changes[i] = expected(sequence, i, r, r.code.Op())
		m.rows[row{table: r.table, value: r.value}] = r.code != log.Delete
	}
	m.all = append(m.all, changes...)
	for _, r := range m.open {
		r.expect(changes)
	}
}

// lose tells the log of a transaction that could not be captured.
func (m *machine) lose(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "really") > 0 {
		t.Skip("seldom")
	}
	m.writer.sequence++
	m.streams.Lose(m.writer.sequence, errLost)
	m.gaps = append(m.gaps, m.writer.sequence)
	for _, r := range m.open {
		r.lost = true
	}
}

func (m *machine) options(t *rapid.T) api.StreamOptions {
	return api.StreamOptions{
		MaxBytes:  unit.Size(rapid.Int64Range(1, int64(m.bytes)).Draw(t, "max_bytes")),
		Buffer:    rapid.SampledFrom([]int{1, 2, 64}).Draw(t, "buffer"),
		Tables:    rapid.SampledFrom([][]string{nil, {"users"}, {"MAIN.ORDERS"}, {"users", "orders"}, {"cats"}, {"dogs", "users"}}).Draw(t, "tables"),
		Ops:       rapid.SampledFrom([][]api.Op{nil, {api.OpInsert}, {api.OpDelete}}).Draw(t, "ops"),
		ManualAck: rapid.Bool().Draw(t, "manual"),
	}
}

func (m *machine) newReading(opts api.StreamOptions) *reading {
	return &reading{machine: m, opts: opts, selection: stream.NewSelection(nil, opts), opened: m.writer.sequence, limit: int64(opts.MaxBytes)}
}

func (m *machine) openOne(t *rapid.T) {
	r := m.newReading(m.options(t))
	r.opens(m.streams.Open(r.opts))(t)
	m.open = append(m.open, r)
}

// openSnapshot opens a stream with a snapshot while the writer goes on.
func (m *machine) openSnapshot(t *rapid.T) {
	opts := m.options(t)
	if rapid.Bool().Draw(t, "far") {
		opts.MaxBytes = 0
	}
	r := m.newReading(opts)
	r.limit = int64(cmp.Or(opts.MaxBytes, m.bytes))
	r.snapshot = true
	m.engine.snapshot = func(_ context.Context, selection *stream.Selection) (stream.Snapshot, api.Position, error) {
		m.commit(t)
		s := &snapshot{all: []row{}, header: api.Transaction{Source: sourceID, Sequence: m.writer.sequence}}
		for is, present := range m.rows {
			if present && selection.Accepts(is.table.Table(), api.OpSnapshot) {
				s.all = append(s.all, is)
			}
		}
		for i, is := range s.all {
			c := expected(s.header.Sequence, i, is, api.OpSnapshot)
			c.Last = i == len(s.all)-1
			r.want = append(r.want, c)
		}
		r.snapshotRows = len(s.all)
		m.open = append(m.open, r)
		position := api.Behind(m.writer.sequence)
		m.commit(t)
		return s, position, nil
	}
	opened, err := m.streams.OpenSnapshot(t.Context(), opts, nil)
	if err != nil {
		require.ErrorContains(t, err, "stream fell behind: ")
		m.open = slices.DeleteFunc(m.open, func(o *reading) bool { return o == r })
		return
	}
	r.opens(opened, err)(t)
}

// resume opens a stream behind a position that another one has just delivered: the log holds all that comes after it,
// but for what did not concern that one.
func (m *machine) resume(t *rapid.T) {
	var after api.Position
	for _, r := range m.open {
		if r.got > 0 && r.got < len(r.want) && r.want[r.got-1].Op != api.OpSnapshot {
			after = r.want[r.got-1].Position()
		}
	}
	if after.Sequence == 0 {
		t.Skip("no stream is in the middle")
	}
	r := m.newReading(m.options(t))
	r.opts.Start, r.opts.MaxBytes = api.After(after), m.bytes
	opened, err := m.streams.Open(r.opts)
	if err != nil {
		require.ErrorContains(t, err, "has left the log")
		return
	}
	r.opens(opened, nil)(t)
	r.anywhere = true
	for i, gap := range append(slices.Clone(m.gaps), m.writer.sequence+1) {
		if gap <= after.Sequence {
			continue
		}
		r.lost = i < len(m.gaps)
		r.add(slices.DeleteFunc(slices.Clone(m.all), func(c *api.Change) bool {
			return c.Position().Compare(after) <= 0 || c.Transaction.Sequence > gap
		}))
		break
	}
	m.open = append(m.open, r)
}

func (m *machine) draw(t *rapid.T) *reading {
	if len(m.open) == 0 {
		t.Skip("no stream")
	}
	return m.open[rapid.IntRange(0, len(m.open)-1).Draw(t, "stream")]
}

// read polls some changes from a stream.
func (m *machine) read(t *rapid.T) {
	r := m.draw(t)
	for range rapid.IntRange(1, 200).Draw(t, "changes") {
		c, err := r.stream.Poll()
		if err != nil {
			r.end(t, err)
			return
		}
		if c == nil {
			return
		}
		r.receive(t, c)
	}
}

// wait reads a stream until it has delivered everything.
func (m *machine) wait(t *rapid.T) { m.draw(t).catchUp(t) }

func (m *machine) ack(t *rapid.T) {
	r := m.draw(t)
	if !r.opts.ManualAck || r.got == 0 {
		t.Skip("nothing to acknowledge")
	}
	newest := r.want[r.got-1].Position()
	require.Equal(t, errs.Invalid, errs.KindOf(r.acker().Ack(api.Position{Sequence: newest.Sequence, Index: newest.Index + 1})))
	i := rapid.IntRange(0, r.got-1).Draw(t, "acknowledged")
	require.NoError(t, r.acker().Ack(r.want[i].Position()))
	r.acked = max(r.acked, i+1)
}

func (m *machine) close(t *rapid.T) {
	r := m.draw(t)
	r.stream.Close()
	m.open = slices.DeleteFunc(m.open, func(o *reading) bool { return o == r })
}

// check requires that nothing is acknowledged that was not.
func (m *machine) check(t *rapid.T) {
	acked := m.streams.Acked()
	for _, r := range m.open {
		if r.over {
			continue
		}
		from := r.got
		if r.opts.ManualAck {
			from = r.acked
		}
		for _, c := range r.want[from:] {
			if c.Op != api.OpSnapshot {
				if r.stream.Err() == nil { // a laggard has left
					require.Less(t, acked, c.Transaction.Sequence)
				}
				break
			}
		}
	}
}

// finish reads everything.
func (m *machine) finish(t *rapid.T) {
	m.openOne(t)
	m.commit(t)
	alive := false
	for _, r := range m.open {
		r.catchUp(t)
		if r.over {
			continue
		}
		c, err := r.stream.Poll() // it comes back
		require.Nil(t, c, "a change too many")
		if err != nil { // what did not concern it was too much
			r.end(t, err)
			continue
		}
		alive = true
		r.requireRows(t)
		if n := len(r.want); r.opts.ManualAck && n > 0 {
			require.NoError(t, r.acker().Ack(r.want[n-1].Position()))
		}
	}
	for alive && m.streams.Acked() != m.writer.sequence {
		for _, r := range m.open { // the log's goroutine may have yet to wake it
			if !r.over {
				_, err := r.stream.Poll()
				require.NoError(t, err)
			}
		}
		runtime.Gosched()
	}
	m.streams.Close(errOver)
	for _, r := range m.open {
		c, err := r.stream.Poll()
		require.Nil(t, c, "a change too many")
		require.Error(t, err)
		r.stream.Close()
	}
	require.Zero(t, m.streams.Admission().ReservedBytes)
	require.Zero(t, m.streams.Admission().Active)
	require.False(t, m.streams.Watched())
	require.Zero(t, m.streams.Held())
}
