package encode

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// appendCloudEvent appends an event in structured JSON mode. See
// https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md.
func appendCloudEvent(dst []byte, c *api.Change) []byte {
	dst = append(appendEventID(append(dst, `{"specversion":"1.0","id":"`...), c), '"')
	dst = appendEventSource(member(dst, "source"), c.Transaction.Source)
	dst = append(append(append(member(dst, "type"), `"wippy.cdc.`...), c.Op...), '"')
	if c.Table != nil {
		dst = appendSubject(member(dst, "subject"), c)
	}
	dst = append(c.Transaction.CommittedAt.UTC().AppendFormat(append(member(dst, "time"), '"'), time.RFC3339Nano), '"')
	dst = append(dst, `,"datacontenttype":"application/json"`...)
	return append(appendDebezium(member(dst, "data"), c), '}')
}

// appendEventID appends what no other record has: the cursor, and for what belongs to a snapshot the name of that.
func appendEventID(dst []byte, c *api.Change) []byte {
	dst = c.AppendCursor(dst)
	if snapshot := c.Snapshot(); snapshot != "" {
		dst = append(append(dst, '/'), snapshot...)
	}
	return dst
}

// appendEventSource appends the source as a reference, in which all that is not ASCII is escaped.
func appendEventSource(dst []byte, id registry.ID) []byte {
	const hex = "0123456789ABCDEF"
	dst = append(dst, `"/wippy/`...)
	for n, part := range [...]string{id.Namespace, id.Name} {
		if n > 0 {
			dst = append(dst, ':')
		}
		for i := range len(part) {
			if b := part[i]; b < utf8.RuneSelf {
				dst = append(dst, b)
			} else {
				dst = append(dst, '%', hex[b>>4], hex[b&0xf])
			}
		}
	}
	return append(dst, '"')
}

// appendSubject appends schema.table. Attributes of events have no control characters and noncharacters, even escaped.
func appendSubject(dst []byte, c *api.Change) []byte {
	schema, table := c.Table.Schema, c.Table.Name
	if strings.ContainsFunc(schema, isForbidden) || strings.ContainsFunc(table, isForbidden) {
		return appendEncodedName(dst, schema+"."+table)
	}
	return appendQualified(dst, schema, table)
}

func isForbidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Noncharacter_Code_Point, r)
}
