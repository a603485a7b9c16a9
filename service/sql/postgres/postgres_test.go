package postgres_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/internal/pgtest"
	"github.com/wippy-cdc/runtime/service/sql/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

var dbID = registry.ID{Namespace: "app", Name: "db"}

// config returns the configuration of an entry for db.
func config(db *pgtest.Database) *sqlapi.PostgresConfig {
	c := new(sqlapi.PostgresConfig)
	c.SetDefaults()
	c.Host, c.Port, c.Username, c.Password = db.Address()
	c.Database = db.Name
	return c
}

func noEnv(string) (string, bool) { return "", false }

func open(t *testing.T, c *sqlapi.PostgresConfig) *postgres.DB {
	t.Helper()
	require.NoError(t, c.Validate())
	db, err := postgres.Open(t.Context(), dbID, c, noEnv)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestOpen(t *testing.T) {
	t.Parallel()
	server := pgtest.New(t)
	if !server.Private {
		t.Skip("needs the certificate of a private server")
	}
	c := config(server)
	c.Options = map[string]string{"application_name": `it's a \ test`, "sslmode": "verify-full", "sslrootcert": server.RootCert}
	c.Pool = sqlapi.PostgresPoolConfig{MaxOpen: 3, MaxIdle: 1}
	db := open(t, c)
	require.Equal(t, dbID, db.ID())
	require.Equal(t, "postgres", db.Type())
	require.Equal(t, 3, db.Pool().Stats().MaxOpenConnections)
	var name string
	var secure bool
	require.NoError(t, db.Pool().QueryRowContext(t.Context(),
		"SELECT application_name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE pid = pg_backend_pid()").Scan(&name, &secure))
	require.Equal(t, `it's a \ test`, name)
	require.True(t, secure)
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", db.Settings(), db.Settings(), db.Settings()), c.Password)
}

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	t.Parallel()
	server := pgtest.New(t)
	host, port, user, password := server.Address()
	env := map[string]string{"H": host, "P": strconv.Itoa(port), "D": server.Name, "U": user, "W": password, "BAD": "secret-port"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	c := new(sqlapi.PostgresConfig)
	c.SetDefaults()
	c.PostgresAddress = sqlapi.PostgresAddress{HostEnv: "H", PortEnv: "P", DatabaseEnv: "D", UsernameEnv: "U", PasswordEnv: "W"}
	require.NoError(t, c.Validate())
	db, err := postgres.Open(t.Context(), dbID, c, lookup)
	require.NoError(t, err)
	require.NoError(t, db.Close())

	c.PortEnv = "BAD"
	_, err = postgres.Open(t.Context(), dbID, c, lookup)
	require.EqualError(t, err, `postgres: open "app:db": the environment variable BAD does not hold a port`)
	c.PortEnv, c.PasswordEnv, c.HostEnv = "", "NONE", "NEITHER"
	_, err = postgres.Open(t.Context(), dbID, c, lookup)
	require.EqualError(t, err, `postgres: open "app:db": not set in the environment: NEITHER, NONE`)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
}

func TestAServerThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	server := pgtest.New(t)
	for name, c := range map[string]struct {
		change func(c *sqlapi.PostgresConfig)
		kind   errs.Kind
		again  bool
		text   string
	}{
		"password":   {func(c *sqlapi.PostgresConfig) { c.Password = "wrong-secret" }, errs.PermissionDenied, true, "password authentication failed"},
		"database":   {func(c *sqlapi.PostgresConfig) { c.Database = "nowhere" }, errs.NotFound, true, `database "nowhere" does not exist`},
		"port":       {func(c *sqlapi.PostgresConfig) { c.Port = 1 }, errs.Unavailable, true, "connection refused"},
		"host":       {func(c *sqlapi.PostgresConfig) { c.Host = "no-such-host.invalid" }, errs.Unavailable, true, "no-such-host.invalid"},
		"socket":     {func(c *sqlapi.PostgresConfig) { c.Host = "/nowhere" }, errs.Unavailable, true, "no such file"},
		"sslmode":    {func(c *sqlapi.PostgresConfig) { c.Options = map[string]string{"sslmode": "perhaps"} }, errs.Invalid, false, "sslmode is invalid"},
		"untrusted":  {func(c *sqlapi.PostgresConfig) { c.Options = map[string]string{"sslmode": "verify-full"} }, errs.Unavailable, true, "certificate"},
		"parameters": {func(c *sqlapi.PostgresConfig) { c.Options = map[string]string{"work_mem": "lots"} }, errs.Invalid, true, "work_mem"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "untrusted" && !server.Private {
				t.Skip("needs the certificate of a private server")
			}
			cfg := config(server)
			c.change(cfg)
			_, err := postgres.Open(t.Context(), dbID, cfg, noEnv)
			require.ErrorContains(t, err, c.text)
			require.ErrorContains(t, err, `postgres: open "app:db": `)
			require.Equal(t, c.kind, errs.KindOf(err), err)
			require.Equal(t, c.again, errs.Retryable(err), err)
			require.NotContains(t, err.Error(), cfg.Password)
		})
	}
}

func TestAServerWithoutTLS(t *testing.T) {
	t.Parallel()
	c := config(pgtest.NewServer(t, map[string]string{"ssl": "off"}))
	c.Options = map[string]string{"sslmode": "verify-full"}
	_, err := postgres.Open(t.Context(), dbID, c, noEnv)
	require.ErrorContains(t, err, "the server has no TLS, and the option sslmode (or PGSSLMODE) asks for it: set ssl = on")
	require.True(t, errs.Retryable(err))
}

func TestTextsAreUTF8WhateverTheRoleIsSetTo(t *testing.T) {
	t.Parallel()
	server := pgtest.New(t)
	role := server.Name + "_latin"
	server.Role(t, role, "open-sesame", "")
	server.Exec(t, "ALTER ROLE "+role+" SET client_encoding = 'LATIN1'")
	for _, options := range []map[string]string{nil, {"Client_Encoding": "LATIN1"}} {
		c := config(server)
		c.Username, c.Password, c.Options = role, "open-sesame", options
		var length int
		require.NoError(t, open(t, c).Pool().QueryRowContext(t.Context(), "SELECT length($1)", "café").Scan(&length))
		require.Equal(t, 4, length)
	}
}

func TestErrorsHaveKinds(t *testing.T) {
	t.Parallel()
	server := pgtest.New(t)
	server.Exec(t, "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL CHECK (n > 0)); INSERT INTO t VALUES (1, 1)")
	db := open(t, config(server))
	for query, want := range map[string]errs.Kind{
		"INSERT INTO t VALUES (1, 1)":                                 errs.AlreadyExists,
		"INSERT INTO t VALUES (2, NULL)":                              errs.Invalid,
		"INSERT INTO t VALUES (2, -1)":                                errs.Invalid,
		"INSERT INTO t VALUES (2, 'x')":                               errs.Invalid,
		"SELECT nonsense":                                             errs.Invalid,
		"SELECT 1/0":                                                  errs.Invalid,
		"SELEC 1":                                                     errs.Invalid,
		"CREATE TABLE t (id int)":                                     errs.AlreadyExists,
		"SET statement_timeout = '1ms'; SELECT pg_sleep(5)":           errs.Timeout,
		"ROLLBACK; BEGIN READ ONLY; CREATE TABLE u ()":                errs.PermissionDenied,
		"SELECT pg_terminate_backend(pg_backend_pid())":               errs.Unavailable,
		"DO $$ BEGIN RAISE EXCEPTION 'mine'; END $$":                  errs.Invalid,
		"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$": errs.Conflict,
	} {
		connection, err := db.Pool().Conn(t.Context())
		require.NoError(t, err)
		_, err = connection.ExecContext(t.Context(), query)
		require.Error(t, err, query)
		classified := db.Classify(err)
		require.Equal(t, want, errs.KindOf(classified), "%s: %v", query, err)
		require.Equal(t, err.Error(), classified.Error())
		_, _ = connection.ExecContext(t.Context(), "RESET ALL")
		_ = connection.Close() // it may have been terminated
	}
	require.NoError(t, db.Classify(nil))
}

func TestClosedPoolIsUnknownToTheClassifier(t *testing.T) {
	t.Parallel()
	db, err := postgres.Open(t.Context(), dbID, config(pgtest.New(t)), noEnv)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	err = db.Pool().PingContext(t.Context())
	require.Equal(t, err, db.Classify(err))
}
