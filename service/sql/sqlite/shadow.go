package sqlite

import (
	"database/sql/driver"
	"slices"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// A virtual table keeps what it has in ordinary tables, its shadow tables, whose names begin with its own. They are not
// captured. SQLite goes by the name alone, and by what the module says, which may not be built in. But a table of the app
// may have such a name: often the one that an index is over, content = 'docs_content'. So a table is taken for a shadow
// table if it has the name and the columns that the module gives it. See https://www.sqlite.org/vtab.html#xshadowname.

// virtualTable is what a CREATE VIRTUAL TABLE says.
type virtualTable struct {
	name, module string
	// options are those of the arguments that are of the form name = value, in small letters.
	options map[string]string
}

// virtualTableOf reads a text as SQLite stores it: CREATE VIRTUAL TABLE name USING module(arguments).
func virtualTableOf(name, text string) virtualTable {
	v := virtualTable{name: name, options: map[string]string{}}
	depth, isUsing := 0, false
	var argument []token
	for t := range tokensOf(text) {
		switch {
		case v.module == "" && isUsing:
			v.module = lower(t.text)
		case v.module == "":
			isUsing = t.is("USING")
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		case depth == 1 && t.is(","):
			v.addOption(argument)
			argument = argument[:0]
		default:
			argument = append(argument, t)
		}
	}
	v.addOption(argument)
	return v
}

func (v *virtualTable) addOption(argument []token) {
	if len(argument) < 2 || !argument[1].is("=") {
		return
	}
	value := ""
	if len(argument) > 2 {
		value = argument[2].text
	}
	v.options[lower(argument[0].text)] = value
}

// shadowTables are the columns that the shadow tables of a module begin with, by what their names end with. Those of
// which the columns are none can have any.
type shadowTables map[string][]string

func shadowTablesOf(module string) (tables shadowTables, isKnown bool) {
	switch module {
	case "fts3", "fts4":
		return shadowTables{
			"content": {"docid"}, "segments": {"blockid", "block"}, "docsize": {"docid", "size"}, "stat": {"id", "value"},
			"segdir": {"level", "idx", "start_block", "leaves_end_block", "end_block", "root"},
		}, true
	case "fts5":
		return shadowTables{
			"content": {"id"}, "data": {"id", "block"}, "idx": {"segid", "term", "pgno"}, "docsize": {"id", "sz"}, "config": {"k", "v"},
		}, true
	case "rtree", "rtree_i32", "geopoly":
		return shadowTables{"node": {"nodeno", "data"}, "parent": {"nodeno", "parentnode"}, "rowid": {"rowid", "nodeno"}}, true
	default:
		return nil, false
	}
}

// keepsContent reports whether a full-text index has a table of its own for what it is over.
func (v *virtualTable) keepsContent() bool {
	content, elsewhere := v.options["content"]
	return !elsewhere || content == "" && v.options["contentless_unindexed"] == "1"
}

// isShadow reports whether a table is a shadow table. columns are the names of its columns.
func (c *catalog) isShadow(conn *sqlite3.SQLiteConn, table string, columns func() []string) (bool, error) {
	folded := lower(table)
	for i := range len(folded) {
		if folded[i] != '_' {
			continue
		}
		v, is := c.virtuals[folded[:i]]
		if !is {
			continue
		}
		if is, err := v.owns(conn, table, folded[i+1:], columns); is || err != nil {
			return is, err
		}
	}
	return false, nil
}

func (v *virtualTable) owns(conn *sqlite3.SQLiteConn, table, suffix string, columns func() []string) (bool, error) {
	tables, isKnown := shadowTablesOf(v.module)
	if !isKnown {
		return v.mayOwn(conn, table)
	}
	begin, is := tables[suffix]
	if !is || suffix == "content" && !v.keepsContent() {
		return false, nil
	}
	have := columns()
	return len(have) >= len(begin) && slices.EqualFunc(have[:len(begin)], begin, strings.EqualFold), nil
}

// mayOwn decides about a module of which nothing is known here: SQLite asks it if it is built in, else it is taken to own
// all that bears its name.
func (v *virtualTable) mayOwn(conn *sqlite3.SQLiteConn, table string) (is bool, err error) {
	isBuilt := false
	// https://www.sqlite.org/pragma.html#pragma_module_list
	err = eachRow(conn, "PRAGMA module_list", func(row []driver.Value) {
		name, _ := row[0].(string)
		isBuilt = isBuilt || lower(name) == v.module
	})
	if err != nil || !isBuilt {
		return err == nil, err
	}
	// https://www.sqlite.org/pragma.html#pragma_table_list: schema, name, type
	err = eachRow(conn, "PRAGMA main.table_list("+quote(table)+")", func(row []driver.Value) { is = is || row[2] == "shadow" })
	return is, err
}
