package sqlite_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// SQLite copies rows as they are between tables of one shape; those older than a column have its default.
func TestRowsThatAreCopiedHaveDefaults(t *testing.T) {
	t.Parallel()
	columns := []string{
		"y INT DEFAULT 7", "z TEXT DEFAULT 'ä'", "r REAL DEFAULT 2", "b BLOB DEFAULT x'00ff'", "n INT",
		"e INT DEFAULT (CAST('7' AS INT))", "m INT DEFAULT (-(7))", "br TEXT DEFAULT (('x'))", "c TEXT DEFAULT ('c' -- the end\n)",
	}
	loose := []string{
		"w DEFAULT word", `q DEFAULT "two words"`, "t BOOLEAN DEFAULT TRUE", "d DATE DEFAULT '2024-05-06'", "ts TIMESTAMP DEFAULT 1700000000",
		"nul DEFAULT (NULL)", `tr DEFAULT "true"`, "plus DEFAULT +5", "v VARCHAR(10) DEFAULT 5",
	}
	for _, kind := range []struct {
		name, key, suffix string
		columns           []string
	}{
		{"plain", "", "", append(loose, columns...)},
		{"strict", "", " STRICT", columns},
		{"without rowid", " PRIMARY KEY", " WITHOUT ROWID", append(loose, columns...)},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			mustExec(t, db.Pool(), "CREATE TABLE a (x INT"+kind.key+")"+kind.suffix, "INSERT INTO a VALUES (1), (2)")
			for _, column := range kind.columns {
				mustExec(t, db.Pool(), "ALTER TABLE a ADD COLUMN "+column)
			}
			s := newSession(t, db)
			mustExec(t, db.Pool(), "CREATE TABLE c (x INT"+kind.key+", "+strings.Join(kind.columns, ", ")+")"+kind.suffix,
				"INSERT INTO c SELECT * FROM a")
			for _, tx := range s.sink.take(t) {
				s.replica.apply(tx)
			}
			mustExec(t, db.Pool(), "DROP TABLE a")
			want := contents(t, db.Pool())
			for _, rows := range want {
				require.Len(t, rows, 2)
			}
			require.Equal(t, want, s.replica.contents())
		})
	}
}
