package encode

import (
	"slices"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// image is the old or the new row of a change.
type image struct {
	table  *sqlapi.Table
	values []sqlapi.Value
	// exists says whether there is such a row: of a table without columns, it has no values.
	exists bool
	// keyOnly and unsent say which values the server has not sent.
	keyOnly bool
	unsent  []int
}

func beforeOf(c *api.Change) image {
	return image{c.Table, c.Before, len(c.Before) > 0 || c.Op == api.OpDelete, c.KeyOnly, nil}
}

func afterOf(c *api.Change) image {
	exists := c.Op == api.OpInsert || c.Op == api.OpUpdate || c.Op == api.OpSnapshot
	return image{c.Table, c.After, exists, false, c.Unchanged}
}

// has reports whether the server has sent the value of a column.
func (i *image) has(column int) bool {
	if i.keyOnly {
		return slices.Contains(i.table.Key, column)
	}
	return !slices.Contains(i.unsent, column)
}

// append appends the members of the row, and reports whether any of them is marked.
func (i *image) append(dst []byte) (_ []byte, anyMarked bool) {
	whole := !i.keyOnly && len(i.unsent) == 0
	for column := range i.values {
		if whole || i.has(column) {
			var isMarked bool
			dst, isMarked = appendValue(appendColumn(dst, i.table.Columns[column].Name), i.values[column])
			anyMarked = anyMarked || isMarked
		}
	}
	return dst, anyMarked
}

// appendObject appends the row as an object, null if there is none.
func (i *image) appendObject(dst []byte) (_ []byte, anyMarked bool) {
	if !i.exists {
		return append(dst, "null"...), false
	}
	dst, anyMarked = i.append(append(dst, '{'))
	return append(dst, '}'), anyMarked
}

// appendMarks appends the types of the values that are marked, as members.
func (i *image) appendMarks(dst []byte) []byte {
	for column, v := range i.values {
		if i.has(column) {
			dst = appendMark(dst, i.table.Columns[column].Name, v)
		}
	}
	return dst
}

func appendMark(dst []byte, column string, v sqlapi.Value) []byte {
	if !marked(v) {
		return dst
	}
	return append(append(append(appendColumn(dst, column), '"'), v.Type().String()...), '"')
}

// widest is how many columns a key has that takes no memory of its own.
const widest = 6

// appendKey appends the members of a key, and reports whether any of them is marked, and whether there is one at all.
func appendKey(dst []byte, c *api.Change, newKey bool) (_ []byte, anyMarked, ok bool) {
	var ofNames [widest]string
	var ofValues [widest]sqlapi.Value
	names, values := keyIn(c, newKey, ofNames[:0], ofValues[:0])
	for n, v := range values {
		var isMarked bool
		dst, isMarked = appendValue(appendColumn(dst, names[n]), v)
		anyMarked = anyMarked || isMarked
	}
	return dst, anyMarked, len(names) > 0
}

// appendKeyMarks appends the types of the values of a key that are marked, as members.
func appendKeyMarks(dst []byte, c *api.Change, newKey bool) []byte {
	var ofNames [widest]string
	var ofValues [widest]sqlapi.Value
	names, values := keyIn(c, newKey, ofNames[:0], ofValues[:0])
	for n, v := range values {
		dst = appendMark(dst, names[n], v)
	}
	return dst
}

func keyIn(c *api.Change, newKey bool, names []string, values []sqlapi.Value) ([]string, []sqlapi.Value) {
	if newKey {
		return c.AppendNewKey(names, values)
	}
	return c.AppendKey(names, values)
}

// marks says which parts of a change have values that are marked.
type marks struct{ before, after, key, newKey bool }

// append appends the types of all values that are marked as a member, if there are any.
func (m marks) append(dst []byte, c *api.Change) []byte {
	if m == (marks{}) {
		return dst
	}
	dst = append(member(dst, "types"), '{')
	before, after := beforeOf(c), afterOf(c)
	if m.before {
		dst = append(before.appendMarks(append(member(dst, "before"), '{')), '}')
	}
	if m.after {
		dst = append(after.appendMarks(append(member(dst, "after"), '{')), '}')
	}
	if m.key {
		dst = append(appendKeyMarks(append(member(dst, "key"), '{'), c, false), '}')
	}
	if m.newKey {
		dst = append(appendKeyMarks(append(member(dst, "new_key"), '{'), c, true), '}')
	}
	return append(dst, '}')
}

// appendKeys appends both keys as members, as far as the change has them, and the names of the columns in after that
// the server has not sent.
func (m *marks) appendKeys(dst []byte, c *api.Change) []byte {
	for _, k := range [...]struct {
		name   string
		newKey bool
		marked *bool
	}{{"key", false, &m.key}, {"new_key", true, &m.newKey}} {
		at := len(dst)
		var ok bool
		if dst, *k.marked, ok = appendKey(append(member(dst, k.name), '{'), c, k.newKey); !ok {
			dst = dst[:at]
			continue
		}
		dst = append(dst, '}')
	}
	return appendUnchanged(dst, "unchanged", c)
}

// appendUnchanged appends the names of the columns that the server has not sent as a member, if there are any.
func appendUnchanged(dst []byte, name string, c *api.Change) []byte {
	if len(c.Unchanged) == 0 {
		return dst
	}
	dst = append(member(dst, name), '[')
	for _, column := range c.Unchanged {
		dst = appendName(comma(dst), c.Table.Columns[column].Name)
	}
	return append(dst, ']')
}
