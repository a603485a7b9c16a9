package stream_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

var errOver = errors.New("test is over")

// shape is a table of the engine of these tests.
type shape struct{ table sqlapi.Table }

func (s *shape) Table() *sqlapi.Table { return &s.table }

var (
	sourceID = registry.ID{Namespace: "app", Name: "cdc"}
	users    = &shape{sqlapi.Table{Schema: "main", Name: "users", Columns: []sqlapi.Column{{Name: "a"}, {Name: "b"}}, HasRowID: true}}
	cats     = &shape{sqlapi.Table{Schema: "main", Name: "cats", Columns: []sqlapi.Column{{Name: "a"}}, HasRowID: true}}
	dogs     = &shape{sqlapi.Table{Schema: "main", Name: "dogs", Columns: []sqlapi.Column{{Name: "a"}}, HasRowID: true}}
	orders   = &shape{sqlapi.Table{Schema: "main", Name: "Orders", Columns: []sqlapi.Column{{Name: "a"}}, HasRowID: true}}
)

// row is a change of a hand-made transaction.
type row struct {
	table *shape
	code  log.Code
	value int64
}

// engine is what streams need of an engine. Entries are a header, whose free bytes hold 1 for one that cannot be read and 2 for
// one that is void, and a value, which all columns have; padding follows.
type engine struct {
	// decoded counts the changes that were decoded.
	decoded  atomic.Int64
	snapshot func(ctx context.Context, selection *stream.Selection) (stream.Snapshot, api.Position, error)
}

func (e *engine) NewDecoder() stream.Decoder { return &decoder{engine: e} }

func (e *engine) Void(_, entry []byte) bool { return entry[5] == 2 }

func (e *engine) Snapshot(ctx context.Context, selection *stream.Selection) (stream.Snapshot, api.Position, error) {
	return e.snapshot(ctx, selection)
}

func (e *engine) Changed() {}

type decoder struct {
	engine *engine
	header *api.Transaction
}

func (d *decoder) Begin(record *log.Record) {
	d.header = &api.Transaction{
		Source: sourceID, Generation: "g", Sequence: record.Sequence, LSN: strconv.FormatUint(record.Sequence, 10), CommittedAt: record.At,
	}
}

func (d *decoder) Decode(entry *log.Entry, c *api.Change) error {
	if entry.Bytes[5] == 1 {
		return errors.New("disk on fire")
	}
	d.engine.decoded.Add(1)
	c.Transaction = d.header
	image := sqlapi.IntegerValue(int64(binary.LittleEndian.Uint64(entry.Bytes[log.EntryHeader:])))
	for range entry.Shape.Table().Columns {
		c.Before, c.After = append(c.Before, image), append(c.After, image)
	}
	switch entry.Code {
	case log.Insert:
		c.Before = nil
	case log.Delete:
		c.After = nil
	default:
	}
	return nil
}

// entries encodes rows; flag is that of all of them.
func entries(flag byte, rows ...row) (b []byte) {
	for _, r := range rows {
		b = binary.LittleEndian.AppendUint32(b, log.EntryHeader+8)
		b = append(b, byte(r.code), flag, 0, 0)
		b = binary.LittleEndian.AppendUint32(b, idOf(r.table))
		b = binary.LittleEndian.AppendUint64(b, uint64(r.value))
	}
	return b
}

// idOf returns the ID of a table; tables other than users and orders share one, as if it had changed its meaning.
func idOf(s *shape) uint32 {
	switch s {
	case users:
		return 1
	case orders:
		return 2
	default:
		return 3
	}
}

// writer appends hand-made transactions to a log.
type writer struct {
	streams  *stream.Streams
	sequence uint64
}

// make returns the next transaction. It fills at least size bytes.
func (w *writer) make(size int64, rows ...row) *log.Transaction {
	w.sequence++
	tx := &log.Transaction{Sequence: w.sequence, Entries: entries(0, rows...)}
	codes := map[*shape]log.Codes{}
	var order []*shape
	for _, r := range rows {
		if codes[r.table] == 0 {
			order = append(order, r.table)
		}
		codes[r.table] |= 1 << r.code
		tx.Counts[r.code]++
	}
	for _, s := range order {
		tx.Touched = append(tx.Touched, log.Touched{ID: idOf(s), Shape: s, Codes: codes[s]})
	}
	if pad := size - int64(len(tx.Entries)); pad > 0 {
		tx.Head = make([]byte, pad)
	}
	return tx
}

// commit appends a transaction of at least the given size.
func (w *writer) commit(size int64, rows ...row) *log.Transaction {
	tx := w.make(size, rows...)
	w.streams.Append(tx)
	return tx
}

// inserts returns n inserts into users with values from first on.
func inserts(first int64, n int) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = row{table: users, code: log.Insert, value: first + int64(i)}
	}
	return rows
}

// newStreams returns streams with a log of that bound, which admit many, and a writer to it.
func newStreams(tb testing.TB, bytes unit.Size) (*stream.Streams, *writer) {
	tb.Helper()
	return with(tb, bytes, new(engine))
}

func with(tb testing.TB, bytes unit.Size, e *engine) (*stream.Streams, *writer) {
	tb.Helper()
	return start(tb, settings(bytes, e))
}

// settings are those of streams that admit many.
func settings(bytes unit.Size, e *engine) stream.Settings {
	return stream.Settings{
		Source:     sourceID,
		Generation: "g",
		Limits: stream.Limits{
			LogBytes:      bytes,
			Subscriptions: api.SubscriptionsConfig{MaxSubscriptions: 1 << 20, MaxBytes: 1 << 50, MaxSnapshotSubscriptions: 100},
		},
		Engine: e,
	}
}

func start(tb testing.TB, settings stream.Settings) (*stream.Streams, *writer) {
	tb.Helper()
	streams := stream.New(settings)
	tb.Cleanup(func() { streams.Close(errOver) })
	return streams, &writer{streams: streams}
}

func open(tb testing.TB, streams *stream.Streams, opts api.StreamOptions) api.Stream {
	tb.Helper()
	s, err := streams.Open(opts)
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
