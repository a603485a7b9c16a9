package sqlite

import (
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// NewShape returns the shape of a table whose last column has REAL affinity.
func NewShape(table *sqlapi.Table) *Shape {
	return &Shape{table: table, reals: []int{len(table.Columns) - 1}, defaults: make([]string, len(table.Columns))}
}

// TableOptions reads the options of a table from its CREATE text.
func TableOptions(text string) (withoutRowID, isStrict bool) { return tableOptions(text) }

// DefinitionOf reads a CREATE statement.
func DefinitionOf(text string) (name, definition string) {
	c := creationOf(text)
	return c.name, c.sql
}

// ContentWatch is what looks at the content of database files.
type ContentWatch = contentWatch

// WatchContent watches the content of a database.
func WatchContent(path string) (*ContentWatch, error) { return watchContent(path) }

// Damage is what a ContentWatch finds.
type Damage = damage

// The kinds of damage.
const (
	Intact      = intact
	Touched     = touched
	LogDeleted  = logDeleted
	Overwritten = overwritten
)

// Abandon refuses all further statements of a database.
func Abandon(db *DB) { db.abandon() }

// AfterLogSync makes f be called when the durable log was synced behind a commit, whose result f may replace. The writer must rest.
func AfterLogSync(db *DB, f func(err error) error) {
	d := db.durable.Load()
	if sync := d.sync; sync != nil {
		d.sync = func(r *capture.Recorder) error { return f(sync(r)) }
	}
}
