package sqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
)

// VACUUM may number rows anew that are identified by their rowid, and no hook tells of it:
// https://www.sqlite.org/lang_vacuum.html. It keeps their order and counts from 1, so that how many there are, with the
// smallest and the largest, tells whether it did.

// noRows is what a query for VACUUM returns. The query runs as Exec does, at once: capture looks at the database before and after it.
type noRows struct{}

func withoutRows(_ driver.Result, err error) (driver.Rows, error) {
	if err != nil {
		return nil, err
	}
	return noRows{}, nil
}

// Columns implements driver.Rows.
func (noRows) Columns() []string { return nil }

// Next implements driver.Rows.
func (noRows) Next([]driver.Value) error { return io.EOF }

// Close implements driver.Rows.
func (noRows) Close() error { return nil }

// vacuumCommits returns how many commits of main the VACUUM makes that has ended, whose commit has no hook.
func (s *captureSession) vacuumCommits() int {
	s.vacuums = false
	if s.failed || !s.vacuumsMain {
		return 0
	}
	return 1
}

// vacuumsMain reports whether a VACUUM is about main, and not about a copy.
func vacuumsMain(text string) bool {
	r := &reading{text: text}
	for r.next().is(";") {
	}
	if name := r.next(); !r.isAtEnd() && !name.is(";") && !name.is("INTO") {
		if lower(name.text) != "main" {
			return false
		}
		r.next()
	}
	return !r.now.is("INTO")
}

// rowIDRange is what is compared of the rowids of a table before and after.
type rowIDRange struct{ count, smallest, largest any }

// beforeVacuum notes the rowids that identify rows of captured tables.
func (s *captureSession) beforeVacuum() {
	s.vacuumed = nil
	if !s.state.Idle() { // it will be refused
		return
	}
	s.vacuumed = map[string]rowIDRange{}
	for _, name := range slices.Sorted(maps.Keys(s.catalog.tables)) {
		if _, wanted := s.recorder.SlotOf(name); wanted {
			s.vacuumed[name] = rowIDRange{}
		}
	}
	err := s.resolve()
	for name := range s.vacuumed {
		if err == nil {
			s.vacuumed[name], err = s.rowIDs(name)
		}
	}
	if err != nil {
		s.vacuumed = nil
		s.lostByVacuum(fmt.Errorf("the rowids before it could not be read: %w", err))
	}
}

// afterVacuum tells the sinks if rows have got other rowids.
func (s *captureSession) afterVacuum() {
	for _, name := range slices.Sorted(maps.Keys(s.vacuumed)) {
		now, err := s.rowIDs(name)
		if err == nil && now != s.vacuumed[name] {
			err = fmt.Errorf("the rows of table %q, which are identified by their rowids, have got new ones: "+
				"give it an INTEGER PRIMARY KEY", name)
		}
		if err != nil {
			s.lostByVacuum(err)
			break
		}
	}
	s.vacuumed = nil
}

func (s *captureSession) lostByVacuum(err error) {
	s.lost(nil, errs.New(errs.Unavailable, "VACUUM: %w", err))
}

// rowIDs reads the rowids of a table, if they identify any of its rows.
func (s *captureSession) rowIDs(name string) (rowIDRange, error) {
	slot, wanted := s.recorder.SlotOf(name)
	if !wanted { // it has turned out to be a shadow table
		return rowIDRange{}, nil
	}
	if slot >= s.shapes.known() {
		return rowIDRange{}, errors.New("the columns of a table are not known")
	}
	shape := s.shapes.bySlot[slot]
	if shape == nil || !shape.usesRowID() {
		return rowIDRange{}, nil
	}
	var found rowIDRange
	rowid := quote(shape.table.RowID)
	query := "SELECT count(*), min(" + rowid + "), max(" + rowid + ") FROM main." + quote(name)
	err := eachRow(s.inner, query, func(row []driver.Value) { found = rowIDRange{row[0], row[1], row[2]} })
	return found, err
}

// usesRowID reports whether rows may be identified by their rowid, and the rowid is no column.
func (s *Shape) usesRowID() bool {
	t := s.table
	isInteger := len(t.Key) == 1 && strings.EqualFold(t.Columns[t.Key[0]].Type, "INTEGER")
	return t.RowID != "" && !isInteger
}
