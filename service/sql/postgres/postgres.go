// Package postgres opens databases of Postgres servers. Statements use the server's own placeholders, $1 and so on.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
)

// DB is an open pool of connections to a Postgres database. It implements sql.PostgresDB and sql.Classifier of the API.
type DB struct {
	id       registry.ID
	settings sqlapi.PostgresSettings
	pool     *sql.DB
	// mostResult bounds the rows of one result.
	mostResult int64
}

var (
	_ sqlapi.PostgresDB = (*DB)(nil)
	_ sqlapi.Classifier = (*DB)(nil)
	_ sqlapi.Bounded    = (*DB)(nil)
)

// Open opens the database of a db.sql.postgres entry and checks that it can be used. lookup reads the environment.
// The caller closes the DB. A server that cannot be reached, or does not let us in, is a retryable error.
func Open(
	ctx context.Context, id registry.ID, cfg *sqlapi.PostgresConfig, lookup func(name string) (string, bool),
) (*DB, error) {
	settings, err := cfg.Resolve(lookup)
	if err != nil {
		return nil, openError(id, errs.Wrap(errs.Invalid, err))
	}
	config, err := parse(settings)
	if err != nil {
		return nil, openError(id, err)
	}
	db := &DB{id: id, settings: settings, pool: stdlib.OpenDB(*config), mostResult: int64(cfg.MaxResultBytes)}
	db.pool.SetMaxOpenConns(cfg.Pool.MaxOpen)
	db.pool.SetMaxIdleConns(cfg.Pool.MaxIdle)
	db.pool.SetConnMaxLifetime(cfg.Pool.MaxLifetime.Std())
	if err := db.pool.PingContext(ctx); err != nil {
		return nil, openError(id, errors.Join(refused(ctx, err), db.pool.Close()))
	}
	return db, nil
}

// parse returns the driver's configuration.
func parse(settings sqlapi.PostgresSettings) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(settings.ConnectionString())
	if err != nil {
		return nil, errs.New(errs.Invalid, "options: %w", err)
	}
	if settings.Password != "" {
		config.Password = settings.Password
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "wippy"
	}
	// Statements and values are UTF-8, whatever the role or the database is set to. The server does not tell cases apart.
	maps.DeleteFunc(config.RuntimeParams, func(name, _ string) bool { return strings.EqualFold(name, "client_encoding") })
	config.RuntimeParams["client_encoding"] = "UTF8"
	return config, nil
}

// refused classifies why a server does not take a connection. All of it can change without a change here.
func refused(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	kind := sqlstate.Kind(err)
	if kind == errs.Unknown {
		kind = errs.Unavailable
	}
	return &errs.Error{Kind: kind, Again: true, Err: sqlstate.ExplainTLS(err)}
}

func openError(id registry.ID, err error) error {
	wrapped := fmt.Errorf("postgres: open %q: %w", id, err)
	if e, ok := errors.AsType[*errs.Error](err); ok {
		return &errs.Error{Kind: e.Kind, Again: e.Again, Err: wrapped}
	}
	return wrapped
}

// ID implements sql.DB.
func (db *DB) ID() registry.ID { return db.id }

// Type implements sql.DB.
func (db *DB) Type() string { return "postgres" }

// Pool implements sql.DB.
func (db *DB) Pool() *sql.DB { return db.pool }

// MaxResultBytes implements sql.Bounded.
func (db *DB) MaxResultBytes() int64 { return db.mostResult }

// Settings implements sql.PostgresDB.
func (db *DB) Settings() sqlapi.PostgresSettings { return db.settings }

// Close closes the connections; those in use are closed when they come back.
func (db *DB) Close() error { return db.pool.Close() }

// Classify implements sql.Classifier. See https://www.postgresql.org/docs/current/errcodes-appendix.html.
func (db *DB) Classify(err error) error {
	kind := sqlstate.Kind(err)
	if connect, ok := errors.AsType[*pgconn.ConnectError](err); ok && kind == errs.Unknown {
		return errs.Wrap(errs.Unavailable, connect)
	}
	if kind == errs.Unknown {
		return err
	}
	return errs.Wrap(kind, err)
}
