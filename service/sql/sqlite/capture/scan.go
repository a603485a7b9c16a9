package capture

/*
#include <stdlib.h>
#include "scan.h"
*/
import "C"

import (
	"errors"
	"unsafe"
)

// Scan reads the rows of a table as records of inserted rows, many at a time: a call into C costs as much as reading
// a row. It is used by the goroutine that uses the connection.
type Scan struct {
	c *C.wippy_scan
	// failed is why the scan has ended early.
	failed error
}

// Query reads all rows of a table.
type Query struct {
	// Rows selects the rowid and the stored columns; the columns alone if RowIDs is not "".
	Rows string
	// RowIDs selects the rowids in the same order, for a table with so many columns that a result has no room for one
	// more.
	RowIDs string
}

// OpenScan begins a query on a connection that needs no Recorder.
func OpenScan(db unsafe.Pointer, query Query) (*Scan, error) {
	text, rowids := C.CString(query.Rows), optional(query.RowIDs)
	defer C.free(unsafe.Pointer(text))
	defer C.free(unsafe.Pointer(rowids))
	s := &Scan{c: C.wippy_scan_open((*C.sqlite3)(db), text, rowids)}
	if s.c == nil {
		return nil, errors.New("out of memory")
	}
	if err := s.failure(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Next returns records of the next rows: about size bytes, at least one row, nothing after the last.
func (s *Scan) Next(size int) ([]byte, error) {
	if s.failed != nil {
		return nil, s.failed
	}
	var n C.uint64_t
	records := C.wippy_scan_next(s.c, C.uint64_t(size), &n)
	if err := s.failure(); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, nil
	}
	batch := make([]byte, n)
	copy(batch, unsafe.Slice((*byte)(records), n))
	return batch, nil
}

// failure takes over the message of SQLite, which lasts until the connection is used again.
func (s *Scan) failure() error {
	if text := C.wippy_scan_error(s.c); text != nil {
		s.failed = errors.New(C.GoString(text))
	}
	return s.failed
}

// Close ends the query. It is called before the connection closes.
func (s *Scan) Close() { C.wippy_scan_close(s.c) }
