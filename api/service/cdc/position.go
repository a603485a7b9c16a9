package cdc

import (
	"cmp"
	"math"
	"strconv"

	"github.com/wippy-cdc/runtime/api/errs"
)

// Position is a place in the log of a source: behind the change of that index in the transaction of that sequence. The
// zero Position lies before everything.
type Position struct {
	Sequence uint64
	Index    int
}

// Behind returns the position behind a whole transaction.
func Behind(sequence uint64) Position { return Position{sequence, math.MaxInt32} }

// Positions within a snapshot have indexes from firstRow to lastRow: no transaction has so many changes.
const (
	firstRow = 1 << 30
	lastRow  = math.MaxInt32 - 1
)

// SnapshotOf returns the position at which the snapshot of what was committed up to a sequence begins. It lies behind
// all changes of that transaction; Behind it lies the end of the snapshot.
func SnapshotOf(sequence uint64) Position { return Position{sequence, firstRow} }

// InSnapshot reports whether the position lies within a snapshot, where no stream can begin.
func (p Position) InSnapshot() bool { return p.Index >= firstRow && p.Index <= lastRow }

// Whole returns the sequence up to which every transaction lies in front of the position in full.
func (p Position) Whole() uint64 {
	if p == Behind(p.Sequence) {
		return p.Sequence
	}
	return max(p.Sequence, 1) - 1
}

// Compare returns a negative number if p lies before o, a positive one if it lies behind o, and 0 if they are the same.
func (p Position) Compare(o Position) int {
	return cmp.Or(cmp.Compare(p.Sequence, o.Sequence), cmp.Compare(p.Index, o.Index))
}

// String returns sequence and index with a dot between them.
func (p Position) String() string {
	return strconv.FormatUint(p.Sequence, 10) + "." + strconv.Itoa(p.Index)
}

// The lengths of the parts of a cursor: its generation, '-', the sequence, '-', and the index, both hexadecimal.
const (
	sequenceDigits = 16
	indexDigits    = 8
	afterSequence  = 1 + indexDigits
	positionLength = 1 + sequenceDigits + afterSequence
)

// Cursor returns the position as users see it. Cursors of one generation compare as strings in the order of positions.
func (p Position) Cursor(generation string) string { return string(p.AppendCursor(nil, generation)) }

// AppendCursor appends the cursor to dst.
func (p Position) AppendCursor(dst []byte, generation string) []byte {
	dst = append(append(dst, generation...), '-')
	dst = append(appendHex(dst, p.Sequence, sequenceDigits), '-')
	return appendHex(dst, uint64(p.Index), indexDigits) //nolint:gosec // an index is never negative
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[v>>shift&0xf])
	}
	return dst
}

// ParseCursor returns the generation and the position of a cursor. The error is Invalid.
func ParseCursor(cursor string) (generation string, p Position, err error) {
	at := len(cursor) - positionLength
	if at >= 0 {
		index, badIndex := strconv.ParseUint(cursor[len(cursor)-indexDigits:], 16, 31)
		sequence, badSequence := strconv.ParseUint(cursor[at+1:len(cursor)-afterSequence], 16, 64)
		generation, p = cursor[:at], Position{sequence, int(index)}
		if badIndex == nil && badSequence == nil && p.Cursor(generation) == cursor {
			return generation, p, nil
		}
	}
	return "", Position{}, errs.New(errs.Invalid, "%q is no cursor: take the field cursor of a change as it is", cursor)
}
