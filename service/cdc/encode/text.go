package encode

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// plain returns how many bytes s begins with that are written as they are: ASCII that needs no escaping.
func plain(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return i
		}
	}
	return len(s)
}

// appendText appends a JSON string, if s is valid UTF-8. Otherwise it appends nothing and returns false.
func appendText(dst []byte, s string) (_ []byte, ok bool) {
	n := plain(s)
	if n == len(s) {
		return append(append(append(dst, '"'), s...), '"'), true
	}
	if !utf8.ValidString(s[n:]) {
		return dst, false
	}
	return appendEscaped(append(append(dst, '"'), s[:n]...), s[n:]), true
}

// appendEscaped appends what is left of a string that has begun.
func appendEscaped(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
	}
	return append(append(dst, s[start:]...), '"')
}

// appendBase64 appends what is left of a string that has begun.
func appendBase64(dst []byte, s string) []byte {
	b := unsafe.Slice(unsafe.StringData(s), len(s)) //nolint:gosec // it is only read
	return append(base64.StdEncoding.AppendEncode(dst, b), '"')
}

// A name that JSON cannot hold is written as this and its base64 form. So is one that begins with it, so that no two
// names are written alike.
const base64Prefix = "base64:"

// appendName appends the name of a column, table or schema, or another text that need not be valid UTF-8.
func appendName(dst []byte, name string) []byte {
	if !strings.HasPrefix(name, base64Prefix) {
		if dst, ok := appendText(dst, name); ok {
			return dst
		}
	}
	return appendEncodedName(dst, name)
}

func appendEncodedName(dst []byte, name string) []byte {
	return appendBase64(append(append(dst, '"'), base64Prefix...), name)
}

// The members of our own in objects that have columns, of flat and of keys, and that by which lines of HTTP tell their
// own events from changes.
const (
	opMember        = "$op"
	typesMember     = "$types"
	unchangedMember = "$unchanged"
	eventMember     = "$event"
)

// appendColumn begins a member that is named like a column.
func appendColumn(dst []byte, name string) []byte {
	dst = comma(dst)
	switch name {
	case opMember, typesMember, unchangedMember, eventMember:
		dst = appendEncodedName(dst, name)
	default:
		dst = appendName(dst, name)
	}
	return append(dst, ':')
}

// appendQualified appends schema.table as one name.
func appendQualified(dst []byte, schema, table string) []byte {
	if plain(schema) == len(schema) && plain(table) == len(table) && !strings.HasPrefix(schema, base64Prefix) {
		dst = append(append(append(dst, '"'), schema...), '.')
		return append(append(dst, table...), '"')
	}
	return appendName(dst, schema+"."+table)
}

// comma appends a comma, unless nothing stands before it in the object or list.
func comma(dst []byte) []byte {
	if last := dst[len(dst)-1]; last == '{' || last == '[' {
		return dst
	}
	return append(dst, ',')
}

// member begins a member whose name needs no escaping.
func member(dst []byte, name string) []byte {
	return append(append(append(comma(dst), '"'), name...), '"', ':')
}
