package engine

import (
	"io"
	"strings"
	"sync"
)

// Terminal is what processes on a terminal.host may read and write. Its streams may be used by several processes.
type Terminal struct {
	// Stdin is read by one goroutine at a time.
	Stdin io.Reader
	// Stdout and Stderr take each Write as a whole, from any goroutine.
	Stdout, Stderr io.Writer
	// Args are the arguments of the command line.
	Args []string
}

// NewTerminal returns a terminal over the given streams. Those that are nil are empty.
func NewTerminal(stdin io.Reader, stdout, stderr io.Writer, args []string) *Terminal {
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	mu := new(sync.Mutex)
	return &Terminal{
		Stdin:  stdin,
		Stdout: &lockedWriter{mu: mu, w: stdout},
		Stderr: &lockedWriter{mu: mu, w: stderr},
		Args:   args,
	}
}

// lockedWriter keeps the writes of several goroutines apart. Both streams of a terminal share a lock because they
// usually end in the same place.
type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
