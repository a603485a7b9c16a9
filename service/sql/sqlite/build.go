package sqlite

import (
	"strings"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// feature is a part of SQLite that a build tag of the driver turns on.
type feature struct {
	name, tag string
	isBuilt   bool
}

func features() []feature {
	return []feature{
		{"capture", "sqlite_preupdate_hook", capture.Available()},
		{"FTS5", "sqlite_fts5", capture.Compiled("ENABLE_FTS5")},
		{"math functions", "sqlite_math_functions", capture.Compiled("ENABLE_MATH_FUNCTIONS")},
	}
}

// Build says which SQLite the program was built with, what of it that is a choice, and which build tags are missing.
func Build() string {
	version, _, _ := sqlite3.Version()
	var with, without []string
	for _, f := range features() {
		if f.isBuilt {
			with = append(with, f.name)
		} else {
			without = append(without, f.name+" (tag "+f.tag+")")
		}
	}
	text := "SQLite " + version
	if len(with) > 0 {
		text += " with " + strings.Join(with, ", ")
	}
	if len(without) > 0 {
		text += " without " + strings.Join(without, ", ")
	}
	return text
}
