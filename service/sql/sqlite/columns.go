package sqlite

import (
	"database/sql/driver"
	"slices"
	"strings"

	"github.com/mattn/go-sqlite3"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

const hiddenVirtual = int64(2)

// keyPart is a column of the primary key.
type keyPart struct {
	position int64
	column   int
	nullable bool
}

// readColumns reads the columns of a table, and what tells its rows apart.
func (s *Shape) readColumns(conn *sqlite3.SQLiteConn) error {
	table := s.table
	var key []keyPart
	var names []string // those of virtual generated columns included: they hide the rowid, too
	// https://www.sqlite.org/pragma.html#pragma_table_xinfo: cid, name, type, notnull, dflt_value, pk, hidden
	err := eachRow(conn, "PRAGMA main.table_xinfo("+quote(table.Name)+")", func(row []driver.Value) {
		name, _ := row[1].(string)
		names = append(names, name)
		if row[6] == hiddenVirtual {
			return
		}
		declared, _ := row[2].(string)
		byDefault, _ := row[4].(string)
		if position, _ := row[5].(int64); position > 0 {
			key = append(key, keyPart{position, len(table.Columns), row[3] == int64(0)})
		}
		table.Columns = append(table.Columns, sqlapi.Column{Name: name, Type: declared})
		s.defaults = append(s.defaults, byDefault)
	})
	if err != nil {
		return err
	}
	slices.SortFunc(key, func(a, b keyPart) int { return int(a.position - b.position) })
	for _, part := range key {
		table.Key = append(table.Key, part.column)
	}
	if !table.HasRowID {
		return nil
	}
	if table.RowID = rowIDAmong(names); table.RowID != "" {
		return nil
	}
	return s.identifyWithoutRowID(conn, key)
}

// rowIDAmong returns the first name of the rowid that no column has, "" if there is none:
// https://www.sqlite.org/lang_createtable.html#rowid.
func rowIDAmong(names []string) string {
	for _, alias := range []string{"rowid", "_rowid_", "oid"} {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, alias) }) {
			return alias
		}
	}
	return ""
}

// identifyWithoutRowID decides about a table whose rowid no name reaches. If a column is the rowid itself, that is
// another name of it. Else a key that may hold NULL does not always tell rows apart, and nothing else does.
func (s *Shape) identifyWithoutRowID(conn *sqlite3.SQLiteConn, key []keyPart) error {
	table := s.table
	if len(key) == 1 && strings.EqualFold(table.Columns[key[0].column].Type, "INTEGER") {
		indexed := false // as is one that is declared DESC, which is no rowid
		// https://www.sqlite.org/pragma.html#pragma_index_list: seq, name, unique, origin, partial
		err := eachRow(conn, "PRAGMA main.index_list("+quote(table.Name)+")", func(row []driver.Value) {
			indexed = indexed || row[3] == "pk"
		})
		if err != nil {
			return err
		}
		if !indexed {
			table.RowID = table.Columns[key[0].column].Name
			return nil
		}
	}
	if slices.ContainsFunc(key, func(part keyPart) bool { return part.nullable }) {
		table.Key = nil
	}
	return nil
}
