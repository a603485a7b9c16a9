package postgres

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/wippy-cdc/runtime/api/errs"
	apisql "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
)

// A server that does not answer for this long is not there.
const connectTimeout = 10 * time.Second

// endpoint is where a source's server is.
type endpoint struct {
	settings apisql.PostgresSettings
	config   *pgx.ConnConfig
}

func newEndpoint(settings apisql.PostgresSettings) (*endpoint, error) {
	config, err := pgx.ParseConfig(settings.ConnectionString())
	if err != nil {
		return nil, errs.New(errs.Invalid, "options: %w", err)
	}
	if settings.Password != "" {
		config.Password = settings.Password
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "wippy"
	}
	return &endpoint{settings: settings, config: config}, nil
}

// side opens a small pool for everything but replication.
func (e *endpoint) side() *sql.DB {
	pool := stdlib.OpenDB(*e.config)
	pool.SetMaxOpenConns(2)
	pool.SetMaxIdleConns(1)
	return pool
}

// replication opens a connection for replication.
func (e *endpoint) replication(ctx context.Context) (*pgconn.PgConn, error) {
	return e.connect(ctx, map[string]string{"replication": "database"})
}

// plain opens a connection that reads tables.
func (e *endpoint) plain(ctx context.Context) (*pgconn.PgConn, error) { return e.connect(ctx, nil) }

// connect opens a connection on which values are written the same whatever the server is set to.
func (e *endpoint) connect(ctx context.Context, parameters map[string]string) (*pgconn.PgConn, error) {
	config := e.config.Config.Copy()
	for _, fixed := range []map[string]string{formats(), parameters} {
		for name, value := range fixed {
			// The server does not tell their cases apart.
			maps.DeleteFunc(config.RuntimeParams, func(other, _ string) bool { return strings.EqualFold(other, name) })
			config.RuntimeParams[name] = value
		}
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err == nil {
		_, err = conn.Exec(ctx, noTimeouts).ReadAll()
	}
	if err != nil {
		hangUp(ctx, conn)
		return nil, classify(ctx, err)
	}
	return conn, nil
}

// formats are the settings that say how values are written.
func formats() map[string]string {
	return map[string]string{
		"client_encoding": "UTF8", "DateStyle": "ISO", "IntervalStyle": "postgres",
		"TimeZone": "UTC", "extra_float_digits": "3", "bytea_output": "hex",
	}
}

// noTimeouts lets connections read, and wait, for as long as it takes. Not every server has all of these settings.
const noTimeouts = `SELECT set_config(name, '0', false) FROM pg_settings
	WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')`

// classify gives an error of the server, or of the way to it, its kind. A connection that fails is worth another try,
// whatever the reason.
func classify(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, classified := errors.AsType[*errs.Error](err); classified {
		return err
	}
	kind := sqlstate.Kind(err)
	if kind == errs.Unknown {
		kind = errs.Unavailable
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	return &errs.Error{Kind: kind, Again: connecting || kind == errs.Unavailable || kind == errs.Conflict || kind == errs.Timeout, Err: err}
}

// hangUp closes a connection. The server may be gone.
func hangUp(ctx context.Context, conn *pgconn.PgConn) {
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // whatever is wrong with it, it is closed
	<-conn.CleanupDone()
}
