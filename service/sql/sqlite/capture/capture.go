// Package capture records the row changes of one SQLite connection in C memory: the preupdate, commit and rollback
// hooks, the arena they write to, and the virtual table by which SQLite tells about savepoints. With its scans of
// rows and its look at the wal-index it is the only package of the program with C code. It links against the SQLite
// library that the SQL driver brings.
//
// A Recorder belongs to one connection and is used by the goroutine that uses the connection, one at a time.
package capture

/*
#cgo CFLAGS: -std=gnu99 -O2 -Wall -Wextra
#include <stdlib.h>
#include "capture.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"github.com/wippy-cdc/runtime/internal/tempfile"
)

// State is what a Recorder sees after a statement.
type State uint32

// The bits of State.
const (
	// Autocommit means that no transaction is open.
	Autocommit State = C.WIPPY_AUTOCOMMIT
	// Writing means that a write transaction is open; with Autocommit, one of a statement that has not been reset.
	Writing State = C.WIPPY_WRITING
	// Enlisted means that the savepoint sentinel takes part in the open transaction.
	Enlisted State = C.WIPPY_ENLISTED
	// Committed means that committed transactions wait to be taken.
	Committed State = C.WIPPY_COMMITTED
	// Copied means that there was just one and it was moved to the buffer.
	Copied State = C.WIPPY_COPIED
	// External means that another connection may have changed the database, its schema included.
	External State = C.WIPPY_EXTERNAL
	// NewTables means that there are more tables than known.
	NewTables State = C.WIPPY_NEW_TABLES
	// RolledBack means that a savepoint or a transaction was undone.
	RolledBack State = C.WIPPY_ROLLED_BACK
	// Pinned means that the open transaction sees the database as of one moment: reading does not begin anything.
	Pinned State = C.WIPPY_PINNED
	// Unreset means that a statement was not reset yet that writes, to another database than main too, or that a rollback
	// has aborted.
	Unreset State = C.WIPPY_UNRESET
)

// Idle reports whether no transaction is open at all, and the next statement that fails undoes its own.
func (s State) Idle() bool { return s&(Autocommit|Writing|Unreset) == Autocommit }

// Available reports whether SQLite was compiled with the preupdate hook.
func Available() bool { return C.wippy_capture_available() != 0 }

// Compiled reports whether SQLite was compiled with an option, which is named as in
// https://www.sqlite.org/compile.html, with or without SQLITE_ in front.
func Compiled(option string) bool {
	name := C.CString(option)
	defer C.free(unsafe.Pointer(name))
	return C.wippy_capture_compiled(name) != 0
}

// Filename returns the file of the connection's main database as SQLite knows it.
func Filename(db unsafe.Pointer) string {
	return C.GoString(C.wippy_capture_filename((*C.sqlite3)(db)))
}

// IsBusy reports whether a sqlite3_stmt has been stepped and neither finished nor reset.
func IsBusy(stmt unsafe.Pointer) bool { return C.wippy_capture_is_busy(stmt) != 0 }

// Recorder captures the changes of one connection.
type Recorder struct {
	c       *C.wippy_capture
	signals *C.wippy_signals
}

// Open installs the hooks on a sqlite3 connection, before anything is prepared on it: a statement prepared earlier
// may delete rows unseen. Nothing is captured until Filter says so. Of one transaction, memory bytes are kept in
// memory before they spill to an unlinked file in dir, and limit bytes at all.
func Open(db unsafe.Pointer, memory, limit int64, dir string) (*Recorder, error) {
	name := C.CString(dir)
	defer C.free(unsafe.Pointer(name))
	c := C.wippy_capture_open((*C.sqlite3)(db), C.uint64_t(memory), C.uint64_t(limit), name)
	if c == nil {
		return nil, errors.New("capture: open: SQLite refused the savepoint sentinel, or memory is short")
	}
	return &Recorder{c: c, signals: C.wippy_capture_signals(c)}, nil
}

// Close ends capture. It is called before the connection closes, and the Recorder is not used after it.
func (r *Recorder) Close() { C.wippy_capture_close(r.c) }

// Filter sets which tables are captured: all of them, or those named, or none. It must be called while no
// transaction is open. All slots are forgotten.
func (r *Recorder) Filter(active, all bool, tables []string) error {
	names := C.CString(strings.Join(tables, "\x00"))
	defer C.free(unsafe.Pointer(names))
	if C.wippy_capture_filter(r.c, flag(active), flag(all), names, C.int(len(tables))) != 0 {
		return errors.New("capture: filter: out of memory")
	}
	return nil
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// Install makes the savepoint sentinel, after the options are set, and takes over the automatic checkpoints as they are
// set then.
func (r *Recorder) Install() error {
	if rc := C.wippy_capture_install(r.c); rc != 0 {
		return fmt.Errorf("capture: make the savepoint sentinel: SQLite error %d", int(rc))
	}
	return nil
}

// HasNews reports whether News has something to tell. It costs no call.
func (r *Recorder) HasNews() bool { return r.signals.segment_news != 0 }

// SentinelGone reports whether the savepoint sentinel may be gone. It costs no call.
func (r *Recorder) SentinelGone() bool { return r.signals.sentinel_gone != 0 }

// Reinstall makes the savepoint sentinel again if it is gone. It is called while no transaction is open.
func (r *Recorder) Reinstall() error {
	if rc := C.wippy_capture_reinstall(r.c); rc != 0 {
		return fmt.Errorf("capture: make the savepoint sentinel again: SQLite error %d", int(rc))
	}
	return nil
}

// Enlist makes the sentinel take part in the open transaction, whose savepoints are followed to its end. It is called
// before the first statement that may write.
func (r *Recorder) Enlist() error {
	if rc := C.wippy_capture_enlist(r.c); rc != 0 {
		return fmt.Errorf("capture: enlist: SQLite error %d", int(rc))
	}
	return nil
}

// After looks at the connection after a statement. known is the number of slots that the caller has resolved. If
// the statement committed and what it committed fits into buffer, it is moved there, and n is its length.
func (r *Recorder) After(known int, buffer []byte) (state State, n int) {
	v := C.wippy_capture_after(r.c, C.uint32_t(known), unsafe.Pointer(unsafe.SliceData(buffer)), C.uint32_t(len(buffer)))
	return State(v), int(v >> 32)
}

// Commit is one committed transaction in the arena.
type Commit struct {
	// Spilled and Memory are its records, Spilled first, which must be released; it is nil if nothing has spilled.
	Spilled *tempfile.Part
	Memory  []byte
	// Summary is good until the next statement.
	Summary Summary
	// Lost is why the transaction is incomplete, nil if it is whole.
	Lost error
}

// Op is an operation as records carry it.
type Op uint8

// The operations.
const (
	OpInsert Op = iota + 1
	OpUpdate
	OpDelete
	OpTruncate
	OpSchema
	numOps
)

// Summary is what a transaction has done.
type Summary struct {
	// Sequence is that of the transaction in the segment file, 0 if it is not there, and At the time that stands there in Unix
	// nanoseconds. Gap says that it stands there as a gap.
	Sequence uint64
	At       int64
	Gap      bool
	// End is the length of the segment file, and Unnamed says that shapes of its tables have no name there.
	End     int64
	Unnamed bool
	// Counts says by Op how many records there are.
	Counts [numOps]uint32
	// Touched are the tables that there may be records of. It is memory of C.
	Touched []Touched
}

// Touched is a table of a summary: its slot, and the bit 1<<op for each operation.
type Touched struct{ Slot, Ops uint32 }

// Copied returns the summary of the transaction that After has moved to the buffer. It is good until the next
// statement.
func (r *Recorder) Copied() Summary { return summaryOf(&r.signals.copied) }

func summaryOf(s *C.wippy_summary) Summary {
	return Summary{
		Sequence: uint64(s.sequence), At: int64(s.at), Gap: s.gap != 0, End: int64(s.end), Unnamed: s.unnamed != 0,
		Counts:  *(*[numOps]uint32)(unsafe.Pointer(&s.counts)),
		Touched: unsafe.Slice((*Touched)(unsafe.Pointer(s.tables)), s.touched),
	}
}

// Take removes the committed transactions from the arena.
func (r *Recorder) Take() []Commit {
	n := int(C.wippy_capture_commits(r.c))
	spilled := int64(C.wippy_capture_spilled(r.c))
	var whole *tempfile.Part
	if spilled > 0 {
		whole = tempfile.NewPart(os.NewFile(uintptr(C.wippy_capture_take_spill(r.c)), "wippy-capture"), 0, spilled)
	}
	if spilled > 0 {
		defer whole.Release()
	}
	commits := make([]Commit, n)
	var from int64
	for i := range commits {
		commit := C.wippy_capture_commit(r.c, C.int(i))
		end := int64(commit.end)
		if from < spilled {
			commits[i].Spilled = whole.Slice(from, min(end, spilled)-from)
		}
		if tail := max(from, spilled); end > tail {
			commits[i].Memory = make([]byte, end-tail)
			C.wippy_capture_copy(r.c, C.uint64_t(tail), unsafe.Pointer(unsafe.SliceData(commits[i].Memory)), C.uint64_t(end-tail))
		}
		commits[i].Summary = summaryOf(&commit.summary)
		commits[i].Lost = lostError(commit.lost)
		from = end
	}
	C.wippy_capture_taken(r.c)
	return commits
}

// ErrTooLarge is why a transaction is lost that was not kept because of its size.
var ErrTooLarge = errors.New("the transaction is larger than max_transaction_bytes")

func lostError(why C.int) error {
	switch why {
	case C.WIPPY_LOST_NOTHING:
		return nil
	case C.WIPPY_LOST_TOO_LARGE:
		return ErrTooLarge
	case C.WIPPY_LOST_NO_MEMORY:
		return errors.New("memory ran out")
	case C.WIPPY_LOST_READ_ERROR:
		return errors.New("SQLite could not read a row")
	case C.WIPPY_LOST_BLOB_WRITE:
		return errors.New("a blob was written incrementally, which shows no row")
	case C.WIPPY_LOST_NOT_ENLISTED:
		return errors.New("rows were written in a transaction whose savepoints could not be followed")
	case C.WIPPY_LOST_SPILL:
		return errors.New("the temporary file of a large transaction could not be written")
	case C.WIPPY_LOST_IN_PART:
		return errors.New("a COMMIT failed in another database of the transaction, and with options.locking_mode = exclusive " +
			"SQLite does not tell whether main was committed before: leave the option away")
	case C.WIPPY_LOST_SHAPE:
		return errors.New("the columns of a table could not be read")
	default:
		return errors.New("a savepoint was not known")
	}
}

// Pending reports whether the arena holds anything.
func (r *Recorder) Pending() bool { return C.wippy_capture_length(r.c) > 0 }

// Lose marks the newest transaction, open or not taken yet, as incomplete because the columns of a table are not known.
func (r *Recorder) Lose() { C.wippy_capture_lose(r.c, C.WIPPY_LOST_SHAPE) }

// Tables returns the number of slots.
func (r *Recorder) Tables() int { return int(r.signals.tables) }

// Quiet reports whether a statement inside a write transaction met no table beyond the known ones and undid nothing,
// so that After would have nothing to tell. It costs no call.
func (r *Recorder) Quiet(known int) bool {
	return int(r.signals.tables) == known && r.signals.rolled_back == 0
}

// Table returns the name of the table of a slot and whether it is captured: of a forgotten one, whether there may be
// records.
func (r *Recorder) Table(slot int) (name string, wanted bool) {
	t := C.wippy_capture_table(r.c, C.uint32_t(slot))
	return C.GoString(t.name), t.wanted != 0
}

// Ignore stops capturing the table of a slot. Records that it has made stay.
func (r *Recorder) Ignore(slot int) { C.wippy_capture_ignore(r.c, C.uint32_t(slot)) }

// ForgetTables gives every table a new slot with its next row, because its shape may have changed. Slots start again at 0 once there
// are many. It is to be called again if it returns true: records refer to them until their transaction has ended.
func (r *Recorder) ForgetTables() (again bool) { return C.wippy_capture_forget_tables(r.c) != 0 }

// Action is what a schema record says.
type Action uint8

// The actions.
const (
	Create Action = iota + 1
	Alter
	Drop
)

// Holds reports whether there is a transaction with changes that the last statement belongs to: an open one, or one that
// it has committed. There is none if it has rolled back.
func (r *Recorder) Holds() bool { return C.wippy_capture_holds(r.c) != 0 }

// Foreign reports whether another connection may have committed since After has looked, the last statement included.
func (r *Recorder) Foreign() bool { return C.wippy_capture_foreign(r.c) != 0 }

// Wants reports whether the filter accepts the table.
func (r *Recorder) Wants(table string) bool {
	name := C.CString(table)
	defer C.free(unsafe.Pointer(name))
	return C.wippy_capture_wants(r.c, name) != 0
}

// SlotOf returns the slot of a table, a new one if it has none; false if the table is not captured. With Truncate,
// Schema and Rows it records what no hook tells about: they append to the transaction that the last statement
// belongs to, before After has looked at it.
func (r *Recorder) SlotOf(table string) (slot int, wanted bool) {
	name := C.CString(table)
	defer C.free(unsafe.Pointer(name))
	n := int(C.wippy_capture_slot_of(r.c, name))
	return n, n >= 0
}

// Truncate records that all rows of the table are gone.
func (r *Recorder) Truncate(slot int) { C.wippy_capture_truncate(r.c, C.uint32_t(slot)) }

// Schema records that the table was created, altered or dropped; text is its CREATE statement now, from its former
// name if it was renamed, and either may be empty.
func (r *Recorder) Schema(slot int, action Action, text, from string) {
	cText, cFrom := optional(text), optional(from)
	defer C.free(unsafe.Pointer(cText))
	defer C.free(unsafe.Pointer(cFrom))
	C.wippy_capture_schema(r.c, C.uint32_t(slot), C.int(action), cText, cFrom)
}

func optional(s string) *C.char {
	if s == "" {
		return nil
	}
	return C.CString(s)
}

// Rows records the rows of a query as inserted.
func (r *Recorder) Rows(slot int, query Query) error {
	text, rowids := C.CString(query.Rows), optional(query.RowIDs)
	defer C.free(unsafe.Pointer(text))
	defer C.free(unsafe.Pointer(rowids))
	if rc := C.wippy_capture_rows(r.c, C.uint32_t(slot), text, rowids); rc != 0 {
		return fmt.Errorf("capture: read rows: SQLite error %d", int(rc))
	}
	return nil
}

// RestoreHooks puts the hooks back and reports whether they had been replaced.
func (r *Recorder) RestoreHooks() (replaced bool) { return C.wippy_capture_restore_hooks(r.c) == 0 }
