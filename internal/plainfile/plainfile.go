// Package plainfile reads files that a user names and that are expected to be small texts. A named pipe would make the
// reader wait for ever, and a device such as /dev/zero has no end: neither is opened.
package plainfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Limit is how large a file may be: no declaration and no script comes near it.
const Limit = 16 << 20

// Read returns the content of a regular file, or of one that a symbolic link leads to. The error names no path; one of
// a file that does not exist is fs.ErrNotExist.
func Read(path string) (content []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is %s, not a file", what(info.Mode()))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer func() { err = errors.Join(err, cause(file.Close())) }()
	content, err = io.ReadAll(io.LimitReader(file, Limit+1))
	switch {
	case err != nil:
		return nil, cause(err)
	case len(content) > Limit:
		return nil, fmt.Errorf("it is larger than %d MiB", Limit>>20)
	default:
		return content, nil
	}
}

// cause takes the path off an error.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

func what(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	default:
		return "a device"
	}
}
