package log

import "github.com/wippy-cdc/runtime/internal/tempfile"

// Front is what a record says before its entries.
type Front struct {
	Length, Spilled int64
	Sequence        uint64
	At              int64
	Touched, Head   int64
	Voids           bool
}

// EncodeFront returns a record up to its entries.
func EncodeFront(tx *Transaction) []byte { return appendFront(nil, tx) }

// DecodeFront decodes the header of a record, which is RecordHeader bytes.
func DecodeFront(b []byte) (Front, bool) {
	h, ok := parseHeader(b)
	return Front{h.length, h.spilled, h.sequence, h.at, h.touched, h.head, h.flags&hasVoid != 0}, ok
}

const (
	RecordHeader = recordHeader
	ChunkSize    = chunkSize
)

// Content is the content of a segment: a front in memory, and pieces, of bytes in memory or of files.
type Content struct{ content *content }

// NewContent returns the content of those parts. A piece is a []byte or a *tempfile.Part.
func NewContent(front []byte, pieces ...any) Content {
	c := &content{front: front}
	for _, p := range pieces {
		switch p := p.(type) {
		case []byte:
			c.behind = append(c.behind, piece{memory: p})
		case *tempfile.Part:
			c.behind = append(c.behind, piece{file: p})
		}
	}
	return Content{c}
}

// Move returns the content moved to files, and how many bytes were written.
func (c Content) Move(size int64) (Content, int64, error) {
	var files spool
	defer files.close()
	moved, written := c.content.moveTo(&files, size)
	return Content{moved}, written, moved.err
}

// Release lets go of the files.
func (c Content) Release() { c.content.release() }

// Window reads a content.
type Window struct{ window }

// Window returns a window on the content.
func (c Content) Window() *Window { return &Window{window{content: c.content}} }

// At returns n bytes at an offset.
func (w *Window) At(offset, n int64) ([]byte, error) { return w.at(offset, n) }

// InUse returns the memory that the segments of a log take.
func (l *Log) InUse() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inUse
}
