package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

func TestWhatTheProgramWasBuiltWithIsTold(t *testing.T) {
	t.Parallel()
	require.Regexp(t, `^SQLite 3\.[0-9.]+ with capture, FTS5, math functions$`, sqlite.Build())
	db := open(t)
	require.Equal(t, [][]any{{2.0}}, query(t, db.Pool(), "SELECT sqrt(4)"))
}

// A full-text index over a table, with the usual triggers, is kept and searched; its own tables are not captured.
func TestAFullTextIndexBesideItsTable(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), `CREATE TABLE notes (id INTEGER PRIMARY KEY, body);
		CREATE VIRTUAL TABLE found USING fts5 (body, content = 'notes', content_rowid = 'id');
		CREATE TRIGGER notes_insert AFTER INSERT ON notes BEGIN INSERT INTO found (rowid, body) VALUES (new.id, new.body); END;
		CREATE TRIGGER notes_delete AFTER DELETE ON notes BEGIN
			INSERT INTO found (found, rowid, body) VALUES ('delete', old.id, old.body);
		END;`)
	r := record(t, db)
	mustExec(t, db.Pool(), "INSERT INTO notes VALUES (1, 'one'), (2, 'two')", "DELETE FROM notes WHERE id = 1")
	require.Equal(t, []string{"insert notes 1 0", "insert notes 2 0", "delete notes"}, told(t, r))
	require.Equal(t, [][]any{{int64(2)}}, query(t, db.Pool(), "SELECT rowid FROM found WHERE found MATCH 'two'"))
}
