package capture

/*
#include <stdlib.h>
#include "query.h"
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// QueryError is why a query could not be read to its end.
type QueryError struct {
	// Code is the extended result code: https://www.sqlite.org/rescode.html.
	Code int
	// Message is what SQLite says about it.
	Message string
}

// Error implements error.
func (e *QueryError) Error() string { return fmt.Sprintf("%s (%d)", e.Message, e.Code) }

// ReadAll reads all rows of a query as records of inserted rows that have no rowid. It takes one call into C, where the
// driver takes several for each value.
func ReadAll(db unsafe.Pointer, query string) ([]byte, error) {
	text := C.CString(query)
	defer C.free(unsafe.Pointer(text))
	result := C.wippy_query((*C.sqlite3)(db), text)
	defer C.free(result.rows)
	if result.code != 0 {
		return nil, &QueryError{Code: int(result.code), Message: C.GoString(result.message)}
	}
	if result.length == 0 {
		return nil, nil
	}
	rows := make([]byte, result.length)
	copy(rows, unsafe.Slice((*byte)(result.rows), result.length))
	return rows, nil
}
