package sqlite

import (
	"errors"
	"strings"

	"github.com/mattn/go-sqlite3"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// captureSession captures on one connection, around its statements: it enlists the sentinel, resolves the tables that
// were met, and hands committed transactions to the database's sinks. A nil session is that of a program built without
// capture. It is used by the goroutine that uses the connection.
type captureSession struct {
	db       *DB
	inner    *sqlite3.SQLiteConn
	recorder *capture.Recorder

	// applied is the version of the database's filter that is in force; active tells whether it wants anything.
	applied uint64
	active  bool
	// state is what the recorder saw after the last statement.
	state capture.State
	// schemaChanged means that the open transaction may have changed the schema, so that undoing it would as well.
	schemaChanged bool
	// stepped is the schema version that the shapes were in step with right before the running statement, which may
	// change it; unknownVersion if that was not looked at.
	stepped int64
	// external means that another connection may have changed the schema, and that reading it now would begin the
	// transaction that is open.
	external bool
	// unsure means that the savepoint sentinel may be gone without a word: it was renamed, or the temp schema was
	// closed.
	unsure bool
	// text is the statement that runs, if it may change the schema; "" if it is not known.
	text string
	// byHand means that the schema may be written like other tables:
	// https://www.sqlite.org/pragma.html#pragma_writable_schema.
	byHand bool
	// unwrapped means that the app has had the driver's connection.
	unwrapped bool

	// durable is the log that the connection writes to, nil if there is none.
	durable *durable

	shapes  shapes
	catalog catalog
	// vacuumed is the rowids before the VACUUM that runs, by table. vacuums says that one runs, or has just ended, and
	// vacuumsMain that it is about main itself.
	vacuumed             map[string]rowIDRange
	vacuums, vacuumsMain bool
	// failed says that the last statement has failed.
	failed bool
	// buffer is where small transactions are moved to, commit what is handed to the sinks.
	buffer []byte
	commit Commit
}

// insideTransaction are the bits that tell an open transaction that has written already, and whose savepoints the
// sentinel follows: nothing commits in it but a statement that controls it, and no other connection can commit
// meanwhile.
const insideTransaction = capture.Autocommit | capture.Enlisted | capture.Writing

// bufferSize bounds the transactions that are moved to the buffer.
const bufferSize = 16 << 10

// engaged reports whether the session must look at statements. A new filter comes into force here, between
// transactions.
func (s *captureSession) engaged() bool {
	if s == nil {
		return false
	}
	if version := s.db.filterVersion.Load(); version != s.applied {
		s.apply()
	}
	return s.active
}

// apply brings the filter that the sinks want into force, unless a transaction is open: it would be captured in
// part.
func (s *captureSession) apply() {
	if s.state, _ = s.recorder.After(s.shapes.known(), nil); !s.state.Idle() {
		s.external = s.external || s.state&capture.External != 0
		return
	}
	s.take()
	s.db.mu.Lock()
	defer s.db.mu.Unlock()
	filter := s.db.filter()
	if err := s.recorder.Filter(filter.active, filter.all, filter.tables); err != nil {
		s.db.loseLocked(s.gapInLog(api.GapCaptureLost), api.GapCaptureLost, err)
		return
	}
	s.shapes.reset()
	s.active, s.applied = filter.active, s.db.filterVersion.Load()
	s.db.enforcedLocked()
	s.watchLocked()
	if s.active {
		s.restoreSentinel()
		s.catalog.read(s.inner)
	}
}

// restoreSentinel makes sure that there is a savepoint sentinel. No transaction may be open. A transaction whose
// savepoints cannot be followed for want of a sentinel is told as a gap, and the sentinel is looked for again before
// the next one.
func (s *captureSession) restoreSentinel() {
	_ = s.recorder.Reinstall()
	s.unsure = false
}

// resolve resolves the tables that were met.
func (s *captureSession) resolve() error {
	schema := &s.catalog
	if s.external { // it is not how the schema is now
		schema = &catalog{}
	}
	err := s.shapes.resolve(s.inner, s.recorder, schema)
	s.nameShapes()
	return err
}

// about notes the text of the statement that runs next.
func (s *captureSession) about(what class, text string) {
	if s == nil || what < creates {
		return
	}
	s.text = text
	s.byHand = s.byHand || what == alters && strings.Contains(lower(text), "writable_schema")
}

// before enlists the sentinel before the first statement of an open transaction that writes.
func (s *captureSession) before(what class) {
	if (s.unsure || s.recorder.SentinelGone()) && what != reads && s.state.Idle() {
		s.restoreSentinel()
	}
	if what >= creates {
		s.beforeDDL(what)
	}
	if what == vacuums {
		s.beforeVacuum()
	}
	if what >= creates {
		s.announce(what)
	}
	if what < writes || s.state.Idle() || s.state&capture.Enlisted != 0 {
		return
	}
	// If it cannot be enlisted, rows written now are marked as lost by the recorder.
	if err := s.recorder.Enlist(); err == nil {
		s.state |= capture.Enlisted
	}
}

// after settles what the statement has done.
func (s *captureSession) after(what class) {
	if s == nil || !s.active || what == reads {
		return
	}
	s.unsure = s.unsure || what == pragmas || what >= alters || s.unwrapped
	if what == writes && s.state&insideTransaction == capture.Enlisted|capture.Writing && s.recorder.Quiet(s.shapes.known()) {
		return
	}
	if what == vacuums {
		s.afterVacuum()
	}
	if what >= creates {
		s.recordDDL(what)
	}
	var n int
	s.state, n = s.recorder.After(s.shapes.known(), s.buffer)
	if s.state&capture.Copied != 0 {
		s.hand(s.recorder.Copied(), nil, s.buffer[:n], false)
	}
	if what >= creates || s.schemaChanged || s.unwrapped || s.external || s.state&(capture.External|capture.NewTables) != 0 {
		s.syncShapes(what)
	}
	if s.state&(capture.Committed|capture.Copied) == capture.Committed {
		s.take()
	}
	if what == pragmas || what == vacuums || s.durable != nil && s.recorder.HasNews() {
		s.lookAtLog(what)
	}
	if s.state.Idle() && s.shapes.stale {
		s.forget()
	}
}

// readable reports whether reading the schema does not begin anything: a transaction that has not read yet would see
// the database as of now, and could not wait for a lock when it writes.
func (s *captureSession) readable() bool { return s.state.Idle() || s.state&capture.Pinned != 0 }

// syncShapes keeps the shapes of tables in step with the schema.
func (s *captureSession) syncShapes(what class) {
	if s.unwrapped && s.recorder.RestoreHooks() {
		s.lost(nil, errors.New("the capture hooks were replaced through the unwrapped connection"))
	}
	external := s.external || s.state&capture.External != 0
	s.external = false
	switch {
	case what >= creates && s.stepped != unknownVersion && s.catalog.version <= s.stepped+1:
		// It has changed the schema, and no other connection has.
		s.shapes.version = s.catalog.version
	case external && !s.readable():
		s.external = true
	case external:
		s.checkVersion(schemaVersion(s.inner))
		s.catalog.readIfChanged(s.inner, s.shapes.version)
	}
	if err := s.resolve(); err != nil && s.state&capture.Committed != 0 {
		s.recorder.Lose()
		s.shapes.stale = true
	}
	undone := s.schemaChanged && s.state&capture.RolledBack != 0
	if undone || s.unwrapped || s.byHand && what >= creates {
		s.catalog.forget()
		s.shapes.version = unknownVersion
	}
	if !s.catalog.known && s.readable() {
		s.catalog.read(s.inner)
	}
	if what >= creates || undone || s.unwrapped {
		s.forget()
	}
	s.schemaChanged = !s.state.Idle() && (s.schemaChanged || what >= creates || s.unwrapped)
}

// forget makes the next row of every table resolve its table again.
func (s *captureSession) forget() {
	s.shapes.stale = s.recorder.ForgetTables()
	if s.recorder.Tables() == 0 {
		s.shapes.reset()
	}
}

// checkVersion forgets all tables if another connection has changed the schema, as its version tells, and has those
// resolved again that there are records of.
func (s *captureSession) checkVersion(version int64) {
	if version == unknownVersion || version != s.shapes.version {
		s.forget()
		s.shapes.bySlot, s.shapes.named = nil, 0
	}
	s.shapes.version = version
}

// take hands over transactions that were not moved to the buffer.
func (s *captureSession) take() {
	for _, c := range s.recorder.Take() {
		if c.Lost != nil {
			c.Spilled.Release()
			s.lost(&c.Summary, c.Lost)
			continue
		}
		s.hand(c.Summary, c.Spilled, c.Memory, true)
	}
}

func (s *captureSession) close() {
	s.after(controls)
	s.active = false
	s.recorder.Close()
}
