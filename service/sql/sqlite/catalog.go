package sqlite

import (
	"database/sql/driver"
	"slices"

	"github.com/mattn/go-sqlite3"
)

// catalog is the tables of the main schema, as they were at one schema version.
type catalog struct {
	// known is false if it was not read yet, could not be, or may be wrong.
	known   bool
	version int64
	// unsure means that the version may be an older one, after statements of which only the tables that they create or drop
	// were looked at.
	unsure bool
	// tables are the definitions of the ordinary ones by name, as https://www.sqlite.org/schematab.html has them, and
	// virtuals the virtual ones by name in small letters.
	tables   map[string]string
	virtuals map[string]virtualTable
	// folded are the names of ordinary tables that have capital letters, by what they are without.
	folded map[string]string
	// views are the names of views in small letters, also of some that are gone.
	views map[string]bool
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
	found := catalog{
		version: version, tables: map[string]string{}, virtuals: map[string]virtualTable{},
		folded: map[string]string{}, views: map[string]bool{},
	}
	err := eachRow(conn, "SELECT type, name, rootpage, sql FROM main.sqlite_schema WHERE type IN ('table', 'view')", func(row []driver.Value) {
		name, _ := row[1].(string)
		root, _ := row[2].(int64)
		text, _ := row[3].(string)
		switch {
		case row[0] == "view":
			found.views[lower(name)] = true
		case root == 0:
			found.virtuals[lower(name)] = virtualTableOf(name, text)
		default:
			found.add(name, text)
		}
	})
	found.known = version != unknownVersion && err == nil
	*c = found
	return true
}

func (c *catalog) add(table, definition string) {
	c.tables[table] = definition
	if folded := lower(table); folded != table {
		c.folded[folded] = table
	}
}

func (c *catalog) remove(table string) {
	delete(c.tables, table)
	delete(c.folded, lower(table))
}

// sqlOf reads the definition of one table.
func sqlOf(conn *sqlite3.SQLiteConn, table string) (text string, err error) {
	err = eachRow(conn, "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = "+quoteText(table),
		func(row []driver.Value) { text, _ = row[0].(string) })
	return text, err
}

// find returns the name of an ordinary table as it is written in the schema, "" if there is none.
func (c *catalog) find(name string) string {
	if _, is := c.tables[name]; is {
		return name
	}
	folded := lower(name)
	if _, is := c.tables[folded]; is {
		return folded
	}
	return c.folded[folded]
}

// mentioned returns the ordinary tables whose names stand anywhere in a statement, and whether that of a virtual one does.
func (c *catalog) mentioned(text string) (tables []string, virtual bool) {
	for t := range tokensOf(text) {
		if !t.isName {
			continue
		}
		if _, is := c.virtuals[lower(t.text)]; is {
			virtual = true
		}
		if name := c.find(t.text); name != "" && !slices.Contains(tables, name) {
			tables = append(tables, name)
		}
	}
	return tables, virtual
}
