package sqlite_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

// openTwice opens a database file twice: the second one is another connection, which is not captured.
func openTwice(t *testing.T, configure ...func(*sqlapi.SQLiteConfig)) (db, other *sqlite.DB) {
	t.Helper()
	var file string
	db = open(t, append(configure, func(c *sqlapi.SQLiteConfig) { file = c.File })...)
	return db, open(t, func(c *sqlapi.SQLiteConfig) { c.File = file })
}

// A transaction that only reads, or writes to temporary tables alone, does not lock out other writers.
func TestEnlistingLocksNothing(t *testing.T) {
	t.Parallel()
	db, other := openTwice(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)", "CREATE TEMP TABLE aside (a)")
	record(t, db)
	conn := oneConn(t, db)
	mustExec(t, conn, "BEGIN", "WITH q AS (SELECT 1) SELECT * FROM q, t", "INSERT INTO temp.aside VALUES (1)")
	mustExec(t, other.Pool(), "INSERT INTO t VALUES (1)")
	mustExec(t, conn, "COMMIT")
}

// A writer that waits for a lock in vain fails as it would without capture, and streams go on.
func TestALockThatIsNotGivenLosesNothing(t *testing.T) {
	t.Parallel()
	db, other := openTwice(t, func(c *sqlapi.SQLiteConfig) { c.BusyTimeout = 1 })
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	s := newSession(t, db)
	held, err := other.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	mustExec(t, held, "INSERT INTO t VALUES (0)", "DELETE FROM t")
	s.run(0, "BEGIN", "!INSERT INTO t VALUES (1)", "ROLLBACK")
	require.NoError(t, held.Rollback())
	s.run(1, "BEGIN", "INSERT INTO t VALUES (2)", "COMMIT")
}

// DDL waits for a lock as it would without capture: reading the schema before does not begin the transaction.
func TestDDLWaitsForALock(t *testing.T) {
	t.Parallel()
	db, other := openTwice(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	s := newSession(t, db)
	held, err := other.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	mustExec(t, held, "CREATE TABLE elsewhere (a)")
	conn, err := db.Pool().Conn(t.Context())
	require.NoError(t, err)
	mustExec(t, conn, "BEGIN")
	released := time.AfterFunc(50*time.Millisecond, func() { _ = held.Rollback() })
	defer released.Stop()
	mustExec(t, conn, "CREATE TABLE q (a)", "INSERT INTO q VALUES (1)", "COMMIT")
	require.NoError(t, conn.Close())
	s.check(1, "what waited")
}

// As long as a transaction has not read, a statement of DDL waits for a lock and is captured, whatever another connection
// commits meanwhile.
func TestDDLThatIsTheFirstOfATransaction(t *testing.T) {
	t.Parallel()
	for ddl, want := range map[string][]string{
		"DROP TABLE q":                     {"truncate q", "schema q"},
		"ALTER TABLE q RENAME TO r":        {"schema r"},
		"ALTER TABLE q ADD COLUMN b":       {"schema q"},
		"CREATE TABLE r AS SELECT 1":       {"schema r", "insert r"},
		"CREATE TABLE r (a)":               {"schema r"},
		"CREATE TABLE IF NOT EXISTS q (a)": nil,
	} {
		for _, tables := range [][]string{nil, {"q", "r"}} {
			db, other := openTwice(t)
			mustExec(t, db.Pool(), "CREATE TABLE t (a)", "CREATE TABLE q (a)")
			r := record(t, db, tables...)
			conn := oneConn(t, db)
			held, err := other.Pool().BeginTx(t.Context(), nil)
			require.NoError(t, err)
			mustExec(t, held, "INSERT INTO t VALUES (1)")
			mustExec(t, conn, "BEGIN")
			released := time.AfterFunc(20*time.Millisecond, func() { _ = held.Commit() })
			mustExec(t, conn, ddl, "COMMIT")
			released.Stop()
			require.Equal(t, want, ops(t, r.take(t)), ddl)
		}
	}
}

// A transaction that begins after another connection has committed may still write after a further such commit, and a
// statement of DDL that fails does not change that.
func TestABeginSeesNothingYet(t *testing.T) {
	t.Parallel()
	db, other := openTwice(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)", "INSERT INTO t VALUES (0)")
	record(t, db)
	conn := oneConn(t, db)
	mustExec(t, conn, "INSERT INTO t VALUES (1)")
	mustExec(t, other.Pool(), "INSERT INTO t VALUES (2)")
	mustExec(t, conn, "SELECT * FROM t", "BEGIN")
	_, err := conn.ExecContext(t.Context(), "ALTER TABLE t ADD COLUMN a")
	require.ErrorContains(t, err, "duplicate column")
	mustExec(t, other.Pool(), "INSERT INTO t VALUES (3)")
	mustExec(t, conn, "INSERT INTO t VALUES (4)", "COMMIT")
}

// A commit of our own that does not touch the database must not hide that another connection has changed it.
func TestAnotherCommitIsNoticedBesideTemporaryOnes(t *testing.T) {
	t.Parallel()
	db, other := openTwice(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a, b)", "CREATE TEMP TABLE aside (a)")
	r := record(t, db)
	mustExec(t, db.Pool(), "INSERT INTO t VALUES (1, 2)")
	mustExec(t, other.Pool(), "ALTER TABLE t ADD COLUMN c")
	mustExec(t, db.Pool(), "INSERT INTO temp.aside SELECT 1 FROM t", "INSERT INTO t (a, b) VALUES (3, 4)")
	txs := r.take(t)
	require.Len(t, txs, 2)
	require.Len(t, changes(t, txs[1])[0].After, 3)
}

// A table that another connection has dropped does not keep others from being resolved.
func TestAnotherConnectionDropsATable(t *testing.T) {
	t.Parallel()
	for script, want := range map[string][]string{
		"INSERT INTO kept VALUES (2)":                {"insert kept"},
		"BEGIN; INSERT INTO kept VALUES (2); COMMIT": {"insert kept"},
		"DROP TABLE kept":                            {"truncate kept", "schema kept"},
		"ALTER TABLE kept RENAME TO gone":            {"schema gone"},
	} {
		db, other := openTwice(t)
		mustExec(t, db.Pool(), "CREATE TABLE gone (a)", "CREATE TABLE kept (a)", "INSERT INTO kept VALUES (1)")
		r := record(t, db)
		conn := oneConn(t, db)
		mustExec(t, conn, "INSERT INTO gone VALUES (1)")
		r.take(t)
		mustExec(t, other.Pool(), "DROP TABLE gone")
		mustExec(t, conn, script)
		require.Equal(t, want, ops(t, r.take(t)), script)
	}
}

// What a DDL statement did before it rolled its transaction back is not told with the next one.
func TestDDLThatRollsBack(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.ForeignKeys = true })
	mustExec(t, db.Pool(), "CREATE TABLE a (x)", "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
		"CREATE TABLE child (p REFERENCES parent (id) ON DELETE CASCADE)",
		"CREATE TRIGGER no BEFORE DELETE ON child BEGIN SELECT RAISE(ROLLBACK, 'no'); END")
	s := newSession(t, db)
	s.run(2, "INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (1)")
	s.run(1, "BEGIN", "DROP TABLE a", "CREATE TABLE n (x)", "!DROP TABLE parent", "INSERT INTO a VALUES (2)")
	s.run(2, "CREATE TABLE n (y)", "INSERT INTO n VALUES (3)")
}

// Open rows keep an interrupt alive, so that the schema cannot be read: nothing may be told wrongly or left out
// silently.
func TestAnInterruptThatLasts(t *testing.T) {
	t.Parallel()
	for _, endless := range []string{
		"CREATE TABLE z AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
		"INSERT INTO b WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
	} {
		db := open(t)
		mustExec(t, db.Pool(), "CREATE TABLE a (x)", "INSERT INTO a VALUES (1), (2), (3)", "CREATE TABLE b (x)")
		r := record(t, db)
		tx, err := db.Pool().BeginTx(t.Context(), nil)
		require.NoError(t, err)
		rows, err := tx.QueryContext(t.Context(), "SELECT x FROM a")
		require.NoError(t, err)
		require.True(t, rows.Next())
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err = tx.ExecContext(ctx, endless)
		require.Error(t, err)
		cancel()
		require.NoError(t, rows.Close())
		_ = rows.Err() // it was interrupted, too
		_ = tx.Rollback()
		mustExec(t, db.Pool(), "INSERT INTO b VALUES (7)")
		r.mu.Lock()
		require.Len(t, append(ops(t, r.transactions), lostOnes(r.lost)...), 1, endless)
		r.mu.Unlock()
	}
}

func ops(t *testing.T, txs []*transaction) (all []string) {
	t.Helper()
	for _, tx := range txs {
		for _, c := range changes(t, tx) {
			all = append(all, string(c.Op)+" "+c.Table.Name)
		}
	}
	return all
}

func lostOnes(errs []error) (all []string) {
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}

// A table that is renamed to a captured name comes with its rows, and one that is renamed away is gone.
func TestRenamesAcrossTheSelection(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE a (x)", "INSERT INTO a VALUES (1), (2)")
	r := record(t, db, "a")
	mustExec(t, db.Pool(), "BEGIN; CREATE TABLE new_a (x, y); INSERT INTO new_a SELECT x, x FROM a; DROP TABLE a; ALTER TABLE new_a RENAME TO a; COMMIT")
	require.Equal(t, []string{"truncate a", "schema a", "schema a", "insert a", "insert a"}, ops(t, r.take(t)))
	mustExec(t, db.Pool(), "ALTER TABLE a RENAME TO b", "INSERT INTO b VALUES (3, 3)")
	require.Equal(t, []string{"truncate a", "schema a"}, ops(t, r.take(t)))

	all := open(t) // where just the table of positions is not captured
	mustExec(t, all.Pool(), "CREATE TABLE a (x)", "INSERT INTO a VALUES (1)")
	r = record(t, all)
	mustExec(t, all.Pool(), "ALTER TABLE a RENAME TO wippy_cdc_offsets")
	require.Equal(t, []string{"truncate a", "schema a"}, ops(t, r.take(t)))
}

// What is renamed was made while only its definition was looked at, and was not written to since.
func TestATableThatWasJustMadeIsRenamed(t *testing.T) {
	t.Parallel()
	for _, tables := range [][]string{nil, {"a", "b", "t"}} {
		for _, script := range []string{
			"ALTER TABLE a RENAME TO b",
			"DROP TABLE IF EXISTS absent; ALTER TABLE a RENAME TO b",
			"DROP TABLE moved; ALTER TABLE a RENAME TO b",
			"BEGIN; ALTER TABLE a RENAME TO b; COMMIT",
			"BEGIN; INSERT INTO t VALUES (1); ALTER TABLE main.a RENAME TO b; COMMIT",
			"BEGIN; DROP TABLE moved; ALTER TABLE a RENAME TO b; COMMIT",
		} {
			db := open(t, func(c *sqlapi.SQLiteConfig) { c.Options = map[string]string{"auto_vacuum": "full"} })
			r := record(t, db, tables...)
			conn := oneConn(t, db)
			mustExec(t, conn, "CREATE TABLE t (x)", "CREATE TABLE moved (x)", "CREATE TABLE a AS SELECT 1 AS x")
			r.take(t)
			mustExec(t, conn, script)
			txs := r.take(t)
			all := changes(t, txs[len(txs)-1])
			require.Equal(t, &api.SchemaChange{Action: api.Alter, SQL: `CREATE TABLE "b"(x)`, From: "a"}, all[len(all)-1].Schema, script)
		}
	}
}

// The transaction of a RETURNING that is not reset goes on, and what it has captured must not be lost.
func TestARenameBesideAReturningThatIsNotReset(t *testing.T) {
	t.Parallel()
	db := open(t)
	r := record(t, db)
	conn := oneConn(t, db)
	mustExec(t, conn, "CREATE TABLE t (x)", "CREATE TABLE a AS SELECT 1 AS x", "DROP TABLE IF EXISTS absent")
	r.take(t)
	returning, err := conn.PrepareContext(t.Context(), "INSERT INTO t VALUES (1) RETURNING x")
	require.NoError(t, err)
	_, err = returning.ExecContext(t.Context())
	require.NoError(t, err)
	mustExec(t, conn, "ALTER TABLE a RENAME TO b")
	require.Empty(t, r.take(t))
	require.NoError(t, returning.Close())
	require.Equal(t, []string{"insert t", "schema b"}, ops(t, r.take(t)))
}

func TestWritableSchemaIsASchemaChange(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a, b)", "INSERT INTO t VALUES (1, 2)")
	r := record(t, db)
	conn := oneConn(t, db)
	mustExec(t, conn, "INSERT INTO t VALUES (3, 4)", "BEGIN")
	mustExec(t, conn, "PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (a, c)' WHERE name = 't'",
		"PRAGMA schema_version = 1000", "PRAGMA writable_schema = OFF", "COMMIT")
	mustExec(t, conn, "INSERT INTO t VALUES (5, 6)")
	txs := r.take(t)
	last := changes(t, txs[len(txs)-1])
	require.Equal(t, "c", last[0].Table.Columns[1].Name)
}
