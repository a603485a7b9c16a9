package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"unsafe"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// The record format is described in capture/row.c.
const headerSize = 12

const (
	tagNull = iota
	tagInt8
	tagInt16
	tagInt32
	tagInt64
	tagReal
	tagText8
	tagText32
	tagBlob8
	tagBlob32
	tagSame
	tagAbsent
	tagDefault
)

// errCorrupt means that the records are not what the recorder writes.
var errCorrupt = errors.New("sqlite: captured records are corrupt")

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

// Decode reads a record of the table into change: what it says of the row, or of the table. Values are appended to
// Before and After, which are empty, and share memory with the record; a side that the operation does not have is set
// to nil.
func (s *Shape) Decode(record []byte, change *api.Change) error {
	op := capture.Op(record[4])
	if op < capture.OpInsert || op > capture.OpSchema {
		return errCorrupt
	}
	columns := int(binary.LittleEndian.Uint16(record[6:]))
	d := decoder{rest: record[headerSize:], shape: s}
	before, after := change.Before, change.After
	change.Before, change.After = nil, nil
	if op > capture.OpDelete {
		return d.schema(record[5], op, change)
	}
	if op != capture.OpInsert {
		change.OldRowID = d.int64()
	}
	if op != capture.OpDelete {
		change.NewRowID = d.int64()
	}
	if op != capture.OpInsert {
		change.Before = d.values(before, columns, nil)
	}
	if op != capture.OpDelete {
		change.After = d.values(after, columns, change.Before)
	}
	if d.failed != nil {
		return fmt.Errorf("sqlite: table %q: captured row: default: %w", s.table.Name, d.failed)
	}
	if d.bad || len(d.rest) > 0 {
		return errCorrupt
	}
	for _, image := range [2][]sqlapi.Value{change.Before, change.After} {
		if n := len(s.table.Columns); len(image) != n && len(image) > 0 {
			return fmt.Errorf("sqlite: table %q: a captured row has %d columns, the table %d", s.table.Name, len(image), n)
		}
	}
	makeReal(change.Before, s.reals)
	return nil
}

// schema reads the body of a truncate or schema record.
func (d *decoder) schema(action byte, op capture.Op, change *api.Change) error {
	if op == capture.OpSchema {
		text, from := d.value(d.uint(1)), d.value(d.uint(1))
		change.Schema = &api.SchemaChange{SQL: text.Bytes(), From: from.Bytes()}
		switch capture.Action(action) {
		case capture.Create:
			change.Schema.Action = api.Create
		case capture.Alter:
			change.Schema.Action = api.Alter
		case capture.Drop:
			change.Schema.Action = api.Drop
		default:
			d.bad = true
		}
	}
	if d.bad || len(d.rest) > 0 {
		return errCorrupt
	}
	return nil
}

// makeReal mends what SQLite gets wrong in old rows: a REAL column that was added by ALTER TABLE with an integer as its
// default shows the integer in rows that are older than the column.
func makeReal(row []sqlapi.Value, reals []int) {
	if len(row) == 0 {
		return
	}
	for _, i := range reals {
		if row[i].Type() == sqlapi.Integer {
			row[i] = sqlapi.RealValue(float64(row[i].Int64()))
		}
	}
}

// decoder takes values off the front of a record. After the first that is not whole, it is bad.
type decoder struct {
	rest  []byte
	shape *Shape
	bad   bool
	// failed is why the default of a column is not known.
	failed error
}

func (d *decoder) bytes(n uint64) []byte {
	if d.bad || n > uint64(len(d.rest)) {
		d.bad = true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) uint(n uint64) uint64 {
	b := d.bytes(n)
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.LittleEndian.Uint16(b))
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	case 8:
		return binary.LittleEndian.Uint64(b)
	default:
		return 0
	}
}

func (d *decoder) int64() int64 { return int64(d.uint(8)) } //nolint:gosec // the bits are an int64

// text returns the next n bytes as a string that shares their memory.
func (d *decoder) text(n uint64) string {
	b := d.bytes(n)
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // records are never written to again
}

// values appends the stored columns of one image to dst. before is the other image of an update.
func (d *decoder) values(dst []sqlapi.Value, columns int, before []sqlapi.Value) []sqlapi.Value {
	for range columns {
		switch tag := d.uint(1); tag {
		case tagAbsent:
		case tagSame:
			if len(dst) >= len(before) {
				d.bad = true
				return dst
			}
			dst = append(dst, before[len(dst)])
		case tagDefault:
			if len(dst) >= len(d.shape.table.Columns) {
				d.bad = true
				return dst
			}
			value, err := d.shape.defaultOf(len(dst))
			if err != nil {
				d.failed = err
			}
			dst = append(dst, value)
		default:
			dst = append(dst, d.value(tag))
		}
		if d.bad {
			return dst
		}
	}
	return dst
}

//nolint:gosec // the conversions give integers back the sign they had
func (d *decoder) value(tag uint64) sqlapi.Value {
	switch tag {
	case tagNull:
		return sqlapi.Value{}
	case tagInt8:
		return sqlapi.IntegerValue(int64(int8(d.uint(1))))
	case tagInt16:
		return sqlapi.IntegerValue(int64(int16(d.uint(2))))
	case tagInt32:
		return sqlapi.IntegerValue(int64(int32(d.uint(4))))
	case tagInt64:
		return sqlapi.IntegerValue(d.int64())
	case tagReal:
		return sqlapi.RealValue(math.Float64frombits(d.uint(8)))
	case tagText8:
		return sqlapi.TextValue(d.text(d.uint(1)))
	case tagText32:
		return sqlapi.TextValue(d.text(d.uint(4)))
	case tagBlob8:
		return sqlapi.BlobValue(d.text(d.uint(1)))
	case tagBlob32:
		return sqlapi.BlobValue(d.text(d.uint(4)))
	default:
		d.bad = true
		return sqlapi.Value{}
	}
}
