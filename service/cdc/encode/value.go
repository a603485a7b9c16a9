package encode

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// maxExact is the largest magnitude up to which every integer is a double of its own, which is what most readers of
// JSON take numbers for.
const maxExact = 1 << 53

// marked reports whether v is written as a string that stands for something else: then its type is told beside it. A
// string without a mark is TEXT, a number with a fraction or an exponent is REAL, any other is INTEGER.
func marked(v sqlapi.Value) bool {
	switch v.Type() {
	case sqlapi.Integer:
		n := v.Int64()
		return n > maxExact || n < -maxExact
	case sqlapi.Real:
		f := v.Float64()
		return math.IsInf(f, 0) || math.IsNaN(f)
	case sqlapi.Text:
		return !utf8.ValidString(v.Bytes())
	case sqlapi.Blob:
		return true
	case sqlapi.Null, sqlapi.Bool:
		return false
	default:
		return false
	}
}

// appendValue appends v, and returns what marked does.
func appendValue(dst []byte, v sqlapi.Value) (_ []byte, isMarked bool) {
	switch v.Type() {
	case sqlapi.Integer:
		if marked(v) {
			return append(strconv.AppendInt(append(dst, '"'), v.Int64(), 10), '"'), true
		}
		return strconv.AppendInt(dst, v.Int64(), 10), false
	case sqlapi.Real:
		return appendReal(dst, v.Float64()), marked(v)
	case sqlapi.Text:
		dst, ok := appendText(dst, v.Bytes())
		if !ok {
			dst = appendBase64(append(dst, '"'), v.Bytes())
		}
		return dst, !ok
	case sqlapi.Blob:
		return appendBase64(append(dst, '"'), v.Bytes()), true
	case sqlapi.Bool:
		return strconv.AppendBool(dst, v.Bool()), false
	case sqlapi.Null:
		return append(dst, "null"...), false
	default:
		return append(dst, "null"...), false
	}
}

// appendReal appends the shortest number that is f, always with a fraction or an exponent.
func appendReal(dst []byte, f float64) []byte {
	const smallest, largest = 1e-6, 1e21 // outside of them there would be too many zeros
	switch {
	case math.IsNaN(f):
		return append(dst, `"nan"`...)
	case math.IsInf(f, 1):
		return append(dst, `"inf"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-inf"`...)
	}
	if a := math.Abs(f); f != 0 && (a < smallest || a >= largest) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if bytes.IndexByte(dst[at:], '.') < 0 {
		dst = append(dst, '.', '0')
	}
	return dst
}
