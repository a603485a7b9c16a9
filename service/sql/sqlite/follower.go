package sqlite

import (
	"errors"
	"strings"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// follower accompanies the statements of one connection: it joins transactions, resolves the tables that were met,
// and hands committed transactions to the database's sinks. A nil follower is that of a program built without
// capture. It is used by whoever uses the connection.
type follower struct {
	db       *DB
	inner    *sqlite3.SQLiteConn
	recorder *capture.Recorder

	// applied is the version of the database's filter that is in force; active tells whether it wants anything.
	applied uint64
	active  bool
	// all means that it wants all tables.
	all bool
	// state is what the recorder saw after the last statement.
	state capture.State
	// reshaped means that the open transaction may have changed the schema, so that undoing it would as well.
	reshaped bool
	// stepped is the schema version that the shapes were in step with right before the running statement, which may
	// change it; unknownVersion if that was not looked at.
	stepped int64
	// external means that somebody else may have changed the schema, and that reading it now would begin the
	// transaction that is open.
	external bool
	// unsure means that the savepoint guard may be gone without a word: it was renamed, or the temp schema was closed.
	unsure bool
	// text is the statement that runs, if it may change the schema; "" if it is not known.
	text string
	// byHand means that the schema may be written like other tables: https://www.sqlite.org/pragma.html#pragma_writable_schema.
	byHand bool
	// unwrapped means that somebody has had the driver's connection.
	unwrapped bool

	shapes  shapes
	catalog catalog
	// vacuumed is the rowids before the VACUUM that runs, by table.
	vacuumed map[string]rowIDRange
	// buffer is where small transactions are moved to, commit what is handed to the sinks.
	buffer []byte
	commit Commit
}

// insideTransaction are the bits that tell an open transaction that has written already, and whose savepoints are
// followed: nothing commits in it but a statement that controls it, and nobody else can commit meanwhile.
const insideTransaction = capture.Autocommit | capture.Joined | capture.Writing

// bufferSize bounds the transactions that are moved to the buffer.
const bufferSize = 16 << 10

// engaged reports whether statements must be followed. A new filter comes into force here, between transactions.
func (f *follower) engaged() bool {
	if f == nil {
		return false
	}
	if version := f.db.filterVersion.Load(); version != f.applied {
		f.apply()
	}
	return f.active
}

// apply brings the filter that the sinks want into force, unless a transaction is open: it would be captured in
// part.
func (f *follower) apply() {
	if f.state, _ = f.recorder.After(f.shapes.known(), nil); !f.state.Idle() {
		return
	}
	f.take()
	f.db.mu.Lock()
	defer f.db.mu.Unlock()
	filter := f.db.filter()
	if err := f.recorder.Filter(filter.active, filter.all, filter.tables); err != nil {
		f.db.loseLocked(err)
		return
	}
	f.shapes.reset()
	f.active, f.all, f.applied = filter.active, filter.all, f.db.filterVersion.Load()
	f.db.enforcedLocked()
	if f.active {
		f.rearm()
		f.catalog.read(f.inner)
	}
}

// rearm makes sure that there is a savepoint guard. No transaction may be open. A transaction that cannot be followed for
// want of a guard is told as a gap, and the guard is looked for again before the next one.
func (f *follower) rearm() {
	_ = f.recorder.Rearm()
	f.unsure = false
}

// resolve resolves the tables that were met.
func (f *follower) resolve() error {
	schema := &f.catalog
	if f.external { // it is not how the schema is now
		schema = &catalog{}
	}
	return f.shapes.resolve(f.inner, f.recorder, schema)
}

// about notes the text of the statement that runs next.
func (f *follower) about(what class, text string) {
	if f == nil || what < creates {
		return
	}
	f.text = text
	f.byHand = f.byHand || what == reshapes && strings.Contains(lower(text), "writable_schema")
}

// before makes sure that the savepoints of an open transaction are followed from its first statement that writes.
func (f *follower) before(what class) {
	if (f.unsure || f.recorder.Unguarded()) && what != reads && f.state.Idle() {
		f.rearm()
	}
	if what >= creates {
		f.beforeReshape(what)
	}
	if what == vacuums {
		f.beforeVacuum()
	}
	if what < writes || f.state.Idle() || f.state&capture.Joined != 0 {
		return
	}
	// If it cannot join, rows written now are marked as lost by the recorder.
	if err := f.recorder.Join(); err == nil {
		f.state |= capture.Joined
	}
}

// after settles what the statement has done.
func (f *follower) after(what class) {
	if f == nil || !f.active || what == reads {
		return
	}
	f.unsure = f.unsure || what == pragmas || what >= reshapes || f.unwrapped
	if what == writes && f.state&insideTransaction == capture.Joined|capture.Writing && f.recorder.Quiet(f.shapes.known()) {
		return
	}
	if what == vacuums {
		f.afterVacuum()
	}
	if what >= creates {
		f.recordReshape(what)
	}
	var n int
	f.state, n = f.recorder.After(f.shapes.known(), f.buffer)
	if f.state&capture.Copied != 0 {
		f.hand(f.recorder.Copied(), nil, f.buffer[:n], false)
	}
	if what >= creates || f.reshaped || f.unwrapped || f.external || f.state&(capture.External|capture.NewTables) != 0 {
		f.afterReshape(what)
	}
	if f.state&(capture.Committed|capture.Copied) == capture.Committed {
		f.take()
	}
	if f.state.Idle() && f.shapes.stale {
		f.forget()
	}
}

// readable reports whether reading the schema does not begin anything: a transaction that has not read yet would see the
// database as of now, and could not wait for a lock when it writes.
func (f *follower) readable() bool { return f.state.Idle() || f.state&capture.Pinned != 0 }

// afterReshape keeps the shapes of tables in step with the schema.
func (f *follower) afterReshape(what class) {
	if f.unwrapped && f.recorder.Reclaim() {
		f.db.lose(errors.New("the capture hooks were replaced through the unwrapped connection"))
	}
	external := f.external || f.state&capture.External != 0
	f.external = false
	switch {
	case what >= creates && f.stepped != unknownVersion && f.catalog.version <= f.stepped+1: // it has changed the schema, nobody else has
		f.shapes.version = f.catalog.version
	case external && !f.readable():
		f.external = true
	case external:
		f.shapes.checkVersion(schemaVersion(f.inner))
		f.catalog.readIfChanged(f.inner, f.shapes.version)
	}
	if err := f.resolve(); err != nil && f.state&capture.Committed != 0 {
		f.recorder.Lose()
		f.shapes.stale = true
	}
	undone := f.reshaped && f.state&capture.RolledBack != 0
	if undone || f.unwrapped || f.byHand && what >= creates {
		f.catalog.forget()
	}
	if !f.catalog.known && f.readable() {
		f.catalog.read(f.inner)
	}
	if what >= creates || undone || f.unwrapped {
		f.forget()
	}
	f.reshaped = !f.state.Idle() && (f.reshaped || what >= creates || f.unwrapped)
}

// forget makes the next row of every table resolve its table again.
func (f *follower) forget() {
	f.recorder.ForgetTables()
	f.shapes.stale = f.recorder.Tables() > 0
	if !f.shapes.stale {
		f.shapes.reset()
	}
}

// take hands over transactions that did not go to the slab.
func (f *follower) take() {
	for _, c := range f.recorder.Take() {
		if c.Lost != nil {
			c.Spilled.Release()
			f.db.lose(c.Lost)
			continue
		}
		f.hand(c.Summary, c.Spilled, c.Memory, true)
	}
}

func (f *follower) close() {
	f.after(controls)
	f.active = false
	f.recorder.Close()
}
