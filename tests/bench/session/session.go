// Package session calls SQLite's session extension, which captures changes as net effects, for comparison with our own
// capture. The extension must be compiled in: see the target bench of the Makefile.
package session

/*
typedef struct sqlite3 sqlite3;
typedef struct sqlite3_session sqlite3_session;

#define WEAK __attribute__((weak))
WEAK int sqlite3session_create(sqlite3*, const char*, sqlite3_session**);
WEAK int sqlite3session_attach(sqlite3_session*, const char*);
WEAK int sqlite3session_changeset(sqlite3_session*, int*, void**);
WEAK void sqlite3session_delete(sqlite3_session*);
WEAK void sqlite3_free(void*);

static int available(void) { return sqlite3session_create != 0; }

static int begin(sqlite3 *db, sqlite3_session **out) {
  int rc = sqlite3session_create(db, "main", out);
  return rc ? rc : sqlite3session_attach(*out, 0);
}

// Generates the changeset of a session, drops it, and returns its length.
static int end(sqlite3_session *s, int *length) {
  void *changes = 0;
  int rc = sqlite3session_changeset(s, length, &changes);
  sqlite3_free(changes);
  sqlite3session_delete(s);
  return rc;
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Available reports whether SQLite was compiled with the extension.
func Available() bool { return C.available() != 0 }

// Session captures the changes of one connection.
type Session struct {
	db *C.sqlite3
	s  *C.sqlite3_session
}

// Begin begins a session on all tables of a sqlite3 connection.
func Begin(db unsafe.Pointer) (*Session, error) {
	s := &Session{db: (*C.sqlite3)(db)}
	return s, s.begin()
}

func (s *Session) begin() error {
	if rc := C.begin(s.db, &s.s); rc != 0 {
		return fmt.Errorf("session: begin: SQLite error %d", int(rc))
	}
	return nil
}

// Next generates the changeset of what has changed, and begins anew. It returns the length of the changeset in bytes.
func (s *Session) Next() (length int, err error) {
	var n C.int
	if rc := C.end(s.s, &n); rc != 0 {
		return 0, fmt.Errorf("session: changeset: SQLite error %d", int(rc))
	}
	return int(n), s.begin()
}

// Close ends the session; it must come before the end of the connection.
func (s *Session) Close() error {
	var n C.int
	if rc := C.end(s.s, &n); rc != 0 {
		return fmt.Errorf("session: close: SQLite error %d", int(rc))
	}
	return nil
}
