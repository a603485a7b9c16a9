package sqlite_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mattn/go-sqlite3"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

func TestOnlyTablesThatASinkNamesAreCaptured(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE c (x)", "CREATE TABLE wippy_cdc_offsets (x)",
		"CREATE TABLE wippy_cdc_parked (x)")
	first := record(t, db, "A", "main.B")
	inserts := []string{
		"INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1)", "INSERT INTO c VALUES (1)", "INSERT INTO wippy_cdc_offsets VALUES (1)",
		"INSERT INTO Wippy_CDC_parked VALUES (1)",
	}
	mustExec(t, db.Pool(), inserts...)
	require.Len(t, first.take(t), 2)

	second := &recording{}
	detach, err := db.Attach(t.Context(), second)
	require.NoError(t, err)
	mustExec(t, db.Pool(), inserts...)
	require.Len(t, second.take(t), 3)
	require.Len(t, first.take(t), 3, "all that any sink wants")
	detach()
	mustExec(t, db.Pool(), inserts...)
	require.Empty(t, second.take(t))
	require.Len(t, first.take(t), 2)
}

func TestASinkSeesNoPartOfATransactionThatBeganBeforeIt(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	conn, err := db.Pool().Conn(t.Context())
	require.NoError(t, err)
	mustExec(t, conn, "BEGIN", "INSERT INTO t VALUES (1)")
	r := &recording{}
	attached := make(chan error, 1)
	var detach func()
	go func() {
		var err error
		detach, err = db.Attach(t.Context(), r)
		attached <- err
	}()
	select {
	case err := <-attached:
		t.Fatal("attached while a transaction was open", err)
	default:
	}
	mustExec(t, conn, "INSERT INTO t VALUES (2)", "COMMIT", "SELECT 1")
	require.NoError(t, conn.Close())
	require.NoError(t, <-attached)
	defer detach()
	mustExec(t, db.Pool(), "INSERT INTO t VALUES (3)")
	txs := r.take(t)
	require.Len(t, txs, 1)
	require.Len(t, changes(t, txs[0]), 1)
}

func TestAttachGivesUpWhenItsContextIsDone(t *testing.T) {
	t.Parallel()
	db := open(t)
	tx, err := db.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = db.Attach(ctx, &recording{})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.NoError(t, tx.Rollback())
}

func TestSinksAreToldOnceThatTheDatabaseCloses(t *testing.T) {
	t.Parallel()
	db := open(t)
	r, gone := record(t, db), &recording{}
	detach, err := db.Attach(t.Context(), gone)
	require.NoError(t, err)
	detach()
	detach()
	require.NoError(t, db.Close())
	require.NoError(t, db.Close())
	require.Equal(t, 1, r.closed)
	require.Zero(t, gone.closed)
	_, err = db.Attach(t.Context(), &recording{})
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
}

func TestCaptureGoesOnOverANewConnection(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.Pool.MaxLifetime = 1 })
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	r := record(t, db)
	for range 20 {
		mustExec(t, db.Pool(), "INSERT INTO t VALUES (1)")
	}
	require.Len(t, r.take(t), 20)
}

func TestSchemaChangedByAnotherConnection(t *testing.T) {
	t.Parallel()
	var file string
	db := open(t, func(c *sqlapi.SQLiteConfig) { file = c.File })
	other := open(t, func(c *sqlapi.SQLiteConfig) { c.File = file })
	mustExec(t, db.Pool(), "CREATE TABLE t (a, b)")
	r := record(t, db)
	mustExec(t, db.Pool(), "INSERT INTO t VALUES (1, 2)")
	mustExec(t, other.Pool(), "ALTER TABLE t RENAME COLUMN b TO c", "INSERT INTO t VALUES (3, 4)")
	mustExec(t, db.Pool(), "INSERT INTO t VALUES (5, 6)")
	mustExec(t, other.Pool(), "ALTER TABLE t RENAME COLUMN c TO d")
	mustExec(t, db.Pool(), "BEGIN; DELETE FROM t WHERE a = 5; COMMIT")
	var names []string
	for _, tx := range r.take(t) {
		names = append(names, changes(t, tx)[0].Table.Columns[1].Name)
	}
	require.Equal(t, []string{"b", "c", "d"}, names)
}

func TestUnwrappedConnection(t *testing.T) {
	t.Parallel()
	db := open(t)
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	r := record(t, db)
	unwrapped := func(f func(*sqlite3.SQLiteConn) error) {
		c, err := db.Pool().Conn(t.Context())
		require.NoError(t, err)
		require.NoError(t, c.Raw(func(dc any) error {
			u, ok := dc.(interface{ Unwrap() *sqlite3.SQLiteConn })
			require.True(t, ok)
			return f(u.Unwrap())
		}))
		require.NoError(t, c.Close())
	}
	unwrapped(func(c *sqlite3.SQLiteConn) error {
		_, err := c.Exec("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", nil)
		return err
	})
	mustExec(t, db.Pool(), "INSERT INTO t VALUES (3)")
	txs := r.take(t)
	require.Len(t, txs, 3)
	unwrapped(func(c *sqlite3.SQLiteConn) error {
		c.RegisterCommitHook(func() int { return 0 })
		return nil
	})
	mustExec(t, db.Pool(), "INSERT INTO t VALUES (4)")
	require.Len(t, r.lost, 1)
	require.ErrorContains(t, r.lost[0], "hooks were replaced")
}

// Attaching, detaching and closing race with a writer; a sink must see whole transactions in order.
func TestAttachStress(t *testing.T) {
	t.Parallel()
	db := open(t, func(c *sqlapi.SQLiteConfig) { c.File = filepath.Join(t.TempDir(), "stress.db") })
	mustExec(t, db.Pool(), "CREATE TABLE t (a)")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 25 {
				r := &recording{}
				detach, err := db.Attach(t.Context(), r)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := db.Pool().ExecContext(t.Context(), "BEGIN; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); COMMIT"); err != nil {
					t.Error(err)
				}
				detach()
				txs := r.take(t)
				if len(txs) == 0 {
					t.Error("own transaction is missing")
				}
				for _, tx := range txs {
					if n := len(changes(t, tx)); n != 2 {
						t.Errorf("%d changes in a transaction of 2", n)
					}
				}
			}
		})
	}
	wg.Wait()
}
