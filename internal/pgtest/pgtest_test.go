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

func TestTheURLOfAnotherServerHasAUserAndAPassword(t *testing.T) {
	t.Parallel()
	require.NoError(t, pgtest.External("postgres://boss:secret@host/postgres"))
	for dsn, want := range map[string]string{
		"host=/tmp password=secret":               "must be a URL like",
		"postgres://boss:secret@host:x":           "must be a URL like",
		"postgres://host/secret":                  "must have a user and a password, because",
		"postgres://boss@host/secret":             "must have a user and a password, because",
		"postgres://boss:@host/secret":            "must have a user and a password, because",
		"postgres://:secret@host/postgres":        "must have a user and a password, because",
		"postgres://host/?user=a&password=secret": "must have a user and a password, because",
	} {
		err := pgtest.External(dsn)
		require.ErrorContains(t, err, pgtest.DSNVariable+" "+want, dsn)
		require.NotContains(t, err.Error(), "secret")
	}
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
