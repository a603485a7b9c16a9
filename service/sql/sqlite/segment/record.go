package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a table that is never changed

// Place is a place in the write-ahead log of a database, as the header of its wal-index tells it:
// https://www.sqlite.org/walformat.html#the_wal_index_file_format. Salts and checksum name the content of the frames before it.
type Place struct {
	Salt1, Salt2 uint32
	// Frames is mxFrame, Changes iChange.
	Frames, Changes uint32
	Check1, Check2  uint32
}

func parsePlace(b []byte) Place {
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(b[4*i:]) }
	return Place{word(0), word(1), word(2), word(3), word(4), word(5)}
}

// sameLog reports whether both are in one write-ahead log.
func (p Place) sameLog(o Place) bool { return p.Salt1 == o.Salt1 && p.Salt2 == o.Salt2 }

// is reports whether both are the same place. An empty log has no checksum.
func (p Place) is(o Place) bool {
	return p.sameLog(o) && p.Frames == o.Frames && (p.Frames == 0 || p.Check1 == o.Check1 && p.Check2 == o.Check2)
}

// Record is one record of a segment file, see capture/segment.h.
type Record struct {
	Kind     capture.RecordKind
	Detail   uint32
	Sequence uint64
	// At is in Unix nanoseconds.
	At     int64
	Before Place
	// Offset is where the payload begins in the file, Length how long it is.
	Offset, Length int64
}

// isOwn reports whether the record is what its sequence stands for: others tell of one that is there already.
func (r *Record) isOwn() bool { return r.Kind == capture.SegmentCommit || r.Kind == capture.SegmentGap }

// next returns where the next record begins.
func (r *Record) next() int64 { return r.Offset + r.Length }

const recordHeader = capture.SegmentRecord

// errTorn means that there is no whole record at a place of a file.
var errTorn = errors.New("segment: no whole record")

// readHeader reads a record at an offset of a file that is valid up to end, but for its payload. It returns io.EOF at the end.
func readHeader(file io.ReaderAt, offset, end int64) (r Record, crc uint32, err error) {
	if offset == end {
		return r, 0, io.EOF
	}
	var b [recordHeader]byte
	if end-offset < recordHeader {
		return r, 0, errTorn
	}
	if _, err := file.ReadAt(b[:], offset); err != nil {
		return r, 0, fmt.Errorf("segment: read a record: %w", err)
	}
	r, crc, ok := parseHeader(b[:])
	r.Offset = offset + recordHeader
	if !ok || r.Length < 0 || r.Length > end-r.Offset {
		return r, 0, errTorn
	}
	return r, crc, nil
}

// nextWhole returns where the next whole record of a file begins, at an offset or behind it, and end if there is none. What is behind a
// damaged place may be anything, rows that hold a copy of a segment included: only a record that can follow the sequence newest counts.
func nextWhole(file io.ReaderAt, offset, end int64, newest uint64) (int64, error) {
	const chunk = 256 << 10
	begins := binary.LittleEndian.AppendUint32(nil, capture.SegmentMagic)
	for b := make([]byte, chunk); end-offset >= recordHeader; {
		b = b[:min(chunk, end-offset)]
		if _, err := file.ReadAt(b, offset); err != nil {
			return 0, fmt.Errorf("segment: read a record: %w", err)
		}
		i := bytes.Index(b, begins)
		if i < 0 {
			offset += int64(len(b) - len(begins) + 1)
			continue
		}
		offset += int64(i)
		r, crc, err := readHeader(file, offset, end)
		if err == nil && (r.Sequence < newest || r.Sequence == newest && r.isOwn()) {
			err = errTorn
		}
		if err == nil {
			err = check(file, &r, crc)
		}
		if !errors.Is(err, errTorn) {
			return offset, err
		}
		offset++
	}
	return end, nil
}

// parseHeader returns what a record begins with, and its checksum without the payload's share worked in.
func parseHeader(b []byte) (r Record, crc uint32, ok bool) {
	r = Record{
		Kind: capture.RecordKind(binary.LittleEndian.Uint32(b[8:])), Detail: binary.LittleEndian.Uint32(b[12:]),
		Length: int64(binary.LittleEndian.Uint64(b[16:])), Sequence: binary.LittleEndian.Uint64(b[24:]), //nolint:gosec // checked by the caller
		At: int64(binary.LittleEndian.Uint64(b[32:])), Before: parsePlace(b[40:]), //nolint:gosec // bits are kept
	}
	return r, binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b) == capture.SegmentMagic
}

// appendRecord appends a record with its payload to b.
func appendRecord(b []byte, r *Record, payload []byte) []byte {
	from := len(b)
	b = binary.LittleEndian.AppendUint32(b, capture.SegmentMagic)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(r.Kind))
	b = binary.LittleEndian.AppendUint32(b, r.Detail)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(payload)))
	b = binary.LittleEndian.AppendUint64(b, r.Sequence)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.At)) //nolint:gosec // bits are kept
	p := r.Before
	for _, v := range [...]uint32{p.Salt1, p.Salt2, p.Frames, p.Changes, p.Check1, p.Check2} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b[from+4:], checksum(b[from+8:]))
	return b
}

// check compares the checksum of a record with its bytes in the file.
func check(file io.ReaderAt, r *Record, crc uint32) error {
	const ahead = recordHeader - 8
	sum := crc32.New(castagnoli)
	section := io.NewSectionReader(file, r.Offset-ahead, ahead+r.Length)
	if _, err := io.Copy(sum, section); err != nil {
		return fmt.Errorf("segment: read a record: %w", err)
	}
	if sum.Sum32() != crc {
		return errTorn
	}
	return nil
}

// Slot is what a segment file says for certain.
type Slot struct {
	generation uint64
	// Sequence is the newest that is settled, Behind where the write-ahead log was then.
	Sequence uint64
	Behind   Place
	// Aborted says that the newest transaction was rolled back: a hint only.
	Aborted bool
	// Unwritten is how many of the newest sequences could not be written, Foreign how many commits of others were seen behind it that
	// are not in the file.
	Unwritten, Foreign uint32
}

// readSlot returns the newest slot of a header page, false if there is none, and whether there is one that is not whole.
func readSlot(page []byte) (newest Slot, ok, torn bool) {
	for i := range 2 {
		b := page[capture.SegmentSlot+i*capture.SegmentSlotStep:][:capture.SegmentSlotSize]
		const beforeCRC = capture.SegmentSlotSize - 4
		generation := binary.LittleEndian.Uint64(b)
		if crc32.Checksum(b[:beforeCRC], castagnoli) != binary.LittleEndian.Uint32(b[beforeCRC:]) {
			torn = torn || bytes.ContainsFunc(b, func(r rune) bool { return r != 0 })
			continue
		}
		if !ok || generation > newest.generation {
			newest, ok = Slot{
				generation: generation, Sequence: binary.LittleEndian.Uint64(b[8:]), Behind: parsePlace(b[16:]),
				Aborted: binary.LittleEndian.Uint32(b[40:]) == stateAborted, Unwritten: binary.LittleEndian.Uint32(b[44:]), Foreign: binary.LittleEndian.Uint32(b[48:]),
			}, true
		}
	}
	return newest, ok, torn
}

const stateAborted = 2

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
