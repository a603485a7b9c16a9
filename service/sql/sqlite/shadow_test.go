package sqlite_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// A table with the content of an index has the name of a shadow table, and is one of the app.
func TestTheContentOfAnIndexIsCaptured(t *testing.T) {
	t.Parallel()
	for _, index := range []string{
		"CREATE VIRTUAL TABLE docs USING fts4(content='docs_content', body)",
		"CREATE VIRTUAL TABLE docs USING fts4(body, content=\"docs_content\")",
		"CREATE VIRTUAL TABLE docs USING fts4(content=docs_content, body)",
		"CREATE VIRTUAL TABLE docs USING fts4(content='', body)",
		"CREATE VIRTUAL TABLE docs USING fts4(content='other', body)",
		"CREATE VIRTUAL TABLE Docs USING fts5(body, content = 'docs_content', content_rowid = 'id', tokenize = \"unicode61 separators '='\")",
		"CREATE VIRTUAL TABLE docs USING fts5(body, content = '')",
	} {
		for _, tables := range [][]string{nil, {"docs_content"}} {
			t.Run(index, func(t *testing.T) {
				t.Parallel()
				db := open(t)
				mustExec(t, db.Pool(), "CREATE TABLE docs_content(id INTEGER PRIMARY KEY, body)", "CREATE TABLE other(body)",
					"INSERT INTO docs_content VALUES (1, 'a')")
				r := record(t, db, tables...)
				mustExec(t, db.Pool(), "INSERT INTO docs_content VALUES (2, 'b')", index, "INSERT INTO docs_content VALUES (3, 'c')",
					"UPDATE docs_content SET body = 'd' WHERE id = 1")
				require.Equal(t, []string{"insert docs_content 2 0", "insert docs_content 3 0", "update docs_content 1 0"}, rowsTold(t, r))
				require.Contains(t, tablesOf(t, db), "docs_content")
				mustExec(t, db.Pool(), "DROP TABLE docs", "DELETE FROM docs_content WHERE id = 2")
				require.Equal(t, []string{"delete docs_content"}, rowsTold(t, r))
			})
		}
	}
}

// rowsTold is told without changes of the schema.
func rowsTold(t *testing.T, r *recording) []string {
	t.Helper()
	return slices.DeleteFunc(told(t, r), func(line string) bool { return strings.HasPrefix(line, "schema ") })
}

// tablesOf returns the names of the tables of a snapshot.
func tablesOf(t *testing.T, db *sqlite.DB) (names []string) {
	t.Helper()
	s, err := db.Snapshot(t.Context(), func() {})
	require.NoError(t, err)
	tables, err := s.Tables()
	require.NoError(t, errors.Join(err, s.Close()))
	for _, table := range tables {
		names = append(names, table.Table().Name)
	}
	return names
}

// The tables that modules make are not captured, whichever they are.
func TestTablesThatModulesMakeAreNotCaptured(t *testing.T) {
	t.Parallel()
	db := open(t)
	r := record(t, db)
	mustExec(t, db.Pool(), "CREATE VIRTUAL TABLE a USING fts3(body)", "CREATE VIRTUAL TABLE b USING fts4(body, languageid='l')",
		"CREATE VIRTUAL TABLE c USING fts5(body)", "CREATE VIRTUAL TABLE d USING fts5(body, extra UNINDEXED, content='', contentless_unindexed=1)",
		"CREATE VIRTUAL TABLE `e f` USING rtree(id, x1, x2, +more)", "CREATE VIRTUAL TABLE g_h USING rtree_i32(id, x1, x2)",
		"CREATE VIRTUAL TABLE i USING fts5(body, content='', contentless_delete=1)", "CREATE VIRTUAL TABLE j USING fts4(body, matchinfo='fts3')")
	mustExec(t, db.Pool(), "INSERT INTO a VALUES ('x')", "INSERT INTO a(a) VALUES ('automerge=4')", "INSERT INTO b(body) VALUES ('x')",
		"INSERT INTO c VALUES ('x')", "INSERT INTO c(c, rank) VALUES ('pgsz', 512)", "INSERT INTO d(rowid, body, extra) VALUES (1, 'x', 'y')",
		"INSERT INTO `e f` VALUES (1, 2, 3, 4)", "INSERT INTO g_h VALUES (1, 2, 3)", "INSERT INTO i(rowid, body) VALUES (1, 'x')",
		"INSERT INTO j VALUES ('x')")
	require.Empty(t, told(t, r))
	require.Empty(t, tablesOf(t, db))
	made := query(t, db.Pool(), "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'")
	require.Empty(t, made, "SQLite says so, too")
}

// A table of the app with such a name, beside an index that makes no table of the name, is captured.
func TestTablesNamedLikeThoseOfModulesAreCaptured(t *testing.T) {
	t.Parallel()
	db := open(t)
	r := record(t, db)
	mustExec(t, db.Pool(), "CREATE VIRTUAL TABLE a USING fts3(body)", "CREATE VIRTUAL TABLE c USING fts5(body, columnsize=0)",
		"CREATE TABLE a_stat(n)", "CREATE TABLE a_docsize(n)", "CREATE TABLE c_docsize(n)", "CREATE TABLE a_node(n)", "CREATE TABLE _a(n)",
		"CREATE TABLE c_archive(n)")
	for _, name := range []string{"a_stat", "a_docsize", "c_docsize", "a_node", "_a", "c_archive"} {
		mustExec(t, db.Pool(), "INSERT INTO "+name+" VALUES (1)")
		require.Contains(t, rowsTold(t, r), "insert "+name+" 1")
		require.Contains(t, tablesOf(t, db), name)
	}
}

// Of a module that is not built in, only the name of its virtual table tells which tables are its own.
func TestTablesOfModulesThatAreNotBuiltIn(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE vec_chunks(n)", "CREATE TABLE vector(n)", "PRAGMA writable_schema = ON",
		"INSERT INTO sqlite_schema VALUES ('table', 'vec', 'vec', 0, 'CREATE VIRTUAL TABLE vec USING vec0(x float[3])')",
		"PRAGMA writable_schema = RESET")
	r := record(t, db)
	mustExec(t, db.Pool(), "INSERT INTO vec_chunks VALUES (1)", "INSERT INTO vector VALUES (2)")
	require.Equal(t, []string{"insert vector 2"}, told(t, r))
	require.Equal(t, []string{"vector"}, tablesOf(t, db))
}

// What stands behind the columns of CREATE TABLE is read as SQLite reads it.
func TestOptionsOfTables(t *testing.T) {
	t.Parallel()
	db := open(t)
	for name, text := range map[string]string{
		"a": "CREATE TABLE a(x INTEGER PRIMARY KEY) WITHOUT ROWID",
		"b": "CREATE TABLE b(x INT PRIMARY KEY, y TEXT DEFAULT ')') STRICT , without  rowid",
		"c": "CREATE TABLE c(strict INT, without TEXT, rowid BLOB)",
		"d": "CREATE TABLE d(x INT DEFAULT (1 + (2))) /* ) WITHOUT ROWID */ STRICT -- WITHOUT ROWID\n",
		"e": "CREATE TABLE e(x INT, y TEXT CHECK (y <> ') STRICT'))",
		"f": "CREATE TABLE f AS SELECT 1 AS \"strict\", 2 AS [without rowid]",
		"g": "CREATE TABLE \"g\"(x /* ( */ INT PRIMARY KEY)WITHOUT/**/ROWID;",
		"h": "CREATE TABLE h(\"x\"\"\" INT, `y``)` TEXT, [z)] ANY)STRICT",
		"i": "CREATE TABLE 'i'(x ANY PRIMARY KEY, CONSTRAINT \"c) STRICT\" CHECK (x))WITHOUT ROWID, STRICT",
		"j": "CREATE TABLE j(strict STRICT, WITHOUT WITHOUT)",
		"k": "CREATE TABLE k(é INT, ü TEXT) strict",
	} {
		mustExec(t, db.Pool(), text)
		listed := query(t, db.Pool(), "SELECT l.wr, l.strict, s.sql FROM pragma_table_list AS l, sqlite_schema AS s WHERE l.name = ? AND s.name = l.name", name)
		require.Len(t, listed, 1)
		withoutRowID, isStrict := sqlite.TableOptions(listed[0][2].(string))
		require.Equal(t, []bool{listed[0][0] == int64(1), listed[0][1] == int64(1)}, []bool{withoutRowID, isStrict}, text)
	}
}

// The definition of a table that was just created is what SQLite has stored.
func TestDefinitionsOfTables(t *testing.T) {
	t.Parallel()
	db := open(t)
	for _, text := range []string{
		"CREATE TABLE a(x)", "  create /* c */ table\n a ( x , y ) ;", "CREATE TABLE IF NOT EXISTS a(x) -- c", "CREATE TABLE main.\"a\" (x /* ) */);",
		"CREATE TABLE a(x PRIMARY KEY) WITHOUT ROWID  ;  ", "CREATE TABLE a(x INT DEFAULT (1 + (2))) STRICT -- c\n ", "CREATE TABLE [a](x TEXT)STRICT",
		"CREATE TABLE `a`(x, CHECK (x <> ';'))/**/;-- c", "CREATE TABLE MAIN . 'a' (x, \";\" TEXT) ; /* c */", "CREATE TABLE a(x INTEGER PRIMARY KEY AUTOINCREMENT)",
		"\uFEFFCREATE TABLE a(é)", "CREATE TABLE a(x);;", ";; CREATE TABLE a(x)", "-- c\nCREATE TABLE a(x)\n\n",
	} {
		mustExec(t, db.Pool(), text)
		stored := query(t, db.Pool(), "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name = 'a'")
		require.Len(t, stored, 1)
		name, definition := sqlite.DefinitionOf(text)
		require.Equal(t, []any{name, definition}, stored[0], text)
		mustExec(t, db.Pool(), "DROP TABLE a")
	}
	name, _ := sqlite.DefinitionOf("CREATE TABLE if (x)")
	require.Equal(t, "if", name)
	for _, text := range []string{
		"CREATE TEMP TABLE a(x)", "CREATE TEMPORARY TABLE IF NOT EXISTS a(x)", "CREATE TABLE temp.a(x)", "CREATE INDEX a ON b(c)", "CREATE VIEW a AS SELECT 1",
		"CREATE VIRTUAL TABLE a USING fts5(x)", "CREATE TRIGGER a AFTER INSERT ON b BEGIN SELECT 1; END", "CREATE UNIQUE INDEX main.a ON b(c)", "CREATE",
		"CREATE TABLE", "CREATE TABLE a",
	} {
		name, definition := sqlite.DefinitionOf(text)
		require.True(t, name == "" || text == "CREATE TABLE a", text)
		require.True(t, definition == "" || text == "CREATE TABLE a", text)
	}
}
