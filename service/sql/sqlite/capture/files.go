package capture

/*
#include "files.h"
*/
import "C"

import "unsafe"

// WALIndexHeader is the length of what ReadWALIndex returns.
const WALIndexHeader = C.WIPPY_WALINDEX_HEADER

// ReadWALIndex returns the header of the wal-index that a connection has mapped, in the byte order of the machine, false
// if there is none: https://www.sqlite.org/walformat.html#walidxfmt. It needs no Recorder.
func ReadWALIndex(db unsafe.Pointer) (header [WALIndexHeader]byte, ok bool) {
	ok = C.wippy_walindex_header((*C.sqlite3)(db), unsafe.Pointer(&header[0])) != 0
	return header, ok
}

// ReadFile fills buffer with what stands at an offset of the main database file of a connection, whatever its cache
// holds; false if the file is shorter. It needs no Recorder.
func ReadFile(db unsafe.Pointer, buffer []byte, offset int64) bool {
	return C.wippy_file_read((*C.sqlite3)(db), unsafe.Pointer(&buffer[0]), C.int(len(buffer)), C.int64_t(offset)) != 0
}
