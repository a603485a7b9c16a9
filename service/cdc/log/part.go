package log

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// Part is some of the bytes of a temporary file, which is closed when the last of its parts is released.
type Part struct {
	file       *sharedFile
	from, size int64
}

// sharedFile is a file with how many parts of it there are.
type sharedFile struct {
	*os.File
	parts atomic.Int32
}

// NewPart returns a part of a file, which it takes over.
func NewPart(file *os.File, from, size int64) *Part {
	shared := &sharedFile{File: file}
	shared.parts.Store(1)
	return &Part{file: shared, from: from, size: size}
}

// Slice returns another part of the same file, which must be released as well.
func (p *Part) Slice(from, size int64) *Part {
	p.file.parts.Add(1)
	return &Part{file: p.file, from: from, size: size}
}

// Retain returns the same part again, which must be released as well; nil for nil.
func (p *Part) Retain() *Part {
	if p == nil {
		return nil
	}
	return p.Slice(p.from, p.size)
}

// Release lets go of the part. It is called once; a reader that comes late gets an error. A nil part is none.
func (p *Part) Release() {
	if p != nil && p.file.parts.Add(-1) == 0 {
		_ = p.file.Close() // it has no name any more, and what was written is not needed
	}
}

// Size returns the length in bytes, 0 for nil.
func (p *Part) Size() int64 {
	if p == nil {
		return 0
	}
	return p.size
}

// NewTemporaryFile makes a file without a name, which is gone when it is closed.
func NewTemporaryFile() (*os.File, error) {
	file, err := os.CreateTemp("", "wippy-cdc-*")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("unlink a temporary file: %w", err), file.Close())
	}
	return file, nil
}

// spool is where segments go that leave memory. It is used by one goroutine.
type spool struct {
	// whole is the file that is being written, nil if there is none.
	whole *Part
}

// spoolSize is how large a file may become: it is given back when all that is in it was read.
const spoolSize = 64 << 20

// write writes the bytes of a segment and returns where they are.
func (s *spool) write(b []byte) (*Part, error) {
	if s.whole != nil && s.whole.size >= spoolSize {
		s.close()
	}
	if s.whole == nil {
		file, err := NewTemporaryFile()
		if err != nil {
			return nil, err
		}
		s.whole = NewPart(file, 0, 0)
	}
	if _, err := s.whole.file.WriteAt(b, s.whole.size); err != nil {
		return nil, fmt.Errorf("write a temporary file: %w", err)
	}
	part := s.whole.Slice(s.whole.size, int64(len(b)))
	s.whole.size += int64(len(b))
	return part, nil
}

// close lets go of the file. What was written stays until it is released.
func (s *spool) close() {
	s.whole.Release()
	s.whole = nil
}
