package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/wippy-cdc/runtime/api/unit"
)

// A record is what the server has sent of one change: its length, the slot of its relation in the transaction, the
// transaction or sub-transaction that has made it (0 if the transaction was sent as a whole), the operation and the
// tuples.
const recordHeader = 13

// arena holds the records of one transaction: first those in file, then those in memory.
type arena struct {
	memory  []byte
	file    *os.File
	spilled int64
}

func (a *arena) size() int64 { return a.spilled + int64(len(a.memory)) }

// add adds a record.
func (a *arena) add(slot, xid uint32, op byte, tuples []byte) {
	a.memory = binary.LittleEndian.AppendUint32(a.memory, uint32(recordHeader+len(tuples))) //nolint:gosec // a message is less than 1 GiB
	a.memory = binary.LittleEndian.AppendUint32(a.memory, slot)
	a.memory = binary.LittleEndian.AppendUint32(a.memory, xid)
	a.memory = append(append(a.memory, op), tuples...)
}

// spill moves what is in memory to a file that has no name and goes with its last reader.
func (a *arena) spill() error {
	if a.file == nil {
		file, err := os.CreateTemp("", "wippy-cdc-*")
		if err != nil {
			return fmt.Errorf("make a temporary file: %w", err)
		}
		if err := os.Remove(file.Name()); err != nil {
			return errors.Join(fmt.Errorf("unlink the temporary file: %w", err), file.Close())
		}
		a.file = file
	}
	n, err := a.file.Write(a.memory)
	a.spilled += int64(n)
	if err != nil {
		return fmt.Errorf("write a temporary file: %w", err)
	}
	a.memory = a.memory[:0]
	return nil
}

// drop forgets everything.
func (a *arena) drop() {
	if a.file != nil {
		_ = a.file.Close() // it has no name any more
	}
	*a = arena{}
}

// records reads an arena that is complete. The bytes it returns are never written to again.
type records struct {
	arena *arena
	// read is how much of the file was read, chunk what of it was not returned yet; memory is what is left of the memory.
	read   int64
	chunk  []byte
	memory []byte
}

// chunkSize is how much of a file is read at a time, unless a record is larger.
const chunkSize = int64(unit.MiB)

var errCorrupt = errors.New("the kept records are corrupt")

func (a *arena) records() records { return records{arena: a, memory: a.memory} }

// next returns the next record, io.EOF behind the last.
func (r *records) next() ([]byte, error) {
	for {
		if record, ok := cut(&r.chunk); ok {
			return record, nil
		}
		if r.read == r.arena.spilled {
			break
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	if len(r.chunk) > 0 {
		return nil, errCorrupt
	}
	if record, ok := cut(&r.memory); ok {
		return record, nil
	}
	if len(r.memory) > 0 {
		return nil, errCorrupt
	}
	return nil, io.EOF
}

// fill reads more of the file.
func (r *records) fill() error {
	want := chunkSize
	if len(r.chunk) >= 4 {
		want = max(want, int64(binary.LittleEndian.Uint32(r.chunk))-int64(len(r.chunk)))
	}
	n := min(want, r.arena.spilled-r.read)
	chunk := make([]byte, int64(len(r.chunk))+n)
	if _, err := r.arena.file.ReadAt(chunk[copy(chunk, r.chunk):], r.read); err != nil {
		return fmt.Errorf("read the temporary file: %w", err)
	}
	r.chunk = chunk
	r.read += n
	return nil
}

// cut takes the first record off b, if it is whole.
func cut(b *[]byte) ([]byte, bool) {
	if len(*b) < recordHeader {
		return nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(*b))
	if n < recordHeader || n > uint64(len(*b)) {
		return nil, false
	}
	record := (*b)[:n:n]
	*b = (*b)[n:]
	return record, true
}
