package log

import (
	"encoding/binary"
	"errors"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/internal/tempfile"
)

// Code is an operation as entries carry it.
type Code uint8

// The operations; entries and summaries have no others.
const (
	Insert Code = iota + 1
	Update
	Delete
	Truncate
	Schema
	numCodes
)

// Op returns the operation as changes carry it, "" for a code that is not known.
func (c Code) Op() api.Op {
	switch c {
	case Insert:
		return api.OpInsert
	case Update:
		return api.OpUpdate
	case Delete:
		return api.OpDelete
	case Truncate:
		return api.OpTruncate
	case Schema:
		return api.OpSchema
	default:
		return ""
	}
}

// Codes is a set of operations, the bit 1<<code for each.
type Codes uint8

// Has reports whether c is in the set. Codes that are not known are in no set.
func (s Codes) Has(c Code) bool { return s>>c&1 != 0 }

// CodesOf returns the set of the operations that accept says yes to.
func CodesOf(accept func(api.Op) bool) (set Codes) {
	for c := Insert; c < numCodes; c++ {
		if accept(c.Op()) {
			set |= 1 << c
		}
	}
	return set
}

// Counts is a number of changes by Code: how many entries there are that are not void.
type Counts [numCodes]uint32

// Shape is a table as an engine needs it in order to decode entries. It is immutable and comparable.
type Shape interface {
	// Table returns what users see of the table.
	Table() *sqlapi.Table
}

// Touched is a line of a summary: a transaction may have made changes of these operations to this table. A summary may say
// too much, after a ROLLBACK TO for instance, but never too little.
type Touched struct {
	// ID is what entries call the table. Within a segment it stands for one shape; the log sees to that.
	ID    uint32
	Shape Shape
	Codes Codes
}

// Transaction is a committed transaction as an engine appends it. The log copies what it keeps, but for Spilled, which it takes
// over, and Entries that are Owned.
type Transaction struct {
	// Sequence is greater than that of the transaction before.
	Sequence uint64
	At       time.Time
	Touched  []Touched
	Counts   Counts
	// Head is the engine's own, and given back with the record.
	Head []byte
	// Spilled are the first entries if they have left memory, nil otherwise; Entries are the others.
	Spilled *tempfile.Part
	Entries []byte
	// Owned says that Entries may be kept as they are; otherwise they are copied.
	Owned bool
	// Voids says that entries may be void, see Options.Void; they do not count in Counts.
	Voids bool
}

// EntryHeader is the size of what every entry begins with, little-endian: its length (4 bytes), its Code (1), what the
// engine likes (3), the ID of its table (4).
const EntryHeader = 12

// EntryCode returns the operation of an entry.
func EntryCode(entry []byte) Code { return Code(entry[4]) }

// EntryTable returns the ID of the table of an entry.
func EntryTable(entry []byte) uint32 { return binary.LittleEndian.Uint32(entry[8:]) }

// A record, little-endian: its length without spilled entries (8 bytes), that of the spilled entries (8), sequence (8),
// commit time in Unix nanoseconds (8), how many tables were touched (4), length of the head (4), flags (4); for each table its
// ID (4) and Codes (4); the head; the entries.
const (
	recordHeader  = 44
	touchedLength = 8
	// hasVoid is the flag of a record that has entries that may not count.
	hasVoid = 1
)

// errCorrupt means that a record is not what Append writes.
var errCorrupt = errors.New("the kept records are corrupt")

// frontSize is the size of a record up to its entries.
func frontSize(tx *Transaction) int {
	return recordHeader + touchedLength*len(tx.Touched) + len(tx.Head)
}

// appendFront appends a record up to its entries.
func appendFront(b []byte, tx *Transaction) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(frontSize(tx)+len(tx.Entries))) //nolint:gosec // a length
	b = binary.LittleEndian.AppendUint64(b, uint64(tx.Spilled.Size()))             //nolint:gosec // a length
	b = binary.LittleEndian.AppendUint64(b, tx.Sequence)
	b = binary.LittleEndian.AppendUint64(b, uint64(tx.At.UnixNano()))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(tx.Touched))) //nolint:gosec // no schema has more tables
	b = binary.LittleEndian.AppendUint32(b, uint32(len(tx.Head)))    //nolint:gosec // heads are small
	flags := uint32(0)
	if tx.Voids {
		flags = hasVoid
	}
	b = binary.LittleEndian.AppendUint32(b, flags)
	for _, t := range tx.Touched {
		b = binary.LittleEndian.AppendUint32(b, t.ID)
		b = binary.LittleEndian.AppendUint32(b, uint32(t.Codes))
	}
	return append(b, tx.Head...)
}

// header is the first part of a record.
type header struct {
	length, spilled int64
	sequence        uint64
	at              int64
	touched, head   int64
	flags           uint32
}

func parseHeader(b []byte) (h header, ok bool) {
	h = header{
		length:   int64(binary.LittleEndian.Uint64(b)),     //nolint:gosec // checked below
		spilled:  int64(binary.LittleEndian.Uint64(b[8:])), //nolint:gosec // checked below
		sequence: binary.LittleEndian.Uint64(b[16:]),
		at:       int64(binary.LittleEndian.Uint64(b[24:])), //nolint:gosec // bits are kept
		touched:  int64(binary.LittleEndian.Uint32(b[32:])),
		head:     int64(binary.LittleEndian.Uint32(b[36:])),
		flags:    binary.LittleEndian.Uint32(b[40:]),
	}
	return h, h.spilled >= 0 && h.length >= h.front() && h.size() >= h.length
}

// front is the size of the record up to its entries, size that of all of it.
func (h *header) front() int64 { return recordHeader + touchedLength*h.touched + h.head }
func (h *header) size() int64  { return h.length + h.spilled }
