// Package sql defines databases as resources: the kinds db.sql.*, their configuration, the handle that other
// services get, and what tables and values are.
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
	// pool has one connection: a transaction or open rows hold up all other users until they end.
	Pool() *sql.DB
}

// Bounded is a DB that bounds what one query of a script returns.
type Bounded interface {
	DB
	// MaxResultBytes is how much memory the rows of a result may take.
	MaxResultBytes() int64
}

// Classifier is a DB that tells the kinds of its engine's errors.
type Classifier interface {
	DB
	// Classify gives an error that Pool, or what came from it, returned the kind that a caller can branch on, and
	// keeps its text. AlreadyExists is a violated UNIQUE or PRIMARY KEY constraint, Invalid any other constraint or
	// a wrong statement, PermissionDenied a write where only reading is allowed, Unavailable (retryable) a lock that
	// another connection holds or a database that is closed. An error it does not know comes back as it is.
	Classify(err error) error
}
