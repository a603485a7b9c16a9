// Package encode writes changes as JSON in the formats of api/service/cdc, which docs/formats.md describes. All of them
// hold every value exactly; see value.go for values and text.go for names.
package encode

import (
	"github.com/wippy-cdc/runtime/api/errs"
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
		return dst, errs.New(errs.Invalid, "encode: %q is no format: use one of %q", format, api.Formats())
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

// check reports what is wrong with a change, so that nothing is written that says something else.
func check(c *api.Change) error {
	var wrong string
	switch before, after := c.Before != nil, c.After != nil; c.Op {
	case api.OpInsert, api.OpSnapshot:
		if before || !after {
			wrong = "must have an after and no before"
		}
	case api.OpUpdate:
		if !after {
			wrong = "must have an after"
		}
	case api.OpDelete:
		if !before || after {
			wrong = "must have a before and no after"
		}
	case api.OpTruncate, api.OpSchema, api.OpBegin, api.OpEnd:
		if before || after {
			wrong = "must have no row"
		}
		if c.Op == api.OpSchema && c.Schema == nil {
			wrong = "must say what has happened to the table"
		}
	default:
		wrong = "is not known"
	}
	marker := c.Op == api.OpBegin || c.Op == api.OpEnd
	switch {
	case wrong != "":
	case c.Transaction == nil:
		wrong = "must have a transaction"
	case !marker && c.Table == nil:
		wrong = "must have a table"
	case c.Before != nil && len(c.Before) != len(c.Table.Columns), c.After != nil && len(c.After) != len(c.Table.Columns):
		wrong = "must have a value for each column of its table"
	default:
		return nil
	}
	return errs.New(errs.Internal, "encode: a change of op %q %s", c.Op, wrong)
}
