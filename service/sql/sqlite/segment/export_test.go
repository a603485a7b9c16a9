package segment

import (
	"os"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// AppendRecord writes a record as the hooks do.
var AppendRecord = appendRecord

// Header is the length of what a file begins with.
const Header = capture.SegmentPage

// Tail is what is known of a file whose writer has ended.
type Tail struct {
	Records           []Record
	Slot              *Slot
	Unsynced, Damaged bool
}

// Decide says what has become of the newest transaction.
func (t *Tail) Decide(e *Evidence) (Verdict, error) {
	inner := tail{records: t.Records, damaged: t.Damaged, begin: Begin{First: 1, Unsynced: t.Unsynced}}
	if t.Slot != nil {
		inner.slot, inner.slotted = *t.Slot, true
	}
	return inner.decide(e)
}

// ReadFile reads a file as the only one of a log, whose first sequence is 1.
func ReadFile(path string) (all []*Transaction, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	l := &Log{files: []*file{{path: path, first: 1, end: info.Size(), last: 1<<63 - 1}}}
	c, err := l.Read(0)
	for err == nil {
		var tx *Transaction
		if tx, err = c.Next(); err == nil {
			all = append(all, tx)
		}
	}
	c.Close()
	return all, err
}

// Since says what has become of a database that was left in one state and is found in another.
func Since(left, found Footprint) capture.Gap {
	gap, _ := (&tail{stop: &Stop{Database: left}}).since(Before{Database: found}, nil)
	return gap
}
