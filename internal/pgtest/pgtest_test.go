package pgtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// The make targets run it by its name: it tells which server the tests use.
func TestTheServer(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	version := db.Text(t, "SHOW server_version")
	require.True(t, strings.HasPrefix(version+" ", db.Version+" "), "%s is not %s", version, db.Version)
	require.Contains(t, db.String(), "PostgreSQL "+db.Version)
	require.NotContains(t, db.String(), pgtest.Password)
}

// It is not parallel: a program cannot be started while a process that another test starts has it open for writing.
func TestTheNewestServerIsFound(t *testing.T) {
	root := t.TempDir()
	for dir, says := range map[string]string{
		"a": "postgres (PostgreSQL) 9.6.24", "b": "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", "c": "postgres (PostgreSQL) 18.4",
		"d": "postgres (PostgreSQL) 18.10", "e": "postgres (PostgreSQL) 18beta1", "f": "nothing of use",
	} {
		require.NoError(t, os.Mkdir(filepath.Join(root, dir), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(root, dir, "postgres"), []byte("#!/bin/sh\necho '"+says+"'\n"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(root, dir, "initdb"), nil, 0o600))
	}
	require.NoError(t, os.Remove(filepath.Join(root, "d", "initdb")))
	var found []string
	for _, dir := range pgtest.Newest([]string{root + "/a", root + "/b", root + "/c", root + "/d", root + "/e", root + "/f", root + "/none"}) {
		found = append(found, filepath.Base(dir))
	}
	require.Equal(t, []string{"c", "e", "b", "a"}, found)
}

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
