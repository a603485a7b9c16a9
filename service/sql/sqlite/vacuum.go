package sqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wippy-cdc/runtime/api/errs"
)

// VACUUM may number rows anew that are identified by their rowid, and no hook tells of it:
// https://www.sqlite.org/lang_vacuum.html. It keeps their order and counts from 1, so that how many there are, with the
// smallest and the largest, tells whether it did.

// rowIDRange is what is compared of the rowids of a table before and after.
type rowIDRange struct{ count, smallest, largest any }

// beforeVacuum notes the rowids that identify rows of captured tables.
func (f *follower) beforeVacuum() {
	f.vacuumed = nil
	if !f.state.Idle() { // it will be refused
		return
	}
	f.vacuumed = map[string]rowIDRange{}
	for _, name := range slices.Sorted(maps.Keys(f.catalog.tables)) {
		if _, wanted := f.recorder.SlotOf(name); wanted {
			f.vacuumed[name] = rowIDRange{}
		}
	}
	err := f.resolve()
	for name := range f.vacuumed {
		if err == nil {
			f.vacuumed[name], err = f.rowIDs(name)
		}
	}
	if err != nil {
		f.vacuumed = nil
		f.lostByVacuum(fmt.Errorf("the rowids before it could not be read: %w", err))
	}
}

// afterVacuum tells the sinks if rows have got other rowids.
func (f *follower) afterVacuum() {
	for _, name := range slices.Sorted(maps.Keys(f.vacuumed)) {
		now, err := f.rowIDs(name)
		if err == nil && now != f.vacuumed[name] {
			err = fmt.Errorf("the rows of table %q, which are identified by their rowids, have got new ones: "+
				"give it an INTEGER PRIMARY KEY", name)
		}
		if err != nil {
			f.lostByVacuum(err)
			break
		}
	}
	f.vacuumed = nil
}

func (f *follower) lostByVacuum(err error) {
	f.db.lose(errs.New(errs.Unavailable, "VACUUM: %w", err))
}

// rowIDs reads the rowids of a table, if they identify any of its rows.
func (f *follower) rowIDs(name string) (rowIDRange, error) {
	slot, wanted := f.recorder.SlotOf(name)
	if !wanted { // it has turned out to be a shadow table
		return rowIDRange{}, nil
	}
	if slot >= f.shapes.known() {
		return rowIDRange{}, errors.New("the columns of a table are not known")
	}
	s := f.shapes.bySlot[slot]
	if s == nil || !s.usesRowID() {
		return rowIDRange{}, nil
	}
	var found rowIDRange
	rowid := quote(s.table.RowID)
	query := "SELECT count(*), min(" + rowid + "), max(" + rowid + ") FROM main." + quote(name)
	err := eachRow(f.inner, query, func(row []driver.Value) { found = rowIDRange{row[0], row[1], row[2]} })
	return found, err
}

// usesRowID reports whether rows may be identified by their rowid, and the rowid is no column.
func (s *shape) usesRowID() bool {
	t := s.table
	isInteger := len(t.Key) == 1 && strings.EqualFold(t.Columns[t.Key[0]].Type, "INTEGER")
	return t.RowID != "" && !isInteger
}
