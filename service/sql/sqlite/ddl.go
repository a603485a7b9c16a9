package sqlite

import (
	"database/sql/driver"
	"errors"
	"maps"
	"slices"

	"github.com/mattn/go-sqlite3"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// No hook tells of DDL, nor of the rows that CREATE TABLE … AS inserts and DROP TABLE removes. So the
// tables of the schema are compared before and after each statement that may change them, and what differs is
// recorded as a part of the statement's transaction, where a savepoint undoes it like everything else.

// Statements that add tables or drop them, in programs that do so thousands of times, must not cost what reading the
// whole schema costs: there only what can have changed is looked at.

// beforeDDL remembers the schema as it is before a statement that may change it. DROP TABLE may delete rows one by
// one, and then there is no table left to resolve, so it is resolved before; likewise a table that is renamed to a name
// that is not captured.
//
// If another connection has changed the schema, that must be noticed now, too: afterwards a table that the statement
// drops could not be resolved any more. Within a transaction that has read no other connection can have done so, and
// records refer to tables as they were.
func (s *captureSession) beforeDDL(what class) {
	conn, release := s.inner, func() {}
	if what != creates || !s.catalog.known {
		conn, release = s.reader()
	}
	defer release()
	switch {
	case !s.catalog.known:
		s.catalog.read(conn)
	case what == creates:
	case what == drops && s.catalog.unsure:
		version := schemaVersion(conn) // which also looks whether another connection has committed
		if conn != s.inner || s.recorder.Foreign() {
			s.catalog.readIfChanged(conn, version)
		}
		s.catalog.version, s.catalog.unsure = version, version == unknownVersion
	default:
		s.catalog.read(conn)
	}
	if s.stepped = unknownVersion; s.state.Idle() || conn != s.inner {
		s.stepped = s.catalog.version
		s.checkVersion(s.stepped)
	}
	if what == creates {
		return
	}
	for _, name := range s.atStake() {
		if s.recorder.Wants(name) {
			s.recorder.SlotOf(name)
		}
	}
	_ = s.shapes.resolve(conn, s.recorder, &s.catalog) // a table that cannot be read now is found out when a row needs it
	s.nameShapes()
}

// reader returns a connection that can read the schema, and what ends its use. Where the writer's own would begin
// something, it is another one, which sees the same.
func (s *captureSession) reader() (conn *sqlite3.SQLiteConn, release func()) {
	if !s.readable() && s.db.connector.file != sqlapi.InMemory {
		if side, err := s.db.connector.openSide("ro"); err == nil {
			return side, func() { _ = side.Close() } // it has only read
		}
	}
	return s.inner, func() {}
}

// atStake returns the tables that the statement may drop or rename: those that it mentions, or all if it changes the
// schema by hand, or drops a virtual table.
func (s *captureSession) atStake() []string {
	tables, virtual := s.catalog.mentioned(s.text)
	if virtual || s.byHand || s.text == "" {
		return slices.Sorted(maps.Keys(s.catalog.tables))
	}
	return tables
}

// recordDDL records what the last statement has changed in the schema.
func (s *captureSession) recordDDL(what class) {
	if !s.recorder.Holds() { // it has changed nothing, and reading now might begin something
		s.stepped, s.text = unknownVersion, ""
		return
	}
	isExact := s.catalog.known && !s.external && !s.byHand && s.text != "" && !s.recorder.Foreign()
	switch {
	case isExact && what == creates:
		s.recordCreated()
	case isExact && what == drops:
		s.recordDropped()
	default:
		s.recordDifference(what)
	}
	s.text = ""
}

// recordCreated records the table that the statement has created, if it has. No other connection has changed the
// schema.
func (s *captureSession) recordCreated() {
	c := creationOf(s.text)
	folded := lower(c.name)
	_, wasVirtual := s.catalog.virtuals[folded]
	switch {
	case c.virtual || wasVirtual || s.catalog.views[folded]:
		s.recordDifference(creates)
		return
	case c.name == "" || s.catalog.find(c.name) != "":
		return
	}
	isQuery := c.sql == ""
	if isQuery {
		var err error
		if c.sql, err = sqlOf(s.inner, c.name); err != nil {
			s.recorder.Lose()
			s.catalog.forget()
		}
	}
	if c.sql == "" {
		return
	}
	s.catalog.add(c.name, c.sql)
	found, err := s.shapes.read(s.inner, c.name, &s.catalog)
	switch {
	case errors.Is(err, errGone): // the statement has failed
		s.catalog.remove(c.name)
		return
	case err != nil:
		s.recorder.Lose()
		s.catalog.forget()
		return
	}
	s.catalog.unsure = true
	s.forget()
	s.shapes.ready = found
	s.recordShape(c.name, capture.Create, c.sql, "", isQuery)
	s.shapes.ready = nil
}

// recordDropped records which of the tables that the statement mentions are gone. No other connection has changed the
// schema.
func (s *captureSession) recordDropped() {
	tables, virtual := s.catalog.mentioned(s.text)
	if virtual {
		s.recordDifference(drops)
		return
	}
	for _, name := range tables {
		stays := false
		err := eachRow(s.inner, "PRAGMA main.table_info("+quote(name)+")", func([]driver.Value) { stays = true })
		if err != nil {
			s.recorder.Lose()
			s.catalog.forget()
			return
		}
		if !stays {
			s.recordDrop(name)
			s.catalog.remove(name)
			delete(s.shapes.byName, name)
		}
	}
	s.catalog.unsure = true
}

// recordDifference compares the whole schema with what it was.
func (s *captureSession) recordDifference(what class) {
	before := s.catalog
	if !s.catalog.read(s.inner) {
		return
	}
	if !before.known || !s.catalog.known {
		s.recorder.Lose()
		return
	}
	after := s.catalog.tables
	if what == creates && s.text != "" && s.recorder.Foreign() {
		s.forget()
		s.recordMentioned(before.tables)
		return
	}
	from, to := renamed(&before, &s.catalog, s.text)
	for _, name := range changed(before.tables, after) {
		if has(after, name) {
			continue
		}
		if name != from || !s.recorder.Wants(to) {
			s.recordDrop(name)
		}
		delete(s.shapes.byName, name)
	}
	s.forget()
	for _, name := range changed(after, before.tables) {
		switch {
		case has(before.tables, name):
			s.recordShape(name, capture.Alter, after[name], "", false)
		case name == to && s.recorder.Wants(from):
			s.recordShape(name, capture.Alter, after[name], from, false)
		default:
			s.recordShape(name, capture.Create, after[name], "", true)
		}
	}
}

// renamed returns the former and the new name of the table that a statement has renamed, which mentions both; empty if
// there is none.
func renamed(before, after *catalog, text string) (from, to string) {
	former, _ := before.mentioned(text)
	now, _ := after.mentioned(text)
	gone := slices.IndexFunc(former, func(name string) bool { return !has(after.tables, name) })
	added := slices.IndexFunc(now, func(name string) bool { return !has(before.tables, name) })
	if gone < 0 || added < 0 {
		return "", ""
	}
	return former[gone], now[added]
}

// recordMentioned records a table that was created while another connection may have changed the schema: of what is
// new, the statement has made what it names.
func (s *captureSession) recordMentioned(before map[string]string) {
	tables, _ := s.catalog.mentioned(s.text)
	for _, name := range tables {
		if !has(before, name) {
			s.recordShape(name, capture.Create, s.catalog.tables[name], "", true)
		}
	}
}

// changed returns the tables of one schema that another has not, or that are different there.
func changed(these, others map[string]string) []string {
	var names []string
	for name, text := range these {
		if other, is := others[name]; !is || other != text {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func has(tables map[string]string, name string) bool {
	_, ok := tables[name]
	return ok
}

func (s *captureSession) recordDrop(name string) {
	slot, wanted := s.recorder.SlotOf(name)
	if !wanted || slot >= s.shapes.known() || s.shapes.bySlot[slot] == nil {
		return
	}
	s.recorder.Truncate(slot)
	s.recorder.Schema(slot, capture.Drop, "", "")
}

// recordShape records a table as it is now. One that is new to the streams may hold rows that no hook has told about.
func (s *captureSession) recordShape(name string, action capture.Action, text, from string, holdsRows bool) {
	slot, wanted := s.recorder.SlotOf(name)
	if err := s.resolve(); err != nil || !wanted || s.shapes.bySlot[slot] == nil {
		return // a shadow table, or one that cannot be read; a row of it would be reported as lost
	}
	s.recorder.Schema(slot, action, text, from)
	table := s.shapes.bySlot[slot].table
	if holdsRows {
		if err := s.recorder.Rows(slot, selectRows(table)); err != nil {
			s.recorder.Lose()
		}
	}
}
