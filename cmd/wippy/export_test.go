package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"

	"github.com/wippy-cdc/runtime/api/inspect"
)

// Main is the program.
var Main = main

// ShowStatus writes a status for people, in colours or not.
func ShowStatus(w io.Writer, colours bool, s *inspect.Status) { showStatus(w, palette(colours), s) }

// Run runs a command line in this process.
func Run(args []string, stdout, stderr io.Writer, signals <-chan os.Signal, exit func(code int)) int {
	hangups := func() <-chan os.Signal { return nil }
	p := &program{stdin: eof{}, stdout: stdout, stderr: stderr, signals: signals, hangups: hangups, exit: exit}
	return p.run(args)
}

// NewConsole returns the handler that writes for people.
func NewConsole(w io.Writer, level slog.Level) slog.Handler {
	return &console{mu: new(sync.Mutex), w: w, level: level}
}

// NewMessages returns the writer that no reader holds up, and what waits until all is written or ctx is done.
func NewMessages(to io.Writer) (w io.Writer, flush func(ctx context.Context)) {
	m := newMessages(to)
	return m, m.flush
}

type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }
