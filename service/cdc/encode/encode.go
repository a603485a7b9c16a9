// Package encode writes changes as JSON in the formats of api/service/cdc, which docs/formats.md describes. All of them
// hold every value exactly; see value.go for values and text.go for names.
package encode

import (
	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Encoder implements api.Encoder. It has no state.
type Encoder struct{}

// New returns an encoder.
func New() Encoder { return Encoder{} }

var _ api.Encoder = Encoder{}

// AppendChange implements api.Encoder.
func (Encoder) AppendChange(dst []byte, format api.Format, c *api.Change) ([]byte, error) {
	if err := check(c); err != nil {
		return dst, err
	}
	switch format {
	case api.FormatJSON:
		return appendPlain(dst, `{"op":`, c), nil
	case api.FormatDebezium:
		return appendDebezium(dst, c), nil
	case api.FormatCloudEvents:
		return appendCloudEvent(dst, c), nil
	case api.FormatFlat:
		return appendFlat(dst, c), nil
	default:
		return dst, errs.New(errs.Invalid, "encode: %q is no format: use %s", format, registry.Or(api.Formats()))
	}
}

// AppendKey implements api.Encoder.
func (Encoder) AppendKey(dst []byte, c *api.Change, newKey bool) []byte {
	at := len(dst)
	dst, isMarked, ok := appendKey(append(dst, '{'), c, newKey)
	if !ok {
		return dst[:at]
	}
	if isMarked {
		dst = append(appendKeyMarks(append(member(dst, typesMember), '{'), c, newKey), '}')
	}
	return append(dst, '}')
}

// AppendName implements api.Encoder.
func (Encoder) AppendName(dst []byte, name string) []byte { return appendName(dst, name) }

// check reports what is wrong with a change, so that nothing is written that says something else.
func check(c *api.Change) error {
	wrong := problem(c)
	if wrong == "" {
		return nil
	}
	return errs.New(errs.Internal, "encode: a change of op %q %s", c.Op, wrong)
}

func problem(c *api.Change) string {
	before, after := len(c.Before), len(c.After)
	switch {
	case c.Transaction == nil:
		return "must have a transaction"
	case c.Op == api.OpBegin || c.Op == api.OpEnd:
		return needNone(before + after)
	case c.Table == nil:
		return "must have a table"
	}
	width := len(c.Table.Columns) // of a table without columns, rows are nil
	switch c.Op {
	case api.OpInsert, api.OpSnapshot:
		if before != 0 || after != width {
			return "must have an after with a value for each column, and no before"
		}
	case api.OpUpdate:
		if before != 0 && before != width || after != width {
			return "must have an after with a value for each column, and a before with one or none"
		}
	case api.OpDelete:
		if before != width || after != 0 {
			return "must have a before with a value for each column, and no after"
		}
	case api.OpTruncate:
		return needNone(before + after)
	case api.OpSchema:
		if c.Schema == nil {
			return "must say what has happened to the table"
		}
		return needNone(before + after)
	default:
		return "is not known"
	}
	return ""
}

func needNone(values int) string {
	if values > 0 {
		return "must have no row"
	}
	return ""
}
