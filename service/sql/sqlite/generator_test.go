package sqlite_test

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// suiteSchema is what generated scripts begin with. It has one of each thing that makes SQLite's hooks misleading.
const suiteSchema = `
CREATE TABLE users (id INTEGER PRIMARY KEY, name UNIQUE, age, CHECK (age IS NOT 13));
CREATE TABLE places (x, y, what, PRIMARY KEY (y, x)) WITHOUT ROWID;
CREATE TABLE totals (a REAL, b INT, sum GENERATED ALWAYS AS (a || b) STORED, twice GENERATED ALWAYS AS (b + b), note);
CREATE TABLE orders (id INTEGER PRIMARY KEY, user REFERENCES users (id) ON DELETE CASCADE ON UPDATE CASCADE, item);
CREATE TABLE later (id INTEGER PRIMARY KEY, user REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE plain (a, b);
CREATE TABLE loose (a, k, b, PRIMARY KEY (k, a));
CREATE TABLE aged (x);
CREATE TABLE copied (x);
CREATE TABLE raised (what);
CREATE INDEX plain_a ON plain (a);
CREATE VIRTUAL TABLE words USING fts3 (body);
CREATE TABLE notes_content (docid INTEGER PRIMARY KEY, body);
CREATE VIEW people AS SELECT id, name FROM users;
CREATE TRIGGER people_insert INSTEAD OF INSERT ON people BEGIN INSERT INTO users (id, name) VALUES (new.id, new.name); END;
CREATE TRIGGER users_before BEFORE INSERT ON users WHEN new.age > 40 BEGIN
  INSERT INTO raised VALUES ('before');
  SELECT CASE new.age WHEN 41 THEN RAISE(FAIL, 'fail before') WHEN 42 THEN RAISE(ABORT, 'abort before')
    WHEN 43 THEN RAISE(IGNORE) WHEN 44 THEN RAISE(ROLLBACK, 'rollback before') END;
END;
CREATE TRIGGER users_after AFTER INSERT ON users WHEN new.age > 50 BEGIN
  INSERT INTO raised VALUES ('after');
  UPDATE plain SET b = new.name;
  SELECT CASE new.age WHEN 51 THEN RAISE(FAIL, 'fail after') WHEN 52 THEN RAISE(ABORT, 'abort after')
    WHEN 53 THEN RAISE(IGNORE) WHEN 54 THEN RAISE(ROLLBACK, 'rollback after') END;
END;
CREATE TRIGGER orders_update AFTER UPDATE ON orders BEGIN DELETE FROM raised; INSERT INTO raised VALUES (old.item); END;
`

func oneOf(t *rapid.T, label string, choices ...string) string {
	return rapid.SampledFrom(choices).Draw(t, label)
}

// literal is a value of any storage type, or one that violates something.
func literal(t *rapid.T) string {
	return oneOf(t, "value", "NULL", "0", "1", "2", "3", "13", "41", "42", "43", "44", "51", "52", "53", "54", "''", "'a'", "'b'", "'A'",
		"x''", "x'00'", "x'6100'", "'a' || char(0)", "CAST(x'ff80' AS TEXT)", "9223372036854775807", "-9223372036854775808",
		"9007199254740993", "-0.0", "0.5", "9e999", "-9e999", "1e308", "zeroblob(300)", "zeroblob(70000)", "hex(zeroblob(200))", "'1'", "1.0", "-129", "70000")
}

// lastRowID is the greatest rowid. Behind it SQLite makes rowids up at random, in which no two runs are alike:
// https://www.sqlite.org/autoinc.html.
const lastRowID = "9223372036854775807"

// rowIDLiteral is a literal for a column that may be the rowid.
func rowIDLiteral(t *rapid.T) string { return "nullif(" + literal(t) + ", " + lastRowID + ")" }

func number(t *rapid.T) string { return oneOf(t, "number", "0", "1", "2", "3", "4", "5", "6") }

func conflict(t *rapid.T) string {
	return oneOf(t, "conflict", "", "", "", " OR FAIL", " OR ABORT", " OR IGNORE", " OR REPLACE", " OR ROLLBACK")
}

// rows is one to four rows of n values.
func rows(t *rapid.T, n int) string {
	var all []string
	for range rapid.IntRange(1, 4).Draw(t, "rows") {
		row := []string{number(t)}
		for len(row) < n {
			row = append(row, literal(t))
		}
		all = append(all, "("+strings.Join(row[:n], ", ")+")")
	}
	return strings.Join(all, ", ")
}

func where(t *rapid.T, column string) string {
	if rapid.Bool().Draw(t, "where") {
		return ""
	}
	return fmt.Sprintf(" WHERE %s %s %s", column, oneOf(t, "compare", "=", "<", ">=", "IS NOT"), number(t))
}

// target is a table with the number of its columns that can be inserted, one that can be set, and one to select by.
type target struct {
	into   string
	n      int
	set    string
	column string
}

func drawTarget(t *rapid.T) target {
	return rapid.SampledFrom([]target{
		{"users (id, name, age)", 3, "age", "id"},
		{"users (id, name, age)", 3, "id", "id"},
		{"users (id, name, age)", 3, "name", "id"},
		{"places (x, y, what)", 3, "what", "x"},
		{"places (x, y, what)", 3, "y", "x"},
		{"totals (b, a, note)", 3, "b", "b"},
		{"orders (id, user, item)", 3, "item", "id"},
		{"orders (id, user, item)", 3, "user", "id"},
		{"later (id, user)", 2, "user", "id"},
		{"plain (a, b)", 2, "a", "a"},
		{"plain (rowid, a)", 2, "rowid", "rowid"},
		{"loose (a, k, b)", 3, "k", "a"},
		{"loose (rowid, k)", 2, "rowid", "rowid"},
		{"aged (x)", 1, "x", "x"},
		{"words (rowid, body)", 2, "body", "rowid"},
		{"people (id, name)", 2, "name", "id"},
		{"notes_content (docid, body)", 2, "body", "docid"},
	}).Draw(t, "table")
}

func (g target) name() string { return strings.Fields(g.into)[0] }

func (g target) valueOf(t *rapid.T) string {
	if g.set == "id" || g.set == "rowid" {
		return oneOf(t, "set", g.set+" + 1", number(t), g.set)
	}
	return oneOf(t, "set", g.set, literal(t), literal(t))
}

// dml is a statement that changes rows.
func dml(t *rapid.T) string {
	g := drawTarget(t)
	switch rapid.IntRange(0, 9).Draw(t, "dml") {
	case 0, 1, 2, 3:
		return "INSERT" + conflict(t) + " INTO " + g.into + " VALUES " + rows(t, g.n)
	case 4, 5:
		return "UPDATE" + conflict(t) + " " + g.name() + " SET " + g.set + " = " + g.valueOf(t) + where(t, g.column)
	case 6:
		return "DELETE FROM " + g.name() + where(t, g.column)
	case 7:
		return "INSERT INTO users (id, name, age) VALUES " + rows(t, 3) +
			oneOf(t, "upsert", " ON CONFLICT DO NOTHING", " ON CONFLICT (name) DO UPDATE SET age = excluded.age", " ON CONFLICT (id) DO UPDATE SET name = id")
	case 8:
		return "WITH n (i) AS (VALUES (1), (2), (3)) INSERT" + conflict(t) + " INTO " + g.into + " SELECT " +
			strings.Join([]string{"i", "i", "i || 'x'"}[:g.n], ", ") + " FROM n"
	default: // the rowid after the largest integer would be a random one
		return "INSERT INTO " + g.into + " SELECT " + strings.Join([]string{"nullif(a, " + lastRowID + ")", "b", "a"}[:g.n], ", ") + " FROM plain"
	}
}

// control opens and ends transactions and savepoints; many of them fail.
func control(t *rapid.T) string {
	name := oneOf(t, "savepoint", "s", "S", "t", "u")
	return oneOf(t, "control", "BEGIN", "BEGIN", "BEGIN IMMEDIATE", "COMMIT", "COMMIT", "COMMIT", "ROLLBACK", "END",
		"SAVEPOINT "+name, "SAVEPOINT "+name, "SAVEPOINT "+name, "ROLLBACK TO "+name, "ROLLBACK TO "+name, "RELEASE "+name)
}

// ddl changes the schema. Columns are added, renamed and dropped on tables that no trigger uses.
func ddl(t *rapid.T) string {
	c := oneOf(t, "column", "c1", "c2", "c3")
	if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
		return oneOf(t, "identity", identityDDL(t), agingDDL(t))
	}
	return oneOf(t, "ddl",
		"ALTER TABLE places ADD COLUMN "+c+oneOf(t, "default", "", " DEFAULT 7", " REAL DEFAULT 7", " TEXT DEFAULT 'd'", " NOT NULL DEFAULT x'00'"),
		"ALTER TABLE totals ADD COLUMN "+c+oneOf(t, "default", "", " REAL DEFAULT 3", " DEFAULT -1"),
		"ALTER TABLE places RENAME COLUMN "+c+" TO "+oneOf(t, "new", "c1", "c2", "c3", "c4"),
		"ALTER TABLE places DROP COLUMN "+c,
		"ALTER TABLE totals DROP COLUMN "+c,
		"ALTER TABLE "+oneOf(t, "rename", "extra", "other")+" RENAME TO "+oneOf(t, "to", "extra", "other"),
		"CREATE TABLE extra AS SELECT a, b AS "+oneOf(t, "as", "b", "rowid", `"q""t"`)+" FROM plain",
		"CREATE TABLE other (id INTEGER PRIMARY KEY, user REFERENCES users (id) ON DELETE CASCADE)",
		"CREATE TABLE other (k PRIMARY KEY) WITHOUT ROWID",
		"INSERT INTO other VALUES "+rows(t, 1),
		"INSERT INTO extra SELECT column1, nullif(column2, "+lastRowID+") FROM (VALUES "+rows(t, 2)+")",
		"DROP TABLE "+oneOf(t, "drop", "extra", "other", "orders", "plain"),
		"CREATE TABLE IF NOT EXISTS plain (a, b)",
		"CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, user REFERENCES users (id) ON DELETE CASCADE, item)",
		"CREATE TEMP TABLE plain (a, b)",
		"DROP TABLE temp.plain",
		"ANALYZE", "REINDEX",
		// VACUUM may number the rows of a table without INTEGER PRIMARY KEY anew:
		// https://www.sqlite.org/lang_vacuum.html.
		"DROP TABLE IF EXISTS extra; DELETE FROM totals; DELETE FROM main.plain; DELETE FROM raised; DELETE FROM witnesses; "+
			"DELETE FROM aged; DELETE FROM copied; VACUUM",
		"ATTACH ':memory:' AS aside; CREATE TABLE aside.plain (a, b)", "INSERT INTO aside.plain VALUES (1, 2)", "DETACH aside",
		"CREATE INDEX plain_b ON plain (b)", "DROP INDEX plain_b",
		"PRAGMA user_version = 3",
	)
}

// identityDDL makes and changes tables whose rows are told apart in unusual ways: columns hide the rowid, keys hold
// NULL.
func identityDDL(t *rapid.T) string {
	rowid := oneOf(t, "rowid", rowIDs()...)
	return oneOf(t, "identity",
		"ALTER TABLE loose ADD COLUMN "+rowid+oneOf(t, "generated", "", " DEFAULT 1", " AS (b) VIRTUAL"),
		"ALTER TABLE loose RENAME COLUMN "+oneOf(t, "from", "b", "k", rowid)+" TO "+oneOf(t, "to", "b", "k", rowIDs()[0], rowIDs()[1]),
		"ALTER TABLE loose DROP COLUMN "+rowid,
		"UPDATE loose SET "+oneOf(t, "part", "a", "k")+" = NULL"+where(t, "a"),
		"UPDATE loose SET "+rowid+" = "+rowid+" + 10, b = 1"+where(t, rowid),
		"INSERT INTO extra VALUES (NULL, "+rowIDLiteral(t)+"), ("+oneOf(t, "part", "NULL", number(t))+", "+rowIDLiteral(t)+")",
		"INSERT INTO extra VALUES ("+rowIDLiteral(t)+", NULL), ("+rowIDLiteral(t)+", NULL)",
		"DROP TABLE IF EXISTS extra; CREATE TABLE extra "+oneOf(t, "extra",
			"(rowid, oid PRIMARY KEY)", "(rowid PRIMARY KEY, _rowid_, oid AS (1))", "(oid, k INTEGER PRIMARY KEY DESC)", "(b, rowid INTEGER PRIMARY KEY)",
			"(rowid, k INTEGER PRIMARY KEY, oid AS (1), _rowid_ AS (1))", `("RowID", b UNIQUE)`, "(oid INT PRIMARY KEY, k, rowid AS (1), _rowid_ AS (1))",
			"(k INT NOT NULL, rowid, oid AS (1), _rowid_ AS (1), PRIMARY KEY (rowid, k))"),
		"UPDATE extra SET "+rowid+" = "+oneOf(t, "set", "NULL", rowid+" + 1", "rowid"),
		"DELETE FROM extra"+where(t, rowid),
	)
}

// agingDDL adds columns to tables with rows, and copies the rows, which are older than the columns.
func agingDDL(t *rapid.T) string {
	table := oneOf(t, "table", "aged", "copied")
	added := "ADD COLUMN " + oneOf(t, "column", "y", "z") + oneOf(t, "default", " INT DEFAULT (CAST('7' AS INT))", " DEFAULT ( 'it''s' -- so\n)",
		" REAL DEFAULT 7", " REAL DEFAULT 7", " DEFAULT (-(7))", " BOOLEAN DEFAULT TRUE", " DEFAULT word", ` DEFAULT "a word"`, " DATE DEFAULT '2024-05-06'",
		" TEXT DEFAULT (x'6162')", " DEFAULT ((1))")
	return oneOf(t, "aging",
		"ALTER TABLE aged "+added+"; ALTER TABLE copied "+added,
		"ALTER TABLE aged "+added+"; ALTER TABLE copied "+added+"; INSERT INTO copied SELECT * FROM aged",
		"INSERT INTO copied SELECT * FROM aged", "INSERT INTO aged SELECT * FROM copied",
		"UPDATE "+table+" SET x = x + 1", "DELETE FROM copied",
	)
}

// step is one call of a script.
type step struct {
	// how is exec, script, query (read in full), abandon (closed after one row), prepared, unprepare, which closes what
	// was prepared, or idle, which is exec unless a transaction is open.
	how string
	sql string
}

func (s step) String() string {
	if s.how == "exec" || s.how == "idle" {
		return s.sql + ";"
	}
	return s.sql + "; -- " + s.how
}

func drawStep(t *rapid.T) step {
	switch rapid.IntRange(0, 23).Draw(t, "step") {
	case 23:
		return step{"exec", oneOf(t, "index", "CREATE VIRTUAL TABLE notes USING fts4 (content='notes_content', body)", "DROP TABLE notes",
			"INSERT INTO notes_content (body) VALUES ("+literal(t)+")")}
	case 22:
		return step{"exec", identityDDL(t)}
	case 21:
		return step{"idle", oneOf(t, "takes the sentinel away", "PRAGMA temp_store = 0", "PRAGMA temp_store = 1", "PRAGMA temp_store = 2",
			"DROP TABLE IF EXISTS temp.wippy_capture_sentinel", "PRAGMA writable_schema = RESET")}
	case 0, 1, 2, 3, 4, 5:
		return step{"exec", control(t)}
	case 6:
		return step{oneOf(t, "how", "query", "abandon"), dml(t) + " RETURNING rowid"}
	case 7:
		return step{oneOf(t, "how", "query", "abandon"), "INSERT INTO plain VALUES " + rows(t, 2) + " RETURNING a"}
	case 8:
		return step{"script", dml(t) + "; " + oneOf(t, "second", dml(t), control(t), ddl(t)) + "; /* ; */ " + dml(t) + oneOf(t, "tail", "", "; ", "; -- end")}
	case 9, 10:
		return step{"prepared", oneOf(t, "prepared",
			"INSERT INTO plain VALUES (1, 'p')", "DELETE FROM plain", "UPDATE places SET what = what",
			"INSERT INTO totals (a, b) VALUES (1, 2) RETURNING b", "UPDATE later SET id = id + 1 WHERE id = 3 RETURNING id",
			"INSERT INTO plain VALUES (1, 'p') RETURNING a",
			"INSERT INTO users (name, age) VALUES ('p', 51)", "DELETE FROM users", "SELECT * FROM plain", "BEGIN", "COMMIT")}
	case 11:
		// Run again before it was closed, this fails after it has committed what the first run has left open.
		return step{"prepared", "INSERT INTO users (id, name) VALUES (9, 'once') RETURNING id"}
	case 12:
		return step{"unprepare", ""}
	case 13, 14:
		return step{"exec", ddl(t)}
	default:
		return step{"exec", dml(t)}
	}
}

// drawScript is a schema with content and what is done to it.
func drawScript(t *rapid.T) []step {
	script := []step{{"exec", "INSERT INTO plain VALUES (1, 'a'), (2, 'b'); INSERT INTO aged VALUES (1), ('two')"}}
	for range 6 { // rapid draws short slices only
		script = append(script, rapid.SliceOfN(rapid.Custom(drawStep), 0, 20).Draw(t, "steps")...)
	}
	return script
}

// asSQL writes a script so that it can be pasted into a shell.
func asSQL(script []step) string {
	lines := []string{"PRAGMA foreign_keys = ON;", "PRAGMA recursive_triggers = ON;", suiteSchema, witnessSchema()}
	for _, s := range script {
		lines = append(lines, s.String())
	}
	return strings.Join(lines, "\n")
}
