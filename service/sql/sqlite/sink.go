package sqlite

import (
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/tempfile"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// Sink receives what the writer of a database commits. All methods are called one at a time, on the goroutine that runs
// the writer's statement: they must return at once, take no lock that is held for long, and not use the database.
type Sink interface {
	// Tables names the tables to capture, bare or qualified with main, in any case; nil means all. It is called
	// once, by Attach.
	Tables() []string
	// Committed is called after the commit of each transaction that changed rows, in commit order.
	Committed(c *Commit)
	// Lost is called when changes of a committed transaction could not be captured; err says why. The sequence is that of the gap in
	// the durable log, 0 without one.
	Lost(sequence uint64, cause api.GapCause, err error)
	// Others is called when other connections are known to have committed, so many times. With a durable log Lost is called as well.
	Others(commits int)
	// Closed is called once, when the database closes; nothing is called after it, nor after detach.
	Closed()
}

// Commit is a committed transaction. It is good during the call of Committed only, but for what is said of its fields.
type Commit struct {
	// Sequence is that of the transaction in the durable log, 0 without one.
	Sequence uint64
	// Unkept says that the durable log could not be begun and does not have the transaction: it will have a gap there.
	Unkept bool
	// At is when the commit was seen.
	At time.Time
	// Touched are the tables of which there may be records, and Counts says by capture.Op how many there are.
	Touched []TouchedTable
	Counts  [capture.OpSchema + 1]uint32
	// Spilled are the first records if they are in a temporary file, nil otherwise. A sink that keeps it retains it.
	Spilled *tempfile.Part
	// Records are the others. They are good for ever, and never written to again, if Owned is set.
	Records []byte
	Owned   bool
}

// TouchedTable is a table that a transaction may have changed.
type TouchedTable struct {
	// Slot is what records call the table, Shape what it stands for in this transaction: nil for a table that is not captured, of
	// which there are records all the same.
	Slot  uint32
	Shape *Shape
	// Ops has the bit 1<<op for each capture.Op.
	Ops uint32
}

// hand hands a committed transaction to the sinks.
func (s *captureSession) hand(summary capture.Summary, spilled *tempfile.Part, records []byte, owned bool) {
	c := &s.commit
	c.At, c.Counts, c.Spilled, c.Records, c.Owned, c.Sequence = time.Now(), summary.Counts, spilled, records, owned, summary.Sequence
	if summary.Sequence > 0 {
		c.At = time.Unix(0, summary.At)
	}
	c.Touched = c.Touched[:0]
	for _, t := range summary.Touched {
		touched := TouchedTable{Slot: t.Slot, Ops: t.Ops}
		if int(t.Slot) < len(s.shapes.bySlot) {
			touched.Shape = s.shapes.bySlot[t.Slot]
		}
		c.Touched = append(c.Touched, touched)
	}
	c.Unkept = false
	switch {
	case s.durable == nil:
		c.Sequence, c.Unkept = s.db.durable.Load().nextAway()
	case summary.Sequence > 0:
		s.durable.keep(s, &summary)
	}
	s.db.commit(c)
	spilled.Release()
}
