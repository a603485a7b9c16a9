package cdc

// Format names a form in which changes are encoded.
type Format string

// The formats. What each of them writes is told in docs/formats.md.
const (
	// FormatJSON is one plain JSON object with the names that Lua scripts know.
	FormatJSON Format = "json"
	// FormatDebezium is the envelope of Debezium, as JSON without a schema.
	FormatDebezium Format = "debezium"
	// FormatCloudEvents is a CloudEvent in structured JSON mode, whose data is that of FormatDebezium.
	FormatCloudEvents Format = "cloudevents"
	// FormatFlat is the row as it is afterwards with its key, null for a row that is gone.
	FormatFlat Format = "flat"
)

// Formats returns the formats that an Encoder knows.
func Formats() []Format { return []Format{FormatJSON, FormatDebezium, FormatCloudEvents, FormatFlat} }

// Encoder writes changes down for readers outside the program. Methods may be called from any goroutine, and keep
// nothing of a change.
type Encoder interface {
	// AppendChange appends an encoded change to dst, without a line feed at its end or in it. Every value is exact: what JSON
	// cannot hold is written as a string and marked with its type. The error is Invalid for an unknown format, and
	// Internal for a change that no source delivers; then dst is returned as it was.
	AppendChange(dst []byte, format Format, c *Change) ([]byte, error)
	// AppendKey appends what Change.Key returns or, if newKey is true, what Change.NewKey returns; nothing if the change
	// has no such key. Two keys of one table are equal if and only if their bytes are.
	AppendKey(dst []byte, c *Change, newKey bool) []byte
	// AppendName appends the name of a table or a schema as a JSON string. No two names are written alike, whatever bytes
	// they have.
	AppendName(dst []byte, name string) []byte
}

// AppendEnvelope appends a row that was encoded in FormatFlat, with what it does not say itself: the members cursor, op, schema,
// table, key and row, and new_key after an update that has changed the key.
func AppendEnvelope(dst []byte, e Encoder, cursor string, c *Change, row []byte) []byte {
	dst = append(dst, `{"cursor":"`+cursor+`","op":"`+string(c.Op)+`"`...)
	if c.Table != nil {
		dst = e.AppendName(append(dst, `,"schema":`...), c.Table.Schema)
		dst = e.AppendName(append(dst, `,"table":`...), c.Table.Name)
	}
	dst = append(dst, `,"key":`...)
	start := len(dst)
	if dst = e.AppendKey(dst, c, false); len(dst) == start {
		dst = append(dst, "null"...)
	}
	if newKey := e.AppendKey(nil, c, true); len(newKey) > 0 {
		dst = append(append(dst, `,"new_key":`...), newKey...)
	}
	return append(append(append(dst, `,"row":`...), row...), '}')
}
