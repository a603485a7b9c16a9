package sqlite

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/mattn/go-sqlite3"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// shapes knows the tables that records name by slot. Tables are resolved on the writer, inside the transaction that
// met them, because only there are the names those of the rows.
type shapes struct {
	// bySlot is shared with transactions: it is only appended to or replaced. An entry is nil for a table that is
	// not captured.
	bySlot []*Shape
	// byName holds the last shape of each table that there is, so that the same shape stays the same pointer.
	byName map[string]*Shape
	// ready is a shape that was read before its table has a slot, nil if there is none.
	ready *Shape
	// named is how many of them the segment file of a durable log knows.
	named int
	// stale means that tables are to be forgotten once more.
	stale bool
	// version is the schema version after the last check.
	version int64
}

// Shape is a table as it was when records of it were made, with what its rows need to be decoded. It is immutable; what
// was not changed in between has the same pointer. Methods may be called from any goroutine.
type Shape struct {
	table *sqlapi.Table
	// reals are the columns of REAL affinity.
	reals []int
	// defaults are the default of each column as it is written, "" for none, and isStrict is whether the table is.
	defaults []string
	isStrict bool

	// mu guards older: the values of the defaults that were asked for, by column.
	mu    sync.Mutex
	older map[int]sqlapi.Value
}

// Table returns what users see of the table.
func (s *Shape) Table() *sqlapi.Table { return s.table }

func (s *shapes) known() int { return len(s.bySlot) }

func (s *shapes) reset() {
	s.bySlot, s.named = nil, 0
	s.stale = false
}

// unknownVersion is that of a schema that cannot be read.
const unknownVersion = int64(-1)

// schemaVersion returns SQLite's count of schema changes. See https://www.sqlite.org/pragma.html#pragma_schema_version.
func schemaVersion(conn *sqlite3.SQLiteConn) int64 {
	version := unknownVersion
	err := eachRow(conn, "PRAGMA main.schema_version", func(row []driver.Value) {
		version, _ = row[0].(int64)
	})
	if err != nil {
		return unknownVersion
	}
	return version
}

// resolve resolves the slots that are not known yet, up to the first that cannot be read now.
func (s *shapes) resolve(conn *sqlite3.SQLiteConn, recorder *capture.Recorder, schema *catalog) error {
	for slot := len(s.bySlot); slot < recorder.Tables(); slot++ {
		name, wanted := recorder.Table(slot)
		var found *Shape
		if wanted && s.ready != nil && s.ready.table.Name == name {
			found = s.ready
		} else if wanted {
			var err error
			if found, err = s.read(conn, name, schema); err != nil {
				return err
			}
		}
		if found == nil {
			recorder.Ignore(slot)
		}
		s.bySlot = append(s.bySlot, found)
	}
	return nil
}

// errGone means that there is no such table.
var errGone = errors.New("it is gone")

// read returns the shape of a table as it is now, nil for the shadow table of a virtual table. schema is how the schema
// is now, not known if that was not read.
func (s *shapes) read(conn *sqlite3.SQLiteConn, name string, schema *catalog) (*Shape, error) {
	table := &sqlapi.Table{Schema: "main", Name: name}
	found := &Shape{table: table}
	definition, exists := schema.tables[name]
	if !schema.known || !exists { // for instance one that a module has made while rows were written
		schema = &catalog{}
		schema.read(conn)
		definition, exists = schema.tables[name]
	}
	if !exists {
		return nil, fmt.Errorf("sqlite: table %q: %w", name, errGone)
	}
	var withoutRowID bool
	withoutRowID, found.isStrict = tableOptions(definition)
	table.HasRowID = !withoutRowID
	if err := found.readColumns(conn); err != nil {
		return nil, err
	}
	if len(table.Columns) == 0 {
		return nil, fmt.Errorf("sqlite: table %q: %w", name, errGone)
	}
	if is, err := schema.isShadow(conn, name, found.columnNames); is || err != nil {
		return nil, err
	}
	if old := s.byName[name]; old != nil && old.is(found) {
		return old, nil
	}
	if s.byName == nil {
		s.byName = map[string]*Shape{}
	}
	for i, column := range table.Columns {
		if hasRealAffinity(column.Type) {
			found.reals = append(found.reals, i)
		}
	}
	s.byName[name] = found
	return found, nil
}

// hasRealAffinity follows https://www.sqlite.org/datatype3.html#determination_of_column_affinity.
func hasRealAffinity(declared string) bool {
	declared = strings.ToUpper(declared)
	for _, earlier := range []string{"INT", "CHAR", "CLOB", "TEXT", "BLOB"} {
		if strings.Contains(declared, earlier) {
			return false
		}
	}
	return strings.Contains(declared, "REAL") || strings.Contains(declared, "FLOA") || strings.Contains(declared, "DOUB")
}

func (s *Shape) columnNames() []string {
	names := make([]string, len(s.table.Columns))
	for i, column := range s.table.Columns {
		names[i] = column.Name
	}
	return names
}

func (s *Shape) is(o *Shape) bool {
	a, b := s.table, o.table
	return a.HasRowID == b.HasRowID && a.RowID == b.RowID && s.isStrict == o.isStrict && slices.Equal(a.Columns, b.Columns) &&
		slices.Equal(a.Key, b.Key) && slices.Equal(s.defaults, o.defaults)
}
