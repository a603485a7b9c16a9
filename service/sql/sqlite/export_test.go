package sqlite

import (
	"os"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// NewTransaction returns a transaction of any bytes, the first spilled of which are in the file.
func NewTransaction(file *os.File, spilled int64, memory []byte, tables ...*sqlapi.Table) sqlapi.Transaction {
	tx := &transaction{memory: memory}
	if spilled > 0 {
		tx.file = &capture.File{File: file, To: spilled}
	}
	for _, table := range tables {
		var s *shape
		if table != nil {
			s = &shape{table: table, reals: []int{len(table.Columns) - 1}, defaults: make([]string, len(table.Columns))}
		}
		tx.shapes = append(tx.shapes, s)
	}
	return tx
}

// Records returns the bytes of a transaction that has not spilled.
func Records(tx sqlapi.Transaction) []byte { return tx.(*transaction).memory }

// TableOptions reads the options of a table from its CREATE text.
func TableOptions(text string) (withoutRowID, isStrict bool) { return tableOptions(text) }
