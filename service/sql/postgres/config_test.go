package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

func TestConfigurationIsValidated(t *testing.T) {
	t.Parallel()
	c := &sqlapi.PostgresConfig{
		PostgresAddress: sqlapi.PostgresAddress{
			Port: 70000, PortEnv: "P", Username: "u", UsernameEnv: "U",
			Options: map[string]string{"password": "secret", "user": "x", "dbname": "d", "a b": "c", "sslmode": "require"},
		},
		Pool: sqlapi.PostgresPoolConfig{MaxOpen: 0, MaxIdle: 2, MaxLifetime: -1},
	}
	err := c.Validate()
	for _, problem := range []string{
		"host: is required", "database: is required", "port: 70000 is not a port", "port_env: give either",
		"username_env: give either", "options.password: write it as the field password", "options.user: write it as the field username",
		"options.dbname: write it as the field database", "options.a b: is not the name", "pool.max_open: must be at least 1",
		"pool.max_idle: is 2, must be 0 to max_open (0)", "pool.max_lifetime: must not be negative",
	} {
		require.ErrorContains(t, err, problem)
	}
	require.NotContains(t, err.Error(), "secret")
	require.NotContains(t, err.Error(), "sslmode")
}
