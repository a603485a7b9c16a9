package sqlite

import (
	"time"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

var _ sqlapi.Packable = (*transaction)(nil)

// Records implements sql.Packable of the API.
func (t *transaction) Records() []byte { return t.memory }

// Like implements sql.Packable of the API: the tables that the records name by slot are the same.
func (t *transaction) Like(other sqlapi.Transaction) bool {
	o, ok := other.(*transaction)
	if !ok || t.file != nil || o.file != nil || len(t.shapes) != len(o.shapes) {
		return false
	}
	return len(t.shapes) == 0 || &t.shapes[0] == &o.shapes[0]
}

// With implements sql.Packable of the API.
func (t *transaction) With(records []byte, at time.Time) sqlapi.Transaction {
	return &transaction{file: t.file, memory: records, shapes: t.shapes, at: at}
}
