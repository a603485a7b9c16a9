package log_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

var errOver = errors.New("test is over")

// shape is a table of the engine of these tests.
type shape struct {
	id    uint32
	table sqlapi.Table
}

func (s *shape) Table() *sqlapi.Table { return &s.table }

var (
	users  = &shape{1, sqlapi.Table{Schema: "main", Name: "users"}}
	orders = &shape{2, sqlapi.Table{Schema: "main", Name: "Orders"}}
)

// row is a change of a hand-made transaction.
type row struct {
	table *shape
	code  log.Code
	value int64
}

// insert is an insert of a value.
func insert(table *shape, value int64) row { return row{table, log.Insert, value} }

// entry encodes a row; flag is the first of the bytes that are the engine's, 2 for one that is void.
func entry(flag byte, r row) []byte {
	b := binary.LittleEndian.AppendUint32(nil, log.EntryHeader+8)
	b = append(b, byte(r.code), flag, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, r.table.id)
	return binary.LittleEndian.AppendUint64(b, uint64(r.value))
}

func entries(rows ...row) (b []byte) {
	for _, r := range rows {
		b = append(b, entry(0, r)...)
	}
	return b
}

// frontOfOne is the size of a record of one table without head and entries, entrySize that of an entry.
const (
	frontOfOne = 44 + 8
	entrySize  = log.EntryHeader + 8
)

// writer appends hand-made transactions to a log.
type writer struct {
	log      *log.Log
	sequence uint64
}

// make returns the next transaction.
func (w *writer) make(rows ...row) *log.Transaction {
	w.sequence++
	tx := &log.Transaction{Sequence: w.sequence, At: time.Unix(int64(w.sequence), 0), Entries: entries(rows...)}
	codes := make(map[*shape]log.Codes)
	for _, r := range rows {
		codes[r.table] |= 1 << r.code
		tx.Counts[r.code]++
	}
	for _, s := range []*shape{users, orders} {
		if codes[s] != 0 {
			tx.Touched = append(tx.Touched, log.Touched{ID: s.id, Shape: s, Codes: codes[s]})
		}
	}
	return tx
}

// commit appends a transaction, which must be kept.
func (w *writer) commit(tb testing.TB, rows ...row) {
	tb.Helper()
	require.True(tb, w.log.Append(w.make(rows...)))
}

// commitLarge appends an insert with a head of that size.
func (w *writer) commitLarge(tb testing.TB, size int, r row) {
	tb.Helper()
	tx := w.make(r)
	tx.Head = make([]byte, size)
	require.True(tb, w.log.Append(tx))
}

func newLog(tb testing.TB, memory unit.Size) (*log.Log, *writer) {
	tb.Helper()
	l := log.New(registry.ID{Namespace: "app", Name: "cdc"}, memory)
	tb.Cleanup(func() { l.Close(errOver) })
	return l, &writer{log: l}
}

// options returns those of a reader of tables, all if there are none, that may fall behind as far as it likes.
func options(tables ...string) log.Options {
	return log.Options{
		Limit:    math.MaxInt64,
		Interest: log.Interest{Tables: tables, Codes: ^log.Codes(0)},
		Accept: func(s log.Shape) log.Codes {
			for _, name := range tables {
				if name == s.Table().Name {
					return ^log.Codes(0)
				}
			}
			if tables == nil {
				return ^log.Codes(0)
			}
			return 0
		},
		Void:  func(_, entry []byte) bool { return entry[5] == 2 },
		OnEnd: func(api.EndReason) {},
	}
}

// after returns the same options for a reader that begins behind a position.
func after(o log.Options, position api.Position) log.Options {
	o.After = &position
	return o
}

func open(tb testing.TB, l *log.Log, o log.Options) *log.Reader {
	tb.Helper()
	r, err := l.Open(o)
	require.NoError(tb, err)
	tb.Cleanup(r.Close)
	return r
}

// line describes an entry: sequence.index table value, and a ! on the last.
func line(record *log.Record, e *log.Entry) string {
	s := fmt.Sprintf("%d.%d %s %d", record.Sequence, e.Index, e.Shape.Table().Name, binary.LittleEndian.Uint64(e.Bytes[log.EntryHeader:]))
	if e.Last {
		s += " !"
	}
	return s
}

// read reads all that there is by now, and why the reader has ended, if it has.
func read(tb testing.TB, r *log.Reader) (lines []string, end error) {
	tb.Helper()
	for {
		record, err := r.Next()
		if err != nil {
			return lines, err
		}
		if record == nil {
			if r.Waits() {
				return lines, nil
			}
			<-r.Ready() // it wants its caller to do something else in between
			continue
		}
		for {
			e, err := record.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return lines, r.Fail(err)
			}
			if e != nil {
				lines = append(lines, line(record, e))
			}
		}
	}
}

// requireLines reads all that there is by now and requires that the reader goes on.
func requireLines(tb testing.TB, r *log.Reader, want ...string) {
	tb.Helper()
	lines, err := read(tb, r)
	require.NoError(tb, err)
	require.Equal(tb, want, lines)
}

// woken takes the value that Ready has, if it has one.
func woken(r *log.Reader) bool {
	select {
	case <-r.Ready():
		return true
	default:
		return false
	}
}
