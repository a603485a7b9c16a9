package log_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/internal/tempfile"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// inFile returns a part of a file that holds b, with something else around it.
func inFile(tb testing.TB, b []byte) *tempfile.Part {
	tb.Helper()
	file, err := tempfile.Create()
	require.NoError(tb, err)
	before := []byte("something else")
	_, err = file.Write(append(append(before, b...), before...))
	require.NoError(tb, err)
	return tempfile.NewPart(file, int64(len(before)), int64(len(b)))
}

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	at := time.Unix(1_700_000_000, 123_456_789)
	touched := []log.Touched{{ID: 1, Shape: users, Codes: 1 << log.Insert}, {ID: 1<<32 - 1, Shape: orders, Codes: ^log.Codes(0)}}
	for name, tx := range map[string]log.Transaction{
		"empty":         {At: time.Unix(0, 0)},
		"one table":     {Sequence: 1, At: at, Touched: touched[:1], Entries: make([]byte, 20)},
		"many tables":   {Sequence: 1<<64 - 1, At: at, Touched: touched, Head: []byte("head"), Entries: make([]byte, 1000)},
		"voids":         {Sequence: 2, At: at, Voids: true},
		"spilled":       {Sequence: 2, At: at, Touched: touched, Spilled: inFile(t, make([]byte, 7000)), Entries: make([]byte, 30)},
		"before 1970":   {Sequence: 3, At: time.Unix(-5, 7)},
		"head and none": {Sequence: 4, At: at, Head: make([]byte, 70_000)},
	} {
		t.Run(name, func(t *testing.T) {
			defer tx.Spilled.Release()
			b := log.EncodeFront(&tx)
			front, ok := log.DecodeFront(b)
			require.True(t, ok)
			require.Equal(t, log.Front{
				Length: int64(len(b) + len(tx.Entries)), Spilled: tx.Spilled.Size(), Sequence: tx.Sequence, At: tx.At.UnixNano(),
				Touched: int64(len(tx.Touched)), Head: int64(len(tx.Head)), Voids: tx.Voids,
			}, front)
			b = b[log.RecordHeader:]
			for _, want := range tx.Touched {
				require.Equal(t, want.ID, binary.LittleEndian.Uint32(b))
				require.Equal(t, uint32(want.Codes), binary.LittleEndian.Uint32(b[4:]))
				b = b[8:]
			}
			require.True(t, bytes.Equal(tx.Head, b))
		})
	}
}

func TestHeadersThatCannotBeAreTold(t *testing.T) {
	tx := log.Transaction{Sequence: 1, Touched: []log.Touched{{ID: 1, Shape: users}}, Head: []byte("head")}
	good := log.EncodeFront(&tx)
	for name, corrupt := range map[string]func(b []byte){
		"length of nothing":    func(b []byte) { clear(b[:8]) },
		"length below front":   func(b []byte) { binary.LittleEndian.PutUint64(b, uint64(len(b)-1)) },
		"negative length":      func(b []byte) { b[7] = 0x80 },
		"negative spilled":     func(b []byte) { b[15] = 0x80 },
		"length overflows":     func(b []byte) { b[6], b[7], b[14], b[15] = 0xff, 0x7f, 0xff, 0x7f },
		"more tables than fit": func(b []byte) { b[35] = 0xff },
		"more head than fits":  func(b []byte) { b[36]++ },
	} {
		b := bytes.Clone(good)
		corrupt(b)
		_, ok := log.DecodeFront(b)
		require.False(t, ok, name)
	}
	_, ok := log.DecodeFront(good)
	require.True(t, ok)
}

func TestOperationsHaveCodes(t *testing.T) {
	ops := []api.Op{api.OpInsert, api.OpUpdate, api.OpDelete, api.OpTruncate, api.OpSchema}
	for i, op := range ops {
		require.Equal(t, op, log.Code(i+1).Op())
	}
	require.Empty(t, log.Code(0).Op())
	require.Empty(t, log.Code(6).Op())
	set := log.CodesOf(func(op api.Op) bool { return op == api.OpDelete || op == api.OpSchema })
	require.Equal(t, log.Codes(1<<log.Delete|1<<log.Schema), set)
	for code := range log.Code(255) {
		require.Equal(t, code == log.Delete || code == log.Schema, set.Has(code), code)
	}
}

// FuzzEntries reads entries that may be anything: a reader returns those that are entries, or an error.
func FuzzEntries(f *testing.F) {
	good := entries(insert(users, 1), insert(orders, 2), insert(users, 3))
	f.Add(good, 0)
	f.Add(good[:len(good)-1], 7)
	f.Add(append([]byte{12, 0, 0, 0}, good...), 1)
	f.Add(append([]byte{11, 0, 0, 0}, good...), 0)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8}, 0)
	f.Add([]byte{1}, 1)
	f.Fuzz(func(t *testing.T, b []byte, spilled int) {
		l, w := newLog(t, unit.MiB)
		r, err := l.Open(options())
		require.NoError(t, err)
		defer l.Close(errOver)
		tx := w.make(insert(users, 1), insert(orders, 2))
		tx.Entries, tx.Voids = b, true
		if spilled > 0 && spilled < len(b) {
			tx.Spilled, tx.Entries = inFile(t, b[:spilled]), b[spilled:]
		}
		require.True(t, l.Append(tx))
		record, err := r.Next()
		require.NoError(t, err)
		total := 0
		for {
			e, err := record.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				require.Error(t, r.Fail(err))
				require.False(t, l.Watched())
				return
			}
			if e != nil {
				require.GreaterOrEqual(t, len(e.Bytes), log.EntryHeader)
				total += len(e.Bytes)
			}
		}
		require.LessOrEqual(t, total, len(b))
		r.Close()
	})
}

// FuzzRecord decodes headers that may be anything: one that is accepted says what is possible.
func FuzzRecord(f *testing.F) {
	tx := log.Transaction{Sequence: 1, Touched: []log.Touched{{ID: 1, Shape: users}}, Head: []byte("head")}
	f.Add(log.EncodeFront(&tx)[:log.RecordHeader])
	f.Add(bytes.Repeat([]byte{0xff}, log.RecordHeader))
	f.Add(bytes.Repeat([]byte{0x7f}, log.RecordHeader))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < log.RecordHeader {
			return
		}
		front, ok := log.DecodeFront(b)
		if !ok {
			return
		}
		require.GreaterOrEqual(t, front.Spilled, int64(0))
		require.GreaterOrEqual(t, front.Length, log.RecordHeader+8*front.Touched+front.Head)
		require.GreaterOrEqual(t, front.Length+front.Spilled, front.Length, "it does not overflow")
	})
}
