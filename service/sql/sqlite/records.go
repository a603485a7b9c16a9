package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// records walks the records of a transaction. The bytes it returns are never written to again, so that values can
// point into them.
type records struct {
	file   *capture.File
	memory []byte
	// chunk is the part of the file that was read and not returned yet.
	chunk []byte
}

// chunkSize is how much of a file is read at a time, unless a record is larger.
const chunkSize = 1 << 20

// errCorrupt means that the records are not what the recorder writes.
var errCorrupt = errors.New("sqlite: captured records are corrupt")

// next returns the next record, io.EOF behind the last.
func (r *records) next() ([]byte, error) {
	if r.file == nil {
		return cutRecord(&r.memory)
	}
	for {
		switch record, err := cutRecord(&r.chunk); {
		case err == nil:
			return record, nil
		case r.file.From == r.file.To:
			if len(r.chunk) > 0 {
				return nil, err
			}
			r.file = nil
			return cutRecord(&r.memory)
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more of the file, enough for the record that chunk begins with.
func (r *records) fill() error {
	want := chunkSize
	if len(r.chunk) >= 4 {
		want = max(want, int(binary.LittleEndian.Uint32(r.chunk))-len(r.chunk))
	}
	n := min(int64(want), r.file.To-r.file.From)
	chunk := make([]byte, int64(len(r.chunk))+n)
	_, err := r.file.ReadAt(chunk[copy(chunk, r.chunk):], r.file.From)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("sqlite: read captured records from the temporary file: %w", err)
	}
	r.chunk = chunk
	file := *r.file // the transaction's own must stay as it is
	file.From += n
	r.file = &file
	return nil
}

// cutRecord takes the first record off b. It returns io.EOF if b is empty and errCorrupt if the record is not whole.
func cutRecord(b *[]byte) ([]byte, error) {
	if len(*b) == 0 {
		return nil, io.EOF
	}
	if len(*b) < headerSize {
		return nil, errCorrupt
	}
	n := uint64(binary.LittleEndian.Uint32(*b))
	if n < headerSize || n > uint64(len(*b)) {
		return nil, errCorrupt
	}
	record := (*b)[:n:n]
	*b = (*b)[n:]
	return record, nil
}
