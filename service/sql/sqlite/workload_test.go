package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// session replays what a database commits into a replica after every statement and compares the two.
type session struct {
	tb      testing.TB
	db      *sqlite.DB
	sink    *recording
	replica *replica
}

func newSession(tb testing.TB, db *sqlite.DB) *session {
	tb.Helper()
	return &session{tb: tb, db: db, sink: record(tb, db), replica: newReplica(tb)}
}

// replay replays what was committed since the last call; it must be want transactions.
func (s *session) replay(want int, what string) {
	s.tb.Helper()
	txs := s.sink.take(s.tb)
	require.Len(s.tb, txs, want, what)
	for _, tx := range txs {
		s.replica.apply(tx)
	}
}

// check replays and compares. No transaction may be open.
func (s *session) check(want int, what string) {
	s.tb.Helper()
	s.replay(want, what)
	s.replica.same(s.db)
}

// run executes each statement on one connection and checks after those that end no transaction that was left open.
// A line that begins with "!" must fail; the last line must have committed want transactions in all.
func (s *session) run(want int, lines ...string) {
	s.tb.Helper()
	connection, err := s.db.Pool().Conn(s.tb.Context())
	require.NoError(s.tb, err)
	for _, line := range lines {
		query, fails := strings.CutPrefix(line, "!")
		_, err := connection.ExecContext(s.tb.Context(), query)
		if fails {
			require.Error(s.tb, err, line)
		} else {
			require.NoError(s.tb, err, line)
		}
	}
	require.NoError(s.tb, connection.Close())
	s.check(want, strings.Join(lines, "; "))
}

const workloadSchema = `
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE, age, CHECK (age IS NULL OR age < 200));
CREATE TABLE places (x INT, y INT, what, PRIMARY KEY (y, x)) WITHOUT ROWID;
CREATE TABLE totals (a REAL, b INT, sum GENERATED ALWAYS AS (a + b) STORED, diff GENERATED ALWAYS AS (a - b), note);
CREATE TABLE audit (what, who);
CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INT REFERENCES users (id) ON DELETE CASCADE, item);
CREATE TABLE parents (id INTEGER PRIMARY KEY);
CREATE TABLE children (id INTEGER PRIMARY KEY, parent INT REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
CREATE TRIGGER audit_users AFTER INSERT ON users BEGIN
  INSERT INTO audit VALUES ('new user; really', new.name);
  SELECT RAISE(ABORT, 'abort') WHERE new.name = 'abort';
  SELECT RAISE(FAIL, 'fail') WHERE new.name = 'fail';
  SELECT RAISE(ROLLBACK, 'rollback') WHERE new.name = 'rollback';
  SELECT RAISE(IGNORE) WHERE new.name = 'ignore';
  INSERT INTO audit VALUES ('done', new.name);
END;
`

func TestReplicaEqualsTheSourceAfterEveryCommit(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name         string
		transactions int
		script       []string
	}{
		{"autocommit", 3, []string{
			"INSERT INTO users VALUES (1, 'a', 1), (2, 'b', 2.5), (3, 'c', NULL)",
			"UPDATE users SET age = age + 1",
			"DELETE FROM users WHERE id = 2",
		}},
		{"no change, no transaction", 1, []string{
			"UPDATE users SET age = 1 WHERE id = 99", "DELETE FROM users",
			"BEGIN", "COMMIT", "BEGIN", "INSERT INTO users VALUES (1, 'a', 1)", "ROLLBACK",
			"INSERT INTO users VALUES (2, 'b', 1)",
		}},
		{"no-op update and identical replace are changes", 3, []string{
			"INSERT INTO users VALUES (1, 'a', 1)", "UPDATE users SET age = age", "REPLACE INTO users VALUES (1, 'a', 1)",
		}},
		{"transaction", 1, []string{
			"BEGIN", "INSERT INTO users VALUES (1, 'a', 1)", "UPDATE users SET id = 10", "DELETE FROM users WHERE id = 1", "COMMIT",
		}},
		{"savepoints nested and of one name", 1, []string{
			"BEGIN", "INSERT INTO audit VALUES (1, 1)",
			"SAVEPOINT A", "INSERT INTO audit VALUES (2, 2)",
			"SAVEPOINT a", "INSERT INTO audit VALUES (3, 3)", "ROLLBACK TO a", "INSERT INTO audit VALUES (4, 4)",
			"RELEASE A", "INSERT INTO audit VALUES (5, 5)", "ROLLBACK TO a", "INSERT INTO audit VALUES (6, 6)", "COMMIT",
		}},
		{"savepoint as the transaction", 1, []string{
			"SAVEPOINT s", "INSERT INTO audit VALUES (1, 1)", "ROLLBACK TO s", "INSERT INTO audit VALUES (2, 2)",
			"SAVEPOINT t", "INSERT INTO audit VALUES (3, 3)", "RELEASE s",
		}},
		{"savepoint taken before anything was written", 1, []string{
			"BEGIN", "SAVEPOINT a", "SAVEPOINT b", "INSERT INTO audit VALUES (1, 1)", "ROLLBACK TO a",
			"INSERT INTO audit VALUES (2, 2)", "COMMIT",
		}},
		{"failing multi-row statement in a transaction", 1, []string{
			"BEGIN", "INSERT INTO users VALUES (1, 'a', 1)",
			"!INSERT INTO users VALUES (2, 'b', 1), (3, 'a', 1)",
			"!UPDATE users SET age = 300", "INSERT INTO users VALUES (4, 'd', 1)", "COMMIT",
		}},
		{"failing multi-row statement alone", 0, []string{"!INSERT INTO users VALUES (2, 'b', 1), (3, 'b', 1)"}},
		{"OR FAIL keeps the rows before", 2, []string{
			"!INSERT OR FAIL INTO users VALUES (1, 'a', 1), (2, 'b', 1), (3, 'a', 1)",
			"BEGIN", "!INSERT OR FAIL INTO users VALUES (5, 'e', 1), (6, 'a', 1)", "COMMIT",
		}},
		{"OR IGNORE, OR REPLACE, UPSERT", 4, []string{
			"INSERT INTO users VALUES (1, 'a', 1), (2, 'b', 1)",
			"INSERT OR IGNORE INTO users VALUES (3, 'a', 1), (4, 'd', 1)",
			"INSERT OR REPLACE INTO users VALUES (1, 'b', 9)",
			"INSERT INTO users VALUES (9, 'b', 1) ON CONFLICT (name) DO UPDATE SET age = excluded.age + age",
		}},
		{"OR ROLLBACK undoes the transaction", 1, []string{
			"BEGIN", "INSERT INTO users VALUES (1, 'a', 1)", "!INSERT OR ROLLBACK INTO users VALUES (2, 'a', 1)",
			"INSERT INTO users VALUES (3, 'c', 1)",
		}},
		{"triggers that raise", 3, []string{
			"!INSERT INTO users VALUES (1, 'a', 1), (2, 'abort', 1)",
			"!INSERT INTO users VALUES (3, 'c', 1), (4, 'fail', 1)",
			"BEGIN", "INSERT INTO users VALUES (5, 'e', 1)", "!INSERT INTO users VALUES (6, 'f', 1), (7, 'abort', 1)",
			"!INSERT INTO users VALUES (8, 'h', 1), (9, 'fail', 1)", "COMMIT",
			"BEGIN", "INSERT INTO users VALUES (10, 'j', 1)", "!INSERT INTO users VALUES (11, 'rollback', 1)",
			"INSERT INTO users VALUES (12, 'ignore', 1), (13, 'm', 1)",
		}},
		{"WITHOUT ROWID", 4, []string{
			"INSERT INTO places VALUES (1, 2, 'a'), (2, 1, 'b')", "UPDATE places SET x = 7 WHERE x = 1",
			"REPLACE INTO places VALUES (7, 2, NULL)", "DELETE FROM places",
		}},
		{"generated columns", 3, []string{
			"INSERT INTO totals (a, b, note) VALUES (1, 2, 'n'), (0.5, NULL, x'00')", "UPDATE totals SET b = 5", "DELETE FROM totals",
		}},
		{"foreign keys cascade", 2, []string{
			"BEGIN", "INSERT INTO users VALUES (1, 'a', 1)", "INSERT INTO orders VALUES (1, 1, 'x'), (2, 1, 'y')", "COMMIT",
			"!INSERT INTO orders VALUES (3, 77, 'z')",
			"DELETE FROM users",
		}},
		{"deferred foreign key at COMMIT", 1, []string{
			"BEGIN", "INSERT INTO children VALUES (1, 5)", "!COMMIT", "INSERT INTO parents VALUES (5)", "COMMIT",
			"BEGIN", "INSERT INTO children VALUES (2, 6)", "!COMMIT", "ROLLBACK",
		}},
		{"a script commits statement by statement", 3, []string{
			"INSERT INTO audit VALUES (1, ';'); /* ; */ INSERT INTO audit VALUES (2, 2); -- done;",
			"!INSERT INTO audit VALUES (3, 3); INSERT INTO nowhere VALUES (1)",
		}},
		{"a script with a transaction that fails", 1, []string{
			"!INSERT INTO audit VALUES (1, 1); BEGIN; INSERT INTO audit VALUES (2, 2); INSERT INTO nowhere VALUES (1)",
			"ROLLBACK",
		}},
		{"temp and attached tables of the same name", 1, []string{
			"CREATE TEMP TABLE audit (what, who)", "INSERT INTO audit VALUES (1, 1)", "INSERT INTO main.audit VALUES (2, 2)",
			"DROP TABLE temp.audit", "ATTACH ':memory:' AS other", "CREATE TABLE other.audit (what, who)",
			"INSERT INTO other.audit VALUES (3, 3)", "DETACH other",
		}},
		{"columns change", 7, []string{
			"INSERT INTO audit VALUES (1, 1)", "ALTER TABLE audit ADD COLUMN extra DEFAULT 'e'",
			"UPDATE audit SET who = 2", "ALTER TABLE audit RENAME COLUMN who TO whom", "INSERT INTO audit VALUES (3, 3, 3)",
			"ALTER TABLE audit DROP COLUMN what", "DELETE FROM audit WHERE whom = 3",
		}},
		{"columns change inside a transaction and back", 1, []string{
			"BEGIN", "INSERT INTO audit VALUES (1, 1)", "SAVEPOINT s", "ALTER TABLE audit ADD COLUMN extra REAL DEFAULT 5",
			"INSERT INTO audit VALUES (2, 2, 2)", "ROLLBACK TO s", "INSERT INTO audit VALUES (3, 3)",
			"ALTER TABLE audit RENAME TO log", "UPDATE log SET who = 4", "COMMIT",
		}},
		{"CREATE TABLE AS, DROP TABLE", 5, []string{
			"INSERT INTO audit VALUES (1, 'x'), (2, x'00')", "CREATE TABLE copy AS SELECT what AS rowid, who FROM audit",
			"BEGIN", "DROP TABLE audit", "CREATE TABLE audit AS SELECT who FROM copy", "DELETE FROM audit WHERE who = 'x'", "COMMIT",
			"BEGIN", "CREATE TABLE gone AS SELECT 1", "ROLLBACK", "DROP TABLE copy", "INSERT INTO audit VALUES (9)",
		}},
		{"DROP TABLE deletes row by row for foreign keys", 2, []string{
			"BEGIN", "INSERT INTO users VALUES (1, 'a', 1)", "INSERT INTO orders VALUES (1, 1, 'x')", "COMMIT", "DROP TABLE users",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, func(c *sqlapi.SQLiteConfig) { c.ForeignKeys = true })
			mustExec(t, db.Pool(), workloadSchema)
			newSession(t, db).run(tc.transactions, tc.script...)
		})
	}
}

func TestReturningCommitsWhenItsRowsAreClosed(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), workloadSchema)
	s := newSession(t, db)

	rows, err := db.Pool().QueryContext(t.Context(), "INSERT INTO audit VALUES (1, 1), (2, 2) RETURNING what")
	require.NoError(t, err)
	require.True(t, rows.Next())
	s.replay(0, "rows are open")
	require.NoError(t, rows.Close())
	require.NoError(t, rows.Err())
	s.check(1, "abandoned after one row")

	var n int
	require.NoError(t, db.Pool().QueryRowContext(t.Context(), "DELETE FROM audit WHERE what = 1 RETURNING who").Scan(&n))
	s.check(1, "read in full")
}

func TestPreparedReturningRunByExecCommitsWithItsNextUse(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), workloadSchema)
	s := newSession(t, db)
	connection, err := db.Pool().Conn(t.Context())
	require.NoError(t, err)
	insert, err := connection.PrepareContext(t.Context(), "INSERT INTO users VALUES (?, ?, 1) RETURNING id")
	require.NoError(t, err)
	for i := range 3 {
		_, err = insert.ExecContext(t.Context(), i, string(rune('a'+i)))
		require.NoError(t, err)
	}
	_, err = insert.ExecContext(t.Context(), 9, "a")
	require.Error(t, err)
	require.NoError(t, insert.Close())
	require.NoError(t, connection.Close())
	s.check(3, "each execution is a transaction")
}

// While a RETURNING statement is open in autocommit mode, a second statement becomes part of its transaction, and if
// that one fails, SQLite undoes it by a savepoint that no statement asked for.
func TestStatementsBesideAnOpenReturning(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), workloadSchema)
	s := newSession(t, db)
	connection, err := db.Pool().Conn(t.Context())
	require.NoError(t, err)
	rows, err := connection.QueryContext(t.Context(), "INSERT INTO users VALUES (1, 'a', 1), (2, 'b', 1) RETURNING id")
	require.NoError(t, err)
	require.True(t, rows.Next())
	_, err = connection.ExecContext(t.Context(), "INSERT INTO users VALUES (3, 'c', 1), (4, 'a', 1)")
	require.Error(t, err)
	mustExec(t, connection, "INSERT INTO users VALUES (5, 'e', 1)")
	require.NoError(t, rows.Close())
	require.NoError(t, rows.Err())
	require.NoError(t, connection.Close())
	s.check(1, "both statements commit together")
}

func TestPreparedStatementsAcrossTransactions(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), workloadSchema)
	insert, err := db.Pool().PrepareContext(t.Context(), "INSERT INTO users VALUES (?, ?, ?)")
	require.NoError(t, err)
	truncate, err := db.Pool().PrepareContext(t.Context(), "DELETE FROM users")
	require.NoError(t, err)
	s := newSession(t, db)
	for i := range 3 {
		tx, err := db.Pool().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		for j := range 3 {
			_, err = tx.StmtContext(t.Context(), insert).ExecContext(t.Context(), 10*i+j, string(rune('a'+10*i+j)), j)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())
		s.check(1, "insert")
	}
	mustExec(t, db.Pool(), "ALTER TABLE users ADD COLUMN extra")
	s.check(1, "alter")
	_, err = truncate.ExecContext(t.Context())
	require.NoError(t, err)
	txs := s.sink.take(t)
	require.Len(t, txs, 1)
	deleted := changes(t, txs[0])
	require.Len(t, deleted, 9)
	require.Equal(t, "extra", deleted[0].Table.Columns[3].Name)
	require.NoError(t, insert.Close())
	require.NoError(t, truncate.Close())
}

func TestCancelledStatementLeavesNothing(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), workloadSchema)
	s := newSession(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := db.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	mustExec(t, tx, "INSERT INTO audit VALUES (0, 0)")
	wait := make(chan error)
	go func() {
		_, err := tx.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
			INSERT INTO audit SELECT i, i FROM n`)
		wait <- err
	}()
	cancel()
	require.Error(t, <-wait)
	err = tx.Commit()
	if err != nil && !errors.Is(err, sql.ErrTxDone) {
		require.NoError(t, tx.Rollback())
	}
	committed := 0
	if err == nil {
		committed = 1
	}
	s.check(committed, "what the transaction kept")
}

func TestArgumentsOfAScriptAreDealtOut(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), workloadSchema)
	s := newSession(t, db)
	_, err := db.Pool().ExecContext(t.Context(), "INSERT INTO audit VALUES (?, ?); INSERT INTO audit VALUES (?, ?)", 1, "a", 2, "b")
	require.NoError(t, err)
	s.check(2, "two statements")
	_, err = db.Pool().ExecContext(t.Context(), "INSERT INTO audit VALUES (?, ?); INSERT INTO audit VALUES (?, ?)", 3, "c", 4)
	require.EqualError(t, err, "not enough args to execute query: want 2 got 1")
	s.check(1, "the first of two")
	rows, err := db.Pool().QueryContext(t.Context(), "INSERT INTO audit VALUES (?, ?); SELECT who FROM audit WHERE what = ?", 5, "e", 5)
	require.NoError(t, err)
	require.True(t, rows.Next())
	var who string
	require.NoError(t, rows.Scan(&who))
	require.Equal(t, "e", who)
	require.NoError(t, rows.Close())
	require.NoError(t, rows.Err())
	s.check(1, "a query with a write before it")
}
