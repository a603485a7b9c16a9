package cdc

import (
	"slices"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// identity is what tells a row from all others of its table.
type identity uint8

const (
	// byNothing is that of a change of no row, and of a row that the database cannot tell apart.
	byNothing identity = iota
	byKey
	// byRowID is that of a row of a table without a primary key, and of one with a NULL in its primary key: any number
	// of rows may have one there, see https://www.sqlite.org/lang_createtable.html#the_primary_key.
	byRowID
)

// Key returns the names and values that identify the row as it was before the change, or as it is if it was inserted or
// is of a snapshot. They are those of the primary key. On SQLite a row of a table without one, and one with a NULL in
// it, is identified by its rowid, under the name that Table.RowID gives. A change of no row has no key, and neither has
// a row that the database cannot tell apart: of a Postgres table without a primary key, or of a SQLite table with
// neither Table.Key nor Table.RowID.
func (c *Change) Key() ([]string, []sqlapi.Value) { return c.AppendKey(nil, nil) }

// NewKey returns what identifies the row after an update that has changed it, in the same form as Key. All other
// changes have none.
func (c *Change) NewKey() ([]string, []sqlapi.Value) { return c.AppendNewKey(nil, nil) }

// AppendKey appends what Key returns.
func (c *Change) AppendKey(names []string, values []sqlapi.Value) ([]string, []sqlapi.Value) {
	return c.appendKey(names, values, c.Before == nil)
}

// AppendNewKey appends what NewKey returns.
func (c *Change) AppendNewKey(names []string, values []sqlapi.Value) ([]string, []sqlapi.Value) {
	if !c.keyHasChanged() {
		return names, values
	}
	return c.appendKey(names, values, true)
}

func (c *Change) appendKey(names []string, values []sqlapi.Value, after bool) ([]string, []sqlapi.Value) {
	switch c.identity(after) {
	case byKey:
		for _, column := range c.Table.Key {
			names = append(names, c.Table.Columns[column].Name)
			values = append(values, c.value(column, after))
		}
	case byRowID:
		rowid := c.OldRowID
		if after {
			rowid = c.NewRowID
		}
		names, values = append(names, c.Table.RowID), append(values, sqlapi.IntegerValue(rowid))
	case byNothing:
	}
	return names, values
}

func (c *Change) identity(after bool) identity {
	if c.Before == nil && c.After == nil {
		return byNothing
	}
	isNull := func(column int) bool { return c.value(column, after).IsNull() }
	switch {
	case len(c.Table.Key) > 0 && !slices.ContainsFunc(c.Table.Key, isNull):
		return byKey
	case c.Table.RowID != "":
		return byRowID
	default:
		return byNothing
	}
}

func (c *Change) keyHasChanged() bool {
	if c.Before == nil || c.After == nil {
		return false
	}
	now := c.identity(true)
	if now != c.identity(false) {
		return true
	}
	return now == byRowID && c.OldRowID != c.NewRowID ||
		now == byKey && slices.ContainsFunc(c.Table.Key, func(column int) bool { return c.value(column, true) != c.value(column, false) })
}

// value returns the value of a column in one of the images. After an update, what the server did not send is as it was.
func (c *Change) value(column int, after bool) sqlapi.Value {
	if after && (c.Before == nil || !slices.Contains(c.Unchanged, column)) {
		return c.After[column]
	}
	return c.Before[column]
}
