// Package cdc defines change data capture as users see it: the kinds db.cdc.*, their configuration, the changes
// that a source delivers, and how to inspect sources and open streams on them, whatever the engine.
package cdc

import (
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
