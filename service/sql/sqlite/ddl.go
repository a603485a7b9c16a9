package sqlite

import (
	"database/sql/driver"
	"maps"
	"slices"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// No hook tells of schema changes, nor of the rows that CREATE TABLE … AS inserts and DROP TABLE removes. So the
// tables of the schema are compared before and after each statement that may change them, and what differs is
// recorded as a part of the statement's transaction, where a savepoint undoes it like everything else.

// catalog is the ordinary tables of the main schema, as they were at one schema version.
type catalog struct {
	// known is false if it was not read yet, could not be, or may be wrong.
	known   bool
	version int64
	tables  map[string]definition
}

// definition is a row of https://www.sqlite.org/schematab.html.
type definition struct {
	root int64
	sql  string
}

func (c *catalog) forget() { c.known = false }

// read brings the catalog up to date and reports whether it had changed. One that cannot be read is not known.
func (c *catalog) read(conn *sqlite3.SQLiteConn) (changed bool) {
	return c.readIfChanged(conn, schemaVersion(conn))
}

// readIfChanged is read for a caller who has the version.
func (c *catalog) readIfChanged(conn *sqlite3.SQLiteConn, version int64) (changed bool) {
	if c.known && version == c.version {
		return false
	}
	tables := map[string]definition{}
	err := eachRow(conn, "SELECT name, rootpage, sql FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0",
		func(row []driver.Value) {
			name, _ := row[0].(string)
			root, _ := row[1].(int64)
			text, _ := row[2].(string)
			tables[name] = definition{root: root, sql: text}
		})
	c.version, c.tables, c.known = version, tables, version != unknownVersion && err == nil
	return true
}

// beforeReshape remembers the schema as it is before a statement that may change it. DROP TABLE may delete rows one by
// one, and then there is no table left to resolve, so all are resolved before; likewise a table that is renamed to a name
// that is not captured.
//
// If another connection has changed the schema, that must be noticed now, too: afterwards a table that the statement
// drops could not be resolved any more. Within a transaction no other connection can have done so, and records refer to
// tables as they were.
func (f *follower) beforeReshape(what class) {
	if f.readable() || !f.catalog.known {
		f.catalog.read(f.inner)
	}
	if f.stepped = unknownVersion; f.state.Idle() {
		f.stepped = f.catalog.version
		f.shapes.checkVersion(f.stepped)
	}
	if what != drops && f.all {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(f.catalog.tables)) {
		if f.recorder.Wants(name) {
			f.recorder.SlotOf(name)
		}
	}
	_ = f.shapes.resolve(f.inner, f.recorder) // a table that cannot be read now is found out when a row needs it
}

// recordReshape records what the last statement has changed in the schema.
func (f *follower) recordReshape() {
	before, known := f.catalog.tables, f.catalog.known
	if !f.catalog.read(f.inner) || !f.recorder.Holds() {
		return
	}
	if !known || !f.catalog.known {
		f.recorder.Lose()
		return
	}
	after := f.catalog.tables
	former := map[int64]string{}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, stays := after[name]; stays {
			continue
		}
		renamed := nameOf(after, before[name].root)
		if renamed == "" || has(before, renamed) || !f.recorder.Wants(renamed) {
			f.recordDrop(name)
		} else if f.recorder.Wants(name) {
			former[before[name].root] = name
		}
	}
	f.forget()
	for _, name := range slices.Sorted(maps.Keys(after)) {
		from := former[after[name].root]
		old, existed := before[name]
		switch {
		case existed && old.sql == after[name].sql:
		case existed || from != "":
			f.recordShape(name, capture.Alter, after[name].sql, from)
		default:
			f.recordShape(name, capture.Create, after[name].sql, "")
		}
	}
}

func has(tables map[string]definition, name string) bool {
	_, ok := tables[name]
	return ok
}

func nameOf(tables map[string]definition, root int64) string {
	for name, d := range tables {
		if d.root == root {
			return name
		}
	}
	return ""
}

func (f *follower) recordDrop(name string) {
	slot, wanted := f.recorder.SlotOf(name)
	if !wanted || slot >= f.shapes.known() || f.shapes.bySlot[slot] == nil {
		return
	}
	f.recorder.Truncate(slot)
	f.recorder.Schema(slot, capture.Drop, "", "")
}

func (f *follower) recordShape(name string, action capture.Action, text, from string) {
	slot, wanted := f.recorder.SlotOf(name)
	if err := f.shapes.resolve(f.inner, f.recorder); err != nil || !wanted || f.shapes.bySlot[slot] == nil {
		return // a shadow table, or one that cannot be read; a row of it would be reported as lost
	}
	f.recorder.Schema(slot, action, text, from)
	table := f.shapes.bySlot[slot].table
	if action == capture.Create {
		if err := f.recorder.Rows(slot, selectRows(table)); err != nil {
			f.recorder.Lose()
		}
	}
}
