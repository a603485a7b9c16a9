package sqlite

import (
	"database/sql/driver"
	"errors"
	"maps"
	"slices"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// No hook tells of schema changes, nor of the rows that CREATE TABLE … AS inserts and DROP TABLE removes. So the
// tables of the schema are compared before and after each statement that may change them, and what differs is
// recorded as a part of the statement's transaction, where a savepoint undoes it like everything else.

// Statements that add tables or drop them, in programs that do so thousands of times, must not cost what reading the whole
// schema costs: there only what can have changed is looked at.

// beforeReshape remembers the schema as it is before a statement that may change it. DROP TABLE may delete rows one by
// one, and then there is no table left to resolve, so it is resolved before; likewise a table that is renamed to a name
// that is not captured.
//
// If another connection has changed the schema, that must be noticed now, too: afterwards a table that the statement
// drops could not be resolved any more. Within a transaction no other connection can have done so, and records refer to
// tables as they were.
func (f *follower) beforeReshape(what class) {
	switch {
	case !f.catalog.known:
		f.catalog.read(f.inner)
	case what == creates || !f.readable():
	case what == drops && f.catalog.unsure:
		version := schemaVersion(f.inner) // which also looks whether another connection has committed
		if f.recorder.Foreign() {
			f.catalog.readIfChanged(f.inner, version)
		}
		f.catalog.version, f.catalog.unsure = version, version == unknownVersion
	default:
		f.catalog.read(f.inner)
	}
	if f.stepped = unknownVersion; f.state.Idle() {
		f.stepped = f.catalog.version
		f.shapes.checkVersion(f.stepped)
	}
	if what == creates || what != drops && f.all {
		return
	}
	for _, name := range f.atStake() {
		if f.recorder.Wants(name) {
			f.recorder.SlotOf(name)
		}
	}
	_ = f.resolve() // a table that cannot be read now is found out when a row needs it
}

// atStake returns the tables that the statement may drop or rename: those that it mentions, or all if it changes the
// schema by hand, or drops a virtual table.
func (f *follower) atStake() []string {
	tables, virtual := f.catalog.mentioned(f.text)
	if virtual || f.byHand || f.text == "" {
		return slices.Sorted(maps.Keys(f.catalog.tables))
	}
	return tables
}

// recordReshape records what the last statement has changed in the schema.
func (f *follower) recordReshape(what class) {
	isExact := f.catalog.known && !f.external && !f.byHand && f.text != "" && !f.recorder.Foreign()
	switch {
	case isExact && what == creates:
		f.recordCreated()
	case isExact && what == drops:
		f.recordDropped()
	default:
		f.recordDifference(what)
	}
	f.text = ""
}

// recordCreated records the table that the statement has created, if it has. No other connection has changed the schema.
func (f *follower) recordCreated() {
	c := creationOf(f.text)
	folded := lower(c.name)
	_, wasVirtual := f.catalog.virtuals[folded]
	switch {
	case c.virtual || wasVirtual || f.catalog.views[folded]:
		f.recordDifference(creates)
		return
	case c.name == "" || f.catalog.find(c.name) != "" || !f.recorder.Holds():
		return
	}
	isQuery := c.sql == ""
	if isQuery {
		var err error
		if c.sql, err = sqlOf(f.inner, c.name); err != nil {
			f.recorder.Lose()
			f.catalog.forget()
		}
	}
	if c.sql == "" {
		return
	}
	f.catalog.add(c.name, definition{sql: c.sql})
	found, err := f.shapes.read(f.inner, c.name, &f.catalog)
	switch {
	case errors.Is(err, errGone): // the statement has failed
		f.catalog.remove(c.name)
		return
	case err != nil:
		f.recorder.Lose()
		f.catalog.forget()
		return
	}
	f.catalog.unsure = true
	f.forget()
	f.shapes.ready = found
	f.recordShape(c.name, capture.Create, c.sql, "", isQuery)
	f.shapes.ready = nil
}

// recordDropped records which of the tables that the statement mentions are gone. No other connection has changed the schema.
func (f *follower) recordDropped() {
	tables, virtual := f.catalog.mentioned(f.text)
	if virtual {
		f.recordDifference(drops)
		return
	}
	if !f.recorder.Holds() {
		return
	}
	for _, name := range tables {
		stays := false
		err := eachRow(f.inner, "PRAGMA main.table_info("+quote(name)+")", func([]driver.Value) { stays = true })
		if err != nil {
			f.recorder.Lose()
			f.catalog.forget()
			return
		}
		if !stays {
			f.recordDrop(name)
			f.catalog.remove(name)
		}
	}
	f.catalog.unsure = true
}

// recordDifference compares the whole schema with what it was.
func (f *follower) recordDifference(what class) {
	before, known := f.catalog.tables, f.catalog.known
	if !f.catalog.read(f.inner) || !f.recorder.Holds() {
		return
	}
	if !known || !f.catalog.known {
		f.recorder.Lose()
		return
	}
	after := f.catalog.tables
	if what == creates && f.text != "" && f.recorder.Foreign() {
		f.forget()
		f.recordMentioned(before)
		return
	}
	former := map[int64]string{}
	for _, name := range changed(before, after) {
		if has(after, name) {
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
	for _, name := range changed(after, before) {
		from := former[after[name].root]
		switch {
		case has(before, name) || from != "":
			f.recordShape(name, capture.Alter, after[name].sql, from, false)
		default:
			f.recordShape(name, capture.Create, after[name].sql, "", true)
		}
	}
}

// recordMentioned records a table that was created while another connection may have changed the schema: of what is new,
// the statement has made what it names.
func (f *follower) recordMentioned(before map[string]definition) {
	tables, _ := f.catalog.mentioned(f.text)
	for _, name := range tables {
		if !has(before, name) {
			f.recordShape(name, capture.Create, f.catalog.tables[name].sql, "", true)
		}
	}
}

// changed returns the tables of one schema that another has not, or that are different there.
func changed(these, others map[string]definition) []string {
	var names []string
	for name, d := range these {
		if other, is := others[name]; !is || other.sql != d.sql {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
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

// recordShape records a table as it is now. One that is new to the streams may hold rows that no hook has told about.
func (f *follower) recordShape(name string, action capture.Action, text, from string, holdsRows bool) {
	slot, wanted := f.recorder.SlotOf(name)
	if err := f.resolve(); err != nil || !wanted || f.shapes.bySlot[slot] == nil {
		return // a shadow table, or one that cannot be read; a row of it would be reported as lost
	}
	f.recorder.Schema(slot, action, text, from)
	table := f.shapes.bySlot[slot].table
	if holdsRows {
		if err := f.recorder.Rows(slot, selectRows(table)); err != nil {
			f.recorder.Lose()
		}
	}
}
