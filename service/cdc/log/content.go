package log

import (
	"fmt"
	"slices"

	"github.com/wippy-cdc/runtime/internal/tempfile"
)

// content is where the bytes of a segment are: front in memory, and behind it the others. Neither the front of a record nor
// an entry straddles two of these.
type content struct {
	front  []byte
	behind []piece
	// err is why the bytes are gone.
	err error
}

// piece is bytes in memory or in a file.
type piece struct {
	memory []byte
	file   *tempfile.Part
}

func (p *piece) size() int64 { return int64(len(p.memory)) + p.file.Size() }

// release lets go of the files.
func (c *content) release() {
	for _, p := range c.behind {
		p.file.Release()
	}
}

// window reads the content of a segment for one reader, so much of a file at a time.
type window struct {
	content *content
	// chunk is the bytes of a file that begin at the offset from in the segment.
	chunk []byte
	from  int64
}

// chunkSize is how much of a file is read at a time, unless more is needed at once.
const chunkSize = 256 << 10

// at returns n bytes at an offset in the segment. They are never written to again, so that values can point into them.
func (w *window) at(offset, n int64) ([]byte, error) {
	end := offset + n
	if end <= int64(len(w.content.front)) {
		return w.content.front[offset:end:end], nil
	}
	if offset >= w.from && end <= w.from+int64(len(w.chunk)) {
		return w.chunk[offset-w.from : end-w.from : end-w.from], nil
	}
	if w.content.err != nil {
		return nil, w.content.err
	}
	begin := int64(len(w.content.front))
	for i := range w.content.behind {
		p := &w.content.behind[i]
		if offset < begin+p.size() {
			return w.in(p, begin, offset, n)
		}
		begin += p.size()
	}
	return nil, errCorrupt
}

// in returns n bytes at an offset in the segment that lie in p, which begins at begin.
func (w *window) in(p *piece, begin, offset, n int64) ([]byte, error) {
	i := offset - begin
	if i < 0 || i+n > p.size() {
		return nil, errCorrupt
	}
	if p.file == nil {
		return p.memory[i : i+n : i+n], nil
	}
	chunk := make([]byte, min(max(n, chunkSize), p.file.Size()-i))
	if _, err := p.file.ReadAt(chunk, i); err != nil {
		return nil, err
	}
	w.chunk, w.from = chunk, offset
	return chunk[:n:n], nil
}

// moveTo returns the same bytes, size of them at all, with those that are in memory written to a file, and how many that are.
// What cannot be written is gone.
func (c *content) moveTo(files *spool, size int64) (moved *content, written int64) {
	moved = new(content)
	pieces := append([]piece{{memory: c.front[:min(int64(len(c.front)), size)]}}, c.behind...)
	for _, p := range pieces {
		if p.file == nil {
			file, err := files.write(p.memory)
			if err != nil {
				moved.releaseBut(c)
				gone := &content{err: fmt.Errorf("keep what a stream has yet to read: %w", err)}
				for _, p := range c.behind { // these are let go of later, with the segment
					gone.behind = append(gone.behind, piece{file: p.file})
				}
				return gone, written
			}
			written += int64(len(p.memory))
			p = piece{file: file}
		}
		moved.behind = append(moved.behind, p)
	}
	return moved, written
}

// releaseBut lets go of the files that are not those of other as well.
func (c *content) releaseBut(other *content) {
	for _, p := range c.behind {
		if !slices.ContainsFunc(other.behind, func(o piece) bool { return o.file == p.file }) {
			p.file.Release()
		}
	}
}
