package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// tuples takes values off the front of the tuples of a change. See
// https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-TUPLEDATA.
type tuples struct {
	rest []byte
	bad  bool
}

func (t *tuples) bytes(n int) []byte {
	if t.bad || n < 0 || n > len(t.rest) {
		t.bad = true
		return nil
	}
	b := t.rest[:n]
	t.rest = t.rest[n:]
	return b
}

func (t *tuples) byte() byte {
	if b := t.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// row appends the values of one tuple to dst. The indexes of values that were not sent are appended to unchanged.
func (t *tuples) row(forms []form, dst []sqlapi.Value, unchanged *[]int) ([]sqlapi.Value, error) {
	b := t.bytes(2)
	if b == nil || int(binary.BigEndian.Uint16(b)) != len(forms) {
		return dst, errCorrupt
	}
	for i, f := range forms {
		switch t.byte() {
		case 'n':
			dst = append(dst, sqlapi.Value{})
		case 'u':
			dst = append(dst, sqlapi.Value{})
			*unchanged = append(*unchanged, i)
		case 't':
			v, err := f.value(t.text())
			if err != nil {
				return dst, err
			}
			dst = append(dst, v)
		default:
			t.bad = true
		}
		if t.bad {
			return dst, errCorrupt
		}
	}
	return dst, nil
}

// text returns a string that shares the memory of the record.
func (t *tuples) text() string {
	n := t.bytes(4)
	if n == nil {
		return ""
	}
	b := t.bytes(int(binary.BigEndian.Uint32(n)))
	return unsafe.String(unsafe.SliceData(b), len(b)) //nolint:gosec // records are never written to again
}

// value returns the value of a text.
func (f form) value(text string) (sqlapi.Value, error) {
	switch f {
	case asBool:
		return sqlapi.BoolValue(text == "t"), nil
	case asInteger:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return sqlapi.IntegerValue(n), nil
		}
		return sqlapi.Value{}, fmt.Errorf("the server sent %q for an integer", text)
	case asReal:
		if x, err := strconv.ParseFloat(text, 64); err == nil {
			return sqlapi.RealValue(x), nil
		}
		return sqlapi.Value{}, fmt.Errorf("the server sent %q for a floating-point number", text)
	case asBlob:
		if len(text) < 2 || text[:2] != `\x` {
			return sqlapi.Value{}, errors.New("the server does not send bytea in hex")
		}
		b, err := hex.DecodeString(text[2:])
		if err != nil {
			return sqlapi.Value{}, fmt.Errorf("bytea: %w", err)
		}
		return sqlapi.BlobValue(string(b)), nil
	default:
		return sqlapi.TextValue(text), nil
	}
}
