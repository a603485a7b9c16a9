// Package tempfile keeps bytes in files without a name, which are gone when the last part of them is released or the program
// ends.
package tempfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// Create makes a file without a name.
func Create() (*os.File, error) {
	file, err := os.CreateTemp("", "wippy-cdc-*")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("unlink a temporary file: %w", err), file.Close())
	}
	return file, nil
}

// Part is some of the bytes of a file, which is closed when the last of its parts is released. Methods may be called from any
// goroutine; a nil Part is one of no bytes.
type Part struct {
	file       *shared
	from, size int64
}

// shared is a file with how many parts of it there are.
type shared struct {
	*os.File
	parts atomic.Int32
}

// NewPart returns a part of a file, which it takes over.
func NewPart(file *os.File, from, size int64) *Part {
	s := &shared{File: file}
	s.parts.Store(1)
	return &Part{file: s, from: from, size: size}
}

// Slice returns another part of the same file, which must be released as well; from counts from the beginning of the file.
func (p *Part) Slice(from, size int64) *Part {
	p.file.parts.Add(1)
	return &Part{file: p.file, from: from, size: size}
}

// Retain returns the same part again, which must be released as well.
func (p *Part) Retain() *Part {
	if p == nil {
		return nil
	}
	return p.Slice(p.from, p.size)
}

// Release lets go of the part. It is called once; a reader that comes later gets an error.
func (p *Part) Release() {
	if p != nil && p.file.parts.Add(-1) == 0 {
		_ = p.file.Close() // it has no name any more, and what was written is not needed
	}
}

// Size returns the length in bytes.
func (p *Part) Size() int64 {
	if p == nil {
		return 0
	}
	return p.size
}

// Append writes bytes behind the part, which grows by them. It is for a part that nothing follows, and one goroutine.
func (p *Part) Append(b []byte) error {
	if _, err := p.file.WriteAt(b, p.from+p.size); err != nil {
		return fmt.Errorf("write a temporary file: %w", err)
	}
	p.size += int64(len(b))
	return nil
}

// ReadAt implements io.ReaderAt. Less than asked for is an error that is not io.EOF.
func (p *Part) ReadAt(b []byte, offset int64) (int, error) {
	n, err := p.file.ReadAt(b, p.from+offset)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		err = fmt.Errorf("read a temporary file: %w", err)
	}
	return n, err
}
