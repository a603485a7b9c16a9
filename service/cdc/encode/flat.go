package encode

import (
	"slices"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// appendFlat appends the row as it is after the change, with the key if it is no part of it and the names of what was not
// sent, and null for a row that is gone. What happens to no row is written as in plain, under another name for the operation.
func appendFlat(dst []byte, c *api.Change) []byte {
	after := afterOf(c)
	switch {
	case c.Op == api.OpDelete:
		return append(dst, "null"...)
	case !after.exists:
		return appendPlain(dst, `{"`+opMember+`":`, c)
	}
	dst, anyMarked := after.append(append(dst, '{'))
	rowid, ok := rowidOf(c)
	if ok {
		dst, _ = appendValue(appendColumn(dst, c.Table.RowID), rowid)
	}
	dst = appendUnchanged(dst, unchangedMember, c)
	if anyMarked || marked(rowid) {
		dst = append(member(dst, typesMember), '{')
		dst = append(appendMark(after.appendMarks(dst), c.Table.RowID, rowid), '}')
	}
	return append(dst, '}')
}

// rowidOf returns the rowid that the row has after the change, if that is its key.
func rowidOf(c *api.Change) (sqlapi.Value, bool) {
	if c.Table.RowID == "" {
		return sqlapi.Value{}, false
	}
	var ofNames [widest]string
	var ofValues [widest]sqlapi.Value
	names, values := c.AppendNewKey(ofNames[:0], ofValues[:0])
	if len(names) == 0 {
		names, values = c.AppendKey(names, values)
	}
	isColumn := func(column sqlapi.Column) bool { return column.Name == names[0] }
	if len(names) != 1 || slices.ContainsFunc(c.Table.Columns, isColumn) {
		return sqlapi.Value{}, false
	}
	return values[0], true
}
