package sqlite

import (
	"errors"
	"io"
	"time"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// transaction is a committed transaction: the records as the recorder wrote them, and the tables that they name by
// slot. It implements sql.Transaction.
type transaction struct {
	// file is the part that has spilled, nil if none has; it comes before memory.
	file   *capture.File
	memory []byte
	shapes []*shape
	at     time.Time
}

// transactionOverhead is about what a transaction needs besides its records.
const transactionOverhead = 256

// CommittedAt implements sql.Transaction.
func (t *transaction) CommittedAt() time.Time { return t.at }

// Size implements sql.Transaction. Records in a file count as if they were in memory.
func (t *transaction) Size() int64 { return int64(len(t.memory)) + transactionOverhead + t.Spilled() }

// Spilled implements sql.Transaction.
func (t *transaction) Spilled() int64 {
	if t.file == nil {
		return 0
	}
	return t.file.To - t.file.From
}

// changesAtAGlance is how many changes Touches looks at. It takes some ten nanoseconds for each.
const changesAtAGlance = 8

// Touches implements sql.Transaction.
func (t *transaction) Touches(filter sqlapi.RowFilter) (touches bool, passed sqlapi.Tally) {
	if t.file != nil {
		return true, passed
	}
	rest := t.memory
	var asked uint64 // of the last change: those of one statement are alike
	for range changesAtAGlance {
		record, err := cutRecord(&rest)
		if err != nil {
			return !errors.Is(err, io.EOF), passed
		}
		op, slot, ok := headOf(record, len(t.shapes))
		if !ok {
			return true, passed
		}
		passed[op]++
		if asks := uint64(slot)<<8 | uint64(op); asks != asked {
			asked = asks
			if s := t.shapes[slot]; s != nil && filter(s.table, op) {
				return true, passed
			}
		}
	}
	return len(rest) > 0, passed
}

// Rows implements sql.Transaction.
func (t *transaction) Rows(filter sqlapi.RowFilter) sqlapi.RowReader {
	return &reader{
		records:  records{file: t.file, memory: t.memory},
		shapes:   t.shapes,
		filter:   filter,
		verdicts: make([]verdict, len(t.shapes)),
	}
}
