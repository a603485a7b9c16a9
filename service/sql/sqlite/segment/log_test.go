package segment_test

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/segment"
)

// payload is that of a transaction with these rows, of one table whose shape is called so; 0 is one that is not known yet.
func payload(shape uint32, rows string) []byte {
	name := "t"
	b := make([]byte, 24)
	binary.LittleEndian.PutUint32(b[4*capture.OpInsert:], 1)
	for _, v := range []uint32{1, uint32(16 + len(name)), 0, 1 << capture.OpInsert, shape, uint32(len(name))} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return append(append(b, name...), rows...)
}

// writing is a log and the file that is written.
type writing struct {
	t        testing.TB
	dir      string
	log      *segment.Log
	file     *os.File
	end      int64
	sequence uint64
}

func begin(tb testing.TB, settings segment.Settings) *writing {
	tb.Helper()
	w := &writing{t: tb, dir: filepath.Join(tb.TempDir(), "db-cdc")}
	var err error
	w.log, err = segment.Create(w.dir, settings, 0)
	require.NoError(tb, err)
	w.roll()
	return w
}

func wide() segment.Settings { return segment.Settings{MaxBytes: math.MaxInt64, MaxAge: time.Hour} }

// roll goes on in a new file, with a shape that is called 1.
func (w *writing) roll() {
	w.t.Helper()
	var err error
	w.file, w.end, w.sequence, err = w.log.Next(w.sequence, false)
	require.NoError(w.t, err)
	file := w.file
	w.t.Cleanup(func() { _ = file.Close() })
	w.log.Publish(w.end, w.sequence)
	w.write(segment.Record{Kind: capture.SegmentShape, Detail: 1, Sequence: w.sequence}, []byte("shape"))
}

func (w *writing) write(r segment.Record, payload []byte) {
	w.t.Helper()
	b := segment.AppendRecord(nil, &r, payload)
	_, err := w.file.WriteAt(b, w.end)
	require.NoError(w.t, err)
	w.end += int64(len(b))
}

// commit writes a transaction that is published.
func (w *writing) commit(rows string) {
	w.t.Helper()
	w.sequence++
	w.write(segment.Record{Kind: capture.SegmentCommit, Sequence: w.sequence}, payload(1, rows))
	w.log.Publish(w.end, w.sequence)
}

// damage flips a bit of the file.
func (w *writing) damage(at int64) {
	w.t.Helper()
	var b [1]byte
	_, err := w.file.ReadAt(b[:], at)
	require.NoError(w.t, err)
	b[0] ^= 4
	_, err = w.file.WriteAt(b[:], at)
	require.NoError(w.t, err)
}

func (w *writing) read(after uint64) *segment.Cursor {
	w.t.Helper()
	c, err := w.log.Read(after)
	require.NoError(w.t, err)
	w.t.Cleanup(c.Close)
	return c
}

// next reads a transaction, and all there is with rest.
func next(tb testing.TB, c *segment.Cursor) string {
	tb.Helper()
	tx, err := c.Next()
	require.NoError(tb, err)
	return describe(tx)
}

func describe(tx *segment.Transaction) string {
	if tx.Gap != 0 {
		return "gap"
	}
	return string(tx.Rows)
}

func rest(tb testing.TB, c *segment.Cursor) (all []string) {
	tb.Helper()
	for {
		tx, err := c.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(tb, err)
		all = append(all, describe(tx))
	}
}

func TestACursorGoesOnInTheNextFile(t *testing.T) {
	t.Parallel()
	w := begin(t, wide())
	w.commit("a")
	c := w.read(0)
	require.Equal(t, []string{"a"}, rest(t, c))
	w.commit("b")
	w.roll()
	require.Equal(t, []string{"b"}, rest(t, c))
	w.roll() // the one before has nothing, and its sequence is void
	w.commit("c")
	require.Equal(t, []string{"c"}, rest(t, c))
	require.Equal(t, w.sequence, c.Through())
	require.Equal(t, []string{"a", "b", "c"}, rest(t, w.read(0)))
}

func TestANewFileThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	w := begin(t, wide())
	w.commit("a")
	c := w.read(0)
	made, _, _, err := w.log.Next(w.sequence, false)
	require.NoError(t, err)
	require.NoError(t, made.Close())
	require.NoError(t, w.log.Discard())
	w.commit("b") // in the one before
	require.Equal(t, []string{"a", "b"}, rest(t, c))
	_, err = segment.Open(w.dir)
	require.NoError(t, err)
	w.roll()
	w.commit("c")
	require.Equal(t, []string{"c"}, rest(t, c))
}

func TestWhatIsNotPublishedIsNotRead(t *testing.T) {
	t.Parallel()
	w := begin(t, wide())
	w.commit("a")
	w.write(segment.Record{Kind: capture.SegmentCommit, Sequence: 2}, payload(0, "b"))
	c := w.read(0)
	w.log.Publish(w.end, 1) // a gap of others was, in front of it
	require.Equal(t, []string{"a"}, rest(t, c))
	w.write(segment.Record{Kind: capture.SegmentBind, Sequence: 2}, segment.Binding(map[uint32]uint32{0: 1}))
	w.log.Publish(w.end, 2)
	tx, err := c.Next()
	require.NoError(t, err)
	require.Equal(t, "shape", string(tx.Tables[0].Shape.Text))
}

func TestWhatIsIncompleteIsAGap(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(w *writing){
		"a table that is not bound": func(w *writing) { w.write(segment.Record{Kind: capture.SegmentCommit, Sequence: 2}, payload(0, "b")) },
		"a shape that is not there": func(w *writing) { w.write(segment.Record{Kind: capture.SegmentCommit, Sequence: 2}, payload(7, "b")) },
		"a change of the schema that did not follow": func(w *writing) {
			w.write(segment.Record{Kind: capture.SegmentCommit, Sequence: 2, Detail: 1}, payload(1, "b"))
		},
		"no record": func(*writing) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, wide())
			w.commit("a")
			write(w)
			w.sequence = 2
			w.log.Publish(w.end, 2)
			c := w.read(0)
			require.Equal(t, []string{"a", "gap"}, rest(t, c))
			w.commit("c")
			require.Equal(t, []string{"c"}, rest(t, c))
			require.Equal(t, []string{"a", "gap", "c"}, rest(t, w.read(0)))
			require.Equal(t, []string{"c"}, rest(t, w.read(2)))
		})
	}
}

func TestARolledBackTransactionIsPassedOver(t *testing.T) {
	t.Parallel()
	w := begin(t, wide())
	w.commit("a")
	w.write(segment.Record{Kind: capture.SegmentCommit, Sequence: 2}, payload(1, "b"))
	w.write(segment.Record{Kind: capture.SegmentAbort, Sequence: 2}, nil)
	w.sequence = 2
	w.commit("c")
	require.Equal(t, []string{"a", "c"}, rest(t, w.read(0)))
}

// Any bit of a file: what was damaged is a gap, and all else is as it was.
func TestABitThatIsFlipped(t *testing.T) {
	t.Parallel()
	w := begin(t, wide())
	for _, rows := range []string{"a", "b", "c"} {
		w.commit(rows)
	}
	from, end := int64(segment.Header), w.end
	w.roll()
	w.commit("d")
	first, err := os.OpenFile(filepath.Join(w.dir, "0000000000000001.segment"), os.O_RDWR, 0)
	require.NoError(t, err)
	w.file = first
	for at := from; at < end; at++ {
		w.damage(at)
		told := rest(t, w.read(0))
		missing, inGap := []string{"a", "b", "c", "d"}, false
		for _, one := range told {
			if one == "gap" {
				inGap = true
				continue
			}
			i := slices.Index(missing, one)
			require.True(t, i == 0 || i > 0 && inGap, "byte %d: %v", at, told)
			missing, inGap = missing[i+1:], false
		}
		require.Empty(t, missing, "byte %d: %v", at, told)
		require.Contains(t, told, "gap", "byte %d", at)
		w.damage(at)
	}
	require.Equal(t, []string{"a", "b", "c", "d"}, rest(t, w.read(0)))
	require.NoError(t, first.Close())
}

func TestRetention(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]segment.Settings{
		"bytes": {MaxBytes: 3 * segment.Header, MaxAge: time.Hour},
		"age":   {MaxBytes: math.MaxInt64, MaxAge: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, settings)
			slow := w.read(0)
			for range 5 {
				w.commit("a")
				w.commit("b")
				w.roll()
			}
			w.commit("c")
			require.Equal(t, "a", next(t, slow))
			require.NoError(t, w.log.Trim())
			trimmed := w.log.Size().Trimmed
			require.Equal(t, map[string]uint64{"bytes": 8, "age": 10}[name], trimmed)
			_, err := w.log.Read(trimmed - 1)
			require.ErrorIs(t, err, segment.ErrTrimmed)
			require.Equal(t, "c", rest(t, w.read(trimmed))[trimmedRows(trimmed)])
			_, err = slow.Next() // its file is open
			require.NoError(t, err)
			_, err = slow.Next()
			require.ErrorIs(t, err, segment.ErrTrimmed)

			again, err := segment.Open(w.dir)
			require.NoError(t, err)
			require.Equal(t, trimmed, again.Size().Trimmed)
		})
	}
}

// trimmedRows is how many transactions are kept in front of the last one.
func trimmedRows(trimmed uint64) uint64 { return 10 - trimmed }

func TestReadingWhileItIsWritten(t *testing.T) {
	t.Parallel()
	w := begin(t, wide())
	const rows = 400
	var readers sync.WaitGroup
	for range 3 {
		c := w.read(0)
		readers.Go(func() {
			for n := 0; n < rows; {
				tx, err := c.Next()
				if errors.Is(err, io.EOF) {
					continue
				}
				if err != nil || tx.Gap != 0 {
					t.Errorf("transaction %d: %+v %v", n, tx, err)
					return
				}
				n++
			}
		})
	}
	for i := range rows {
		w.commit("row")
		if i%50 == 49 {
			w.roll()
		}
	}
	readers.Wait()
}

func TestALogThatCannotGoOn(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, w *writing){
		"no settings": func(t *testing.T, w *writing) {
			t.Helper()
			require.NoError(t, os.WriteFile(filepath.Join(w.dir, "log.json"), []byte(`{"generation": "1"}`), 0o600))
		},
		"no segment": func(t *testing.T, w *writing) {
			t.Helper()
			require.NoError(t, os.Remove(w.file.Name()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, wide())
			w.commit("a")
			damage(t, w)
			_, err := segment.Open(w.dir)
			require.ErrorIs(t, err, segment.ErrDamaged)
			were, err := segment.SetAside(w.dir)
			require.NoError(t, err)
			require.True(t, were)
			require.False(t, segment.Exists(w.dir))
			require.NoError(t, segment.Remove(w.dir))
			require.NoDirExists(t, w.dir)
		})
	}
}

// What consumers have acknowledged is not believed if a digit is another one.
func TestConsumersHaveAChecksum(t *testing.T) {
	t.Parallel()
	w := begin(t, wide())
	require.NoError(t, w.log.WriteConsumers(map[string]int{"search": 17}))
	var have map[string]int
	require.NoError(t, w.log.ReadConsumers(&have))
	require.Equal(t, map[string]int{"search": 17}, have)
	path := filepath.Join(w.dir, "consumers.json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	text[len(`{"search":1`)]++
	require.NoError(t, os.WriteFile(path, text, 0o600))
	err = w.log.ReadConsumers(&have)
	require.ErrorIs(t, err, segment.ErrDamaged)
	require.ErrorContains(t, err, "or delete it: then its consumers begin anew")
}

func FuzzReadFile(f *testing.F) {
	w := begin(f, wide())
	w.commit("a")
	w.write(segment.Record{Kind: capture.SegmentCommit, Sequence: 2, Detail: 1}, payload(0, "b"))
	w.write(segment.Record{Kind: capture.SegmentMore, Sequence: 2}, payload(1, "more"))
	w.write(segment.Record{Kind: capture.SegmentBind, Sequence: 2}, segment.Binding(map[uint32]uint32{0: 1}))
	w.write(segment.Record{Kind: capture.SegmentGap, Sequence: 3, Detail: 1}, nil)
	all, err := os.ReadFile(w.file.Name())
	require.NoError(f, err)
	f.Add(all[segment.Header:], uint32(1), []byte{})
	f.Add(all[segment.Header:], uint32(capture.SegmentCommit), payload(1, "rows"))
	path := filepath.Join(f.TempDir(), "segment")
	f.Fuzz(func(t *testing.T, content []byte, kind uint32, last []byte) {
		content = append(make([]byte, segment.Header), content...)
		// A checksum cannot be guessed: one record has the right one.
		content = segment.AppendRecord(content, &segment.Record{Kind: capture.RecordKind(kind), Sequence: 99}, last)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		told, err := segment.ReadFile(path)
		require.ErrorIs(t, err, io.EOF)
		newest := uint64(0)
		for _, tx := range told {
			require.Greater(t, tx.Sequence, newest)
			newest = tx.Sequence
		}
	})
}
