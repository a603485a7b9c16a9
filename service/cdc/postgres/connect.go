package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
)

// A server that does not answer for this long is not there.
const connectTimeout = 10 * time.Second

// endpoint is where a source's server is.
type endpoint struct {
	settings sqlapi.PostgresSettings
	config   *pgx.ConnConfig
}

func newEndpoint(settings sqlapi.PostgresSettings) (*endpoint, error) {
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
	fix(config.RuntimeParams, map[string]string{"client_encoding": encoding})
	return &endpoint{settings: settings, config: config}, nil
}

// side opens a small pool for everything but replication. What waits too long there is ended by contexts.
func (e *endpoint) side() *sql.DB {
	pool := stdlib.OpenDB(*e.config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, noTimeouts).ReadAll()
		return err
	}))
	pool.SetMaxOpenConns(2)
	pool.SetMaxIdleConns(1)
	return pool
}

// replication opens a connection for replication.
func (e *endpoint) replication(ctx context.Context) (*pgconn.PgConn, error) {
	// The warnings of the server are not for a log: see noticed.
	return e.connect(ctx, map[string]string{"replication": "database", "client_min_messages": "warning"})
}

// plain opens a connection that reads tables.
func (e *endpoint) plain(ctx context.Context) (*pgconn.PgConn, error) { return e.connect(ctx, nil) }

// connect opens a connection on which values are written the same whatever the server is set to.
func (e *endpoint) connect(ctx context.Context, parameters map[string]string) (*pgconn.PgConn, error) {
	config := e.config.Config.Copy()
	fix(config.RuntimeParams, formats())
	fix(config.RuntimeParams, parameters)
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

// encoding is that of our texts, whatever the role or the database is set to.
const encoding = "UTF8"

// fix gives parameters of a session their values, though a user may have written their names in another case: the
// server does not tell cases apart.
func fix(params, fixed map[string]string) {
	for name, value := range fixed {
		maps.DeleteFunc(params, func(other, _ string) bool { return strings.EqualFold(other, name) })
		params[name] = value
	}
}

// formats are the settings that say how values are written.
func formats() map[string]string {
	return map[string]string{
		"client_encoding": encoding, "DateStyle": "ISO", "IntervalStyle": "postgres",
		"TimeZone": "UTC", "extra_float_digits": "3", "bytea_output": "hex",
	}
}

// noTimeouts lets connections read, and wait, for as long as it takes: for locks, too, since a slot and a snapshot wait
// until the transactions that are open have ended. Not every server has all of these settings.
const noTimeouts = `SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN (
	'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')`

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
	if connecting {
		err = sqlstate.ExplainTLS(err)
	}
	return &errs.Error{Kind: kind, Again: connecting || kind == errs.Unavailable || kind == errs.Conflict || kind == errs.Timeout, Err: err}
}

// readOnlyTransaction is read_only_sql_transaction.
const readOnlyTransaction = "25006"

// readOnly says what to do about an error of a server, or of a role, that does not let us write. It is worth another
// try: a standby is promoted.
func readOnly(err error) error {
	if sqlstate.Code(err) != readOnlyTransaction {
		return err
	}
	return &errs.Error{Kind: errs.PermissionDenied, Again: true, Err: fmt.Errorf("%w: the session is read-only: "+
		"type ALTER ROLE … SET default_transaction_read_only = off, or remove it from the options; if the server is a standby, name the primary", err)}
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
