package pgtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	a, b := pgtest.New(t), pgtest.New(t)
	a.Exec(t, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
	b.Exec(t, "CREATE TABLE t (id int)")
	require.Equal(t, "1", a.Text(t, "SELECT count(*) FROM t"))
	require.Equal(t, "0", b.Text(t, "SELECT count(*) FROM t"))
	require.Equal(t, "logical", a.Text(t, "SHOW wal_level"))
}

func TestAServerComesBackAfterARestart(t *testing.T) {
	t.Parallel()
	db := pgtest.NewServer(t, map[string]string{"wal_sender_timeout": "5s"})
	require.Equal(t, "5s", db.Text(t, "SHOW wal_sender_timeout"))
	db.Exec(t, "CREATE TABLE t (id int); INSERT INTO t VALUES (1); CHECKPOINT")
	for _, crash := range []bool{false, true} {
		db.Restart(t, crash, func() { require.Error(t, db.Pool.PingContext(t.Context())) })
		require.Equal(t, "1", db.Text(t, "SELECT count(*) FROM t"))
	}
}
