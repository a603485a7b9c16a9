// Package sql defines databases as resources: the kinds db.sql.*, their configuration, the handle that other
// services get, and the contract by which a database tells what its writer has committed.
package sql

import (
	"database/sql"

	"github.com/wippy-cdc/runtime/api/registry"
)

// The kinds of databases.
const (
	KindSQLite   registry.Kind = "db.sql.sqlite"
	KindPostgres registry.Kind = "db.sql.postgres"
)

// DB is a running database. It is what resource.Directory holds under the entry's ID.
type DB interface {
	// ID returns the entry's ID.
	ID() registry.ID
	// Type returns the engine: sqlite or postgres.
	Type() string
	// Pool returns the connection pool. It is closed by the service that owns it, never by its users. A SQLite
	// pool has one connection: a transaction or open rows hold up everybody else until they end.
	Pool() *sql.DB
}
