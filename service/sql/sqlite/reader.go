package sqlite

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

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

// verdict remembers for one table which operations the filter was asked about and which it accepts, a bit each.
type verdict struct{ asked, accepted uint8 }

// reader decodes the records of a transaction. It implements sql.RowReader.
type reader struct {
	records  records
	shapes   []*shape
	filter   sqlapi.RowFilter
	verdicts []verdict
	index    int
	passed   sqlapi.Tally
}

// Next implements sql.RowReader.
func (r *reader) Next(row *sqlapi.RowChange) error {
	for {
		record, err := r.records.next()
		if err != nil {
			return err
		}
		index := r.index
		r.index++
		op, slot, ok := headOf(record, len(r.shapes))
		if !ok {
			return errCorrupt
		}
		r.passed[op]++
		if !r.accepts(slot, op) {
			continue
		}
		row.Op, row.Table, row.Index = op, r.shapes[slot].table, index
		return decode(record, row, r.shapes[slot])
	}
}

// headOf returns the operation and the table of a record. It is false if there is no such operation or table.
func headOf(record []byte, tables int) (op sqlapi.Op, slot uint32, ok bool) {
	op, slot = sqlapi.Op(record[4]), binary.LittleEndian.Uint32(record[8:])
	return op, slot, op >= sqlapi.Insert && op <= sqlapi.Schema && int64(slot) < int64(tables)
}

// Passed implements sql.RowReader.
func (r *reader) Passed() sqlapi.Tally { return r.passed }

// Close implements sql.RowReader.
func (r *reader) Close() { r.records = records{} }

func (r *reader) accepts(slot uint32, op sqlapi.Op) bool {
	s := r.shapes[slot]
	if s == nil || r.filter == nil {
		return s != nil
	}
	v := &r.verdicts[slot]
	bit := uint8(1) << op
	if v.asked&bit == 0 {
		v.asked |= bit
		if r.filter(s.table, op) {
			v.accepted |= bit
		}
	}
	return v.accepted&bit != 0
}

// decode reads the body of a record whose operation and table are known.
func decode(record []byte, row *sqlapi.RowChange, of *shape) error {
	columns := int(binary.LittleEndian.Uint16(record[6:]))
	d := decoder{rest: record[headerSize:], shape: of}
	row.OldRowID, row.NewRowID, row.Reshape = 0, 0, nil
	row.Before, row.After = row.Before[:0], row.After[:0]
	if row.Op > sqlapi.Delete {
		return d.reshape(record[5], row)
	}
	if row.Op != sqlapi.Insert {
		row.OldRowID = d.int64()
	}
	if row.Op != sqlapi.Delete {
		row.NewRowID = d.int64()
	}
	if row.Op != sqlapi.Insert {
		row.Before = d.values(row.Before, columns, nil)
	}
	if row.Op != sqlapi.Delete {
		row.After = d.values(row.After, columns, row.Before)
	}
	if d.failed != nil {
		return fmt.Errorf("sqlite: table %q: captured row: default: %w", row.Table.Name, d.failed)
	}
	if d.bad || len(d.rest) > 0 {
		return errCorrupt
	}
	for _, image := range [2][]sqlapi.Value{row.Before, row.After} {
		if n := len(row.Table.Columns); len(image) != n && len(image) > 0 {
			return fmt.Errorf("sqlite: table %q: a captured row has %d columns, the table %d", row.Table.Name, len(image), n)
		}
	}
	if row.Op != sqlapi.Insert {
		makeReal(row.Before, of.reals)
	}
	return nil
}

// reshape reads the body of a truncate or schema record.
func (d *decoder) reshape(action byte, row *sqlapi.RowChange) error {
	if row.Op == sqlapi.Schema {
		text, from := d.value(d.uint(1)), d.value(d.uint(1))
		row.Reshape = &sqlapi.Reshape{SQL: text.Bytes(), From: from.Bytes()}
		switch capture.Action(action) {
		case capture.Create:
			row.Reshape.Action = sqlapi.Create
		case capture.Alter:
			row.Reshape.Action = sqlapi.Alter
		case capture.Drop:
			row.Reshape.Action = sqlapi.Drop
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
	for _, i := range reals {
		if row[i].Type() == sqlapi.Integer {
			row[i] = sqlapi.RealValue(float64(row[i].Int64()))
		}
	}
}

// decoder takes values off the front of a record. After the first that is not whole, it is bad.
type decoder struct {
	rest  []byte
	shape *shape
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
