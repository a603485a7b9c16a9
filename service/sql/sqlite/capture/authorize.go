package capture

/*
#include "authorize.h"
*/
import "C"

import (
	"errors"
	"unsafe"
)

// Permission is something that the statements of a connection may do, a bit each.
type Permission int

// The permissions.
const (
	// Files is to reach other files: ATTACH, VACUUM INTO.
	Files Permission = C.WIPPY_FILES
	// Settings is to set pragmas that concern the whole connection or program.
	Settings Permission = C.WIPPY_SETTINGS
	// WriteSchema is to set the pragmas by which the schema can be written.
	WriteSchema Permission = C.WIPPY_SCHEMA
	// Checkpoint is to change the table of checkpoints.
	Checkpoint Permission = C.WIPPY_CHECKPOINT
	// Extensions is to load code from a file.
	Extensions Permission = C.WIPPY_EXTENSIONS
)

// Authorizer refuses statements of a connection when they are prepared.
type Authorizer struct{ c *C.wippy_authorizer }

// Authorize refuses all that is not allowed from now on. Statements that are prepared already are prepared again.
func Authorize(db unsafe.Pointer, allowed Permission) (*Authorizer, error) {
	c := C.wippy_authorizer_open((*C.sqlite3)(db), C.int(allowed))
	if c == nil {
		return nil, errors.New("authorize: out of memory")
	}
	return &Authorizer{c: c}, nil
}

// Denied returns which permission the statement that was refused last would have needed, 0 if none was refused since
// the last call, and the pragma if it was one.
func (a *Authorizer) Denied() (needs Permission, pragma string) {
	var name *C.char
	denied := C.wippy_authorizer_denied(a.c, &name)
	return Permission(denied), C.GoString(name)
}

// Suspend allows everything while f runs: for statements of the runtime itself. A nil Authorizer allows everything
// anyway.
func (a *Authorizer) Suspend(f func()) {
	if a == nil {
		f()
		return
	}
	C.wippy_authorizer_suspend(a.c, 1)
	defer C.wippy_authorizer_suspend(a.c, 0)
	f()
}

// Close is called before the connection closes, and the Authorizer is not used after it.
func (a *Authorizer) Close() { C.wippy_authorizer_close(a.c) }
