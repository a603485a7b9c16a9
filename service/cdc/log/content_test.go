package log_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/internal/tempfile"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// counting returns n bytes that count from first.
func counting(first, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(first + i)
	}
	return b
}

// requireWindow requires that c holds counting bytes, in pieces that end at those offsets, forwards and backwards.
func requireWindow(t *testing.T, c log.Content, ends ...int64) {
	t.Helper()
	w := c.Window()
	for range 2 { // and back
		begin := int64(0)
		for _, end := range ends {
			for _, span := range [][2]int64{{begin, end - begin}, {begin, 1}, {end - 1, 1}, {begin, 0}} {
				b, err := w.At(span[0], span[1])
				require.NoError(t, err, "%v", span)
				require.Equal(t, counting(int(span[0]), int(span[1])), append([]byte{}, b...))
				require.Len(t, b, cap(b), "what is appended to it goes elsewhere")
			}
			begin = end
		}
	}
	_, err := w.At(ends[len(ends)-1], 1)
	require.EqualError(t, err, "the kept records are corrupt")
	for _, end := range ends {
		_, err := w.At(end-1, 2)
		require.EqualError(t, err, "the kept records are corrupt", "nothing straddles pieces")
	}
}

func TestAWindowFindsWhatIsInMemoryAndInFiles(t *testing.T) {
	large := log.ChunkSize*2 + 100
	for name, c := range map[string]struct {
		content log.Content
		ends    []int64
	}{
		"front":       {log.NewContent(counting(0, 100)), []int64{100}},
		"file":        {log.NewContent(nil, inFile(t, counting(0, 100))), []int64{100}},
		"large file":  {log.NewContent(counting(0, 10), inFile(t, counting(10, large))), []int64{10, int64(10 + large)}},
		"all of them": {log.NewContent(counting(0, 10), inFile(t, counting(10, 20)), counting(30, 40)), []int64{10, 30, 70}},
	} {
		t.Run(name, func(t *testing.T) {
			requireWindow(t, c.content, c.ends...)
			size := c.ends[len(c.ends)-1]
			moved, written, err := c.content.Move(size)
			require.NoError(t, err)
			require.LessOrEqual(t, written, size)
			requireWindow(t, moved, c.ends...)
			moved.Release()
			_, err = moved.Window().At(0, 1)
			require.ErrorIs(t, err, os.ErrClosed, "the files are gone")
		})
	}
}

func TestOnlyWhatIsInMemoryIsMoved(t *testing.T) {
	file := inFile(t, counting(10, 1000))
	moved, written, err := log.NewContent(counting(0, 10), file, counting(1010, 40)).Move(1050)
	require.NoError(t, err)
	defer moved.Release()
	require.Equal(t, int64(50), written)
	requireWindow(t, moved, 10, 1010, 1050)
	moved, written, err = log.NewContent(append(counting(0, 10), "unused"...)).Move(10)
	require.NoError(t, err)
	defer moved.Release()
	require.Equal(t, int64(10), written)
	requireWindow(t, moved, 10)
}

func TestAFileIsClosedWithItsLastPart(t *testing.T) {
	file, err := tempfile.Create()
	require.NoError(t, err)
	_, err = file.Write(counting(0, 100))
	require.NoError(t, err)
	whole := tempfile.NewPart(file, 0, 100)
	slice, again := whole.Slice(50, 50), whole.Retain()
	b := make([]byte, 10)
	for _, part := range []*tempfile.Part{whole, again} {
		part.Release()
		_, err := slice.ReadAt(b, 5)
		require.NoError(t, err)
		require.Equal(t, counting(55, 10), b)
	}
	slice.Release()
	_, err = slice.ReadAt(b, 0)
	require.ErrorIs(t, err, os.ErrClosed)
	require.ErrorIs(t, file.Close(), os.ErrClosed)
	var none *tempfile.Part
	require.Nil(t, none.Retain())
	require.Zero(t, none.Size())
	none.Release()
}

// What cannot be moved is gone, but the file that was there before is closed with the rest.
func TestWhatCannotBeWrittenLetsGoOfItsFiles(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	spilled := inFile(t, counting(10, 100))
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	c := log.NewContent(counting(0, 10), spilled, counting(110, 10))
	moved, written, err := c.Move(120)
	require.ErrorContains(t, err, "keep what a stream has yet to read: make a temporary file: ")
	require.Zero(t, written)
	_, err = moved.Window().At(0, 1)
	require.ErrorContains(t, err, "keep what a stream has yet to read: make a temporary file: ")
	_, err = moved.Window().At(15, 1)
	require.ErrorContains(t, err, "keep what a stream has yet to read: make a temporary file: ")
	requireWindow(t, c, 10, 110, 120) // a reader that has begun goes on
	moved.Release()
	_, err = spilled.ReadAt(make([]byte, 1), 0)
	require.ErrorIs(t, err, os.ErrClosed)
}
