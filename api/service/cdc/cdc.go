// Package cdc defines change data capture as users see it: the kinds db.cdc.*, their configuration, the changes
// that a source delivers, and how to inspect sources and open streams on them, whatever the engine.
package cdc

import (
	"strings"

	"github.com/wippy-cdc/runtime/api/registry"
)

// The kinds of sources.
const (
	KindSQLite   registry.Kind = "db.cdc.sqlite"
	KindPostgres registry.Kind = "db.cdc.postgres"
)

// The engines, as SourceInfo and Transaction name them.
const (
	EngineSQLite   = "sqlite"
	EnginePostgres = "postgres"
)

// OffsetsTable is the table in the source database that holds checkpoints. It is never reported as a change.
const OffsetsTable = "wippy_cdc_offsets"

// ParkedTable is the table in the source database that holds what destinations of sinks have rejected. It is never
// reported as a change.
const ParkedTable = "wippy_cdc_parked"

// Internal reports whether a table of this name is one of those that are never reported, whatever a source selects.
// SQLite does not tell upper case from lower case in names.
func Internal(table string) bool {
	return len(table) == len(OffsetsTable) && strings.EqualFold(table, OffsetsTable) ||
		len(table) == len(ParkedTable) && strings.EqualFold(table, ParkedTable)
}
