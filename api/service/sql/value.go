package sql

import (
	"math"
	"strconv"
)

// Type is the storage type of a Value. See https://www.sqlite.org/datatype3.html.
type Type uint8

// The types of values. Bool appears on Postgres only.
const (
	Null Type = iota
	Integer
	Real
	Text
	Blob
	Bool
)

// String returns the lower-case name that SQLite's typeof() gives.
func (t Type) String() string {
	switch t {
	case Null:
		return "null"
	case Integer:
		return "integer"
	case Real:
		return "real"
	case Text:
		return "text"
	case Blob:
		return "blob"
	case Bool:
		return "bool"
	default:
		return "Type(" + strconv.Itoa(int(t)) + ")"
	}
}

// Value is one column value, exactly as it is stored. The zero Value is NULL. Values are immutable and may be
// read from any goroutine. The bytes of a Text or Blob share memory with the transaction they came with:
// strings.Clone them to keep a few of many.
type Value struct {
	str  string
	num  uint64
	kind Type
}

// IntegerValue returns an Integer.
func IntegerValue(v int64) Value { return Value{kind: Integer, num: uint64(v)} } //nolint:gosec // bits are kept

// RealValue returns a Real.
func RealValue(v float64) Value { return Value{kind: Real, num: math.Float64bits(v)} }

// TextValue returns a Text of exactly the bytes of v, which need not be valid UTF-8.
func TextValue(v string) Value { return Value{kind: Text, str: v} }

// BlobValue returns a Blob of exactly the bytes of v.
func BlobValue(v string) Value { return Value{kind: Blob, str: v} }

// BoolValue returns a Bool.
func BoolValue(v bool) Value {
	if v {
		return Value{kind: Bool, num: 1}
	}
	return Value{kind: Bool}
}

// Type returns the storage type.
func (v Value) Type() Type { return v.kind }

// IsNull reports whether v is NULL.
func (v Value) IsNull() bool { return v.kind == Null }

// Int64 returns the value of an Integer, 0 for other types.
func (v Value) Int64() int64 {
	if v.kind != Integer {
		return 0
	}
	return int64(v.num) //nolint:gosec // bits are kept
}

// Float64 returns the value of a Real, 0 for other types.
func (v Value) Float64() float64 {
	if v.kind != Real {
		return 0
	}
	return math.Float64frombits(v.num)
}

// Bytes returns the bytes of a Text or Blob, "" for other types.
func (v Value) Bytes() string { return v.str }

// Bool returns the value of a Bool, false for other types.
func (v Value) Bool() bool { return v.kind == Bool && v.num == 1 }

// Any returns v as nil, int64, float64, string (Text), []byte (a copy, Blob) or bool.
func (v Value) Any() any {
	switch v.kind {
	case Integer:
		return v.Int64()
	case Real:
		return v.Float64()
	case Text:
		return v.str
	case Blob:
		return []byte(v.str)
	case Bool:
		return v.Bool()
	case Null:
		return nil
	default:
		return nil
	}
}
