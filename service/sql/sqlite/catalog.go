package sqlite

import (
	"database/sql/driver"

	"github.com/mattn/go-sqlite3"
)

// catalog is the tables of the main schema, as they were at one schema version.
type catalog struct {
	// known is false if it was not read yet, could not be, or may be wrong.
	known   bool
	version int64
	// tables are the ordinary ones by name, and virtuals the virtual ones by name in small letters.
	tables   map[string]definition
	virtuals map[string]virtualTable
	// folded are the names of ordinary tables that have capital letters, by what they are without.
	folded map[string]string
	// last is the largest rowid of the schema table.
	last int64
	// moves means that root pages may change when another table is dropped.
	moves bool
}

// definition is a row of https://www.sqlite.org/schematab.html.
type definition struct {
	rowid, root int64
	sql         string
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
	found := catalog{version: version, tables: map[string]definition{}, virtuals: map[string]virtualTable{}, folded: map[string]string{}}
	err := eachRow(conn, "PRAGMA main.auto_vacuum", func(row []driver.Value) { found.moves = row[0] != int64(0) })
	if err == nil {
		err = eachRow(conn, "SELECT rowid, name, rootpage, sql FROM main.sqlite_schema WHERE type = 'table'", func(row []driver.Value) {
			found.add(row[0], row[2], row[1], row[3])
		})
	}
	if err == nil {
		err = found.readLast(conn)
	}
	found.known = version != unknownVersion && err == nil
	*c = found
	return true
}

func (c *catalog) add(rowid, root, name, text driver.Value) (table string) {
	var d definition
	d.rowid, _ = rowid.(int64)
	d.root, _ = root.(int64)
	d.sql, _ = text.(string)
	table, _ = name.(string)
	if d.root == 0 {
		c.virtuals[lower(table)] = virtualTableOf(table, d.sql)
		return ""
	}
	c.tables[table] = d
	if folded := lower(table); folded != table {
		c.folded[folded] = table
	}
	return table
}

func (c *catalog) remove(table string) {
	delete(c.tables, table)
	delete(c.folded, lower(table))
}

func (c *catalog) readLast(conn *sqlite3.SQLiteConn) error {
	c.last = 0
	return eachRow(conn, "SELECT max(rowid) FROM main.sqlite_schema", func(row []driver.Value) { c.last, _ = row[0].(int64) })
}

// readAdded adds what was added to the end of the schema, and returns the names of the ordinary tables.
func (c *catalog) readAdded(conn *sqlite3.SQLiteConn) (tables []string, err error) {
	err = eachRowOf(conn, "SELECT rowid, name, rootpage, sql, type FROM main.sqlite_schema WHERE rowid > ?", []driver.Value{c.last},
		func(row []driver.Value) {
			c.last, _ = row[0].(int64)
			if row[4] != "table" {
				return
			}
			if table := c.add(row[0], row[2], row[1], row[3]); table != "" {
				tables = append(tables, table)
			}
		})
	if err != nil {
		c.forget()
	}
	return tables, err
}

// has reports whether the schema still has a table.
func (c *catalog) has(conn *sqlite3.SQLiteConn, table string) (has bool, err error) {
	err = eachRowOf(conn, "SELECT 1 FROM main.sqlite_schema WHERE rowid = ? AND name = ?",
		[]driver.Value{c.tables[table].rowid, table}, func([]driver.Value) { has = true })
	return has, err
}

// mentioned returns the ordinary tables whose names stand anywhere in a statement, and whether that of a virtual one does.
func (c *catalog) mentioned(text string) (tables []string, virtual bool) {
	seen := map[string]bool{}
	for t := range tokensOf(text) {
		if !t.isName {
			continue
		}
		name, folded := t.text, lower(t.text)
		if _, is := c.virtuals[folded]; is {
			virtual = true
		}
		if _, is := c.tables[name]; !is {
			name = folded
		}
		if _, is := c.tables[name]; !is {
			name = c.folded[folded]
		}
		if _, is := c.tables[name]; is && !seen[name] {
			seen[name] = true
			tables = append(tables, name)
		}
	}
	return tables, virtual
}
