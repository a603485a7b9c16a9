package sqlite

import (
	"strings"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// mostColumns is how many columns a table and a result may have: https://www.sqlite.org/limits.html#max_column.
const mostColumns = 2000

// selectRows returns the query for all rows of a table; a rowid that cannot be had is 0. No index is used, so that rows
// come in the order in which they are stored.
func selectRows(table *sqlapi.Table) capture.Query {
	rowid := "0"
	if table.RowID != "" {
		rowid = quote(table.RowID)
	}
	from := " FROM main." + quote(table.Name) + " NOT INDEXED"
	var names []string
	if len(table.Columns) < mostColumns {
		names = append(names, rowid)
	}
	for _, column := range table.Columns {
		names = append(names, quote(column.Name))
	}
	query := capture.Query{Rows: "SELECT " + strings.Join(names, ", ") + from}
	if len(names) == len(table.Columns) {
		query.RowIDs = "SELECT " + rowid + from
	}
	return query
}
