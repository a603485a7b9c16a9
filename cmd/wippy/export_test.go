package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/api/inspect"
)

// Main is the program.
var Main = main

// ChangeText is a line for people about a change in plain JSON.
func ChangeText(colours bool, data string) string { return changeText(palette(colours), []byte(data)) }

// CatchingUp is a bar.
func CatchingUp(line string, done, all int64, elapsed time.Duration) string {
	return catchingUp(line, done, all, elapsed)
}

// ReadEvents gives away the events of a body, each as its ID, name and data, and returns why there are no more.
func ReadEvents(ctx context.Context, body io.ReadCloser, take func(event [3]string)) error {
	read := newEvents(body)
	defer read.close()
	for {
		e, err := read.next(ctx)
		if err != nil {
			return err
		}
		take([3]string{e.id, e.name, e.data})
	}
}

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
