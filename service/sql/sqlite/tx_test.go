package sqlite_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
)

const endedSchema = `
CREATE TABLE t (a UNIQUE);
CREATE TRIGGER t_insert BEFORE INSERT ON t WHEN new.a = 13 BEGIN SELECT RAISE(ROLLBACK, 'unlucky'); END;
INSERT INTO t VALUES (1);`

// What a transaction does after SQLite has ended it must not commit by itself.
func TestStatementsAreRefusedAfterSQLiteEndedTheTransaction(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		end  func(tx *sql.Tx) error
		want string
	}{
		"conflict clause": {
			func(tx *sql.Tx) error { _, err := tx.Exec("INSERT OR ROLLBACK INTO t VALUES (1)"); return err }, //nolint:noctx // a test
			"sqlite: the transaction was rolled back when a statement failed: UNIQUE constraint failed: t.a",
		},
		"trigger": {
			func(tx *sql.Tx) error { _, err := tx.Exec("INSERT INTO t VALUES (13)"); return err }, //nolint:noctx // a test
			"sqlite: the transaction was rolled back when a statement failed: unlucky",
		},
		"query": {
			func(tx *sql.Tx) error {
				var a any
				return tx.QueryRow("INSERT INTO t VALUES (13) RETURNING a").Scan(&a) //nolint:noctx // a test
			},
			"sqlite: the transaction was rolled back when a statement failed: unlucky",
		},
		"statement": {
			func(tx *sql.Tx) error { _, err := tx.Exec("ROLLBACK"); return err }, //nolint:noctx // a test
			"sqlite: the transaction was ended by one of its statements",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t)
			mustExec(t, db.Pool(), endedSchema)
			r := record(t, db)
			for _, commit := range []bool{true, false} {
				tx, err := db.Pool().BeginTx(t.Context(), nil)
				require.NoError(t, err)
				prepared, err := tx.PrepareContext(t.Context(), "INSERT INTO t VALUES (4)")
				require.NoError(t, err)
				mustExec(t, tx, "INSERT INTO t VALUES (2)")
				_ = tc.end(tx) // not all fail
				_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES (3)")
				require.EqualError(t, err, tc.want)
				_, err = prepared.ExecContext(t.Context())
				require.EqualError(t, err, tc.want)
				if commit {
					require.EqualError(t, tx.Commit(), tc.want)
				} else {
					require.NoError(t, tx.Rollback())
				}
			}
			require.Empty(t, r.take(t))
			mustExec(t, db.Pool(), "INSERT INTO t VALUES (5)")
			require.Len(t, r.take(t), 1)
		})
	}
}

func TestABeginOnThePoolIsRolledBack(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	r := record(t, db)
	mustExec(t, db.Pool(), "BEGIN; INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
	txs := r.take(t)
	require.Len(t, txs, 1)
	require.Equal(t, int64(2), changes(t, txs[0])[0].After[0].Int64())
}

func TestReadOnlyTransactions(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	for _, end := range []func(*sql.Tx) error{(*sql.Tx).Commit, (*sql.Tx).Rollback} {
		tx, err := db.Pool().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES (1)")
		require.Equal(t, errs.PermissionDenied, errs.KindOf(db.Classify(err)))
		require.NoError(t, end(tx))
		mustExec(t, db.Pool(), "INSERT INTO t VALUES (2)")
	}
}

// A transaction that is open when the database closes cannot commit any more: no sink would be told.
func TestNothingIsCommittedAfterClose(t *testing.T) {
	t.Parallel()
	db, other := openTwice(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	r := record(t, db)
	tx, err := db.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	mustExec(t, tx, "INSERT INTO t VALUES (1)")
	require.NoError(t, db.Close())
	_, err = tx.ExecContext(t.Context(), "INSERT INTO t VALUES (2)")
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.EqualError(t, tx.Commit(), `sqlite: database "app:db" is closed`)
	require.Empty(t, r.take(t))
	mustExec(t, other.Pool(), "INSERT INTO t VALUES (3)")
	require.Equal(t, [][]any{{int64(3)}}, query(t, other.Pool(), "SELECT a FROM t"))
}

// Until the RETURNING of a temporary table is reset, SQLite undoes what fails by a savepoint.
func TestAFailureBesideAReturningThatIsNotReset(t *testing.T) {
	t.Parallel()
	for _, aside := range []string{"CREATE TEMP TABLE aside (a)", "ATTACH ':memory:' AS other; CREATE TABLE other.aside (a)"} {
		runScript(t, []step{
			{"exec", aside},
			{"prepared", "INSERT INTO aside VALUES (1) RETURNING a"},
			{"exec", "INSERT INTO users (id) VALUES (1), (1)"},
			{"exec", "INSERT INTO users (id) VALUES (2), (3)"},
			{"unprepare", ""},
		}, "")
	}
}
