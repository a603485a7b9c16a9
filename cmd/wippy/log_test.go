package main_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	wippy "github.com/wippy-cdc/runtime/cmd/wippy"
)

// lines returns what was logged, without the times.
func lines(t *testing.T, b *bytes.Buffer) []string {
	t.Helper()
	var all []string
	for line := range strings.Lines(b.String()) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, " ") {
			require.Regexp(t, `^\d\d:\d\d:\d\d\.\d\d\d `, line)
			line = line[len("15:04:05.000 "):]
		}
		all = append(all, line)
	}
	return all
}

func TestConsoleWritesOneReadableLine(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(wippy.NewConsole(&b, slog.LevelInfo))
	log.Debug("not shown")
	log.Info("started", "service", "app:db", "n", 3, "text", "two words", "empty", "")
	log.With("a", 1).WithGroup("g").With("b", 2).Warn("grouped", "c", 3, slog.Group("h", "d", 4))
	log.WithGroup("").Error("failed", "error", errors.New(`cannot open "x"`))
	log.Error("script", "error", "boom\nstack traceback:\n\tmain.lua:3\n", "pid", 7)
	require.Equal(t, []string{
		`INFO  started service=app:db n=3 text="two words" empty=""`,
		`WARN  grouped a=1 g.b=2 g.c=3 g.h.d=4`,
		`ERROR failed error="cannot open \"x\""`,
		`ERROR script pid=7`,
		`    error:`, `        boom`, `        stack traceback:`, "        \tmain.lua:3",
	}, lines(t, &b))
}

// What scripts and databases say must not reach the terminal as commands.
func TestConsoleEscapesWhatDoesNotPrint(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(wippy.NewConsole(&b, slog.LevelInfo))
	log.Info("clear \x1b[2J\nINFO forged", "k\x1b", "red\x1b[31m", "b", "a\u202Eb", "t", "tab\there")
	log.Info("block", "error", "one\n\ttwo \x1b[2J\r")
	require.Equal(t, []string{
		`INFO  clear \x1b[2J\nINFO forged k\x1b="red\x1b[31m" b="a\u202eb" t="tab\there"`,
		`INFO  block`, `    error:`, `        one`, "        \ttwo \\x1b[2J\\r",
	}, lines(t, &b))
}

func TestConsoleLoggersShareTheirParentAttributes(t *testing.T) {
	var b bytes.Buffer
	parent := slog.New(wippy.NewConsole(&b, slog.LevelInfo)).With("p", 1)
	one, two := parent.With("one", 1), parent.With("two", 2)
	one.Info("a")
	two.Info("b")
	require.Equal(t, []string{"INFO  a p=1 one=1", "INFO  b p=1 two=2"}, lines(t, &b))
}

func TestConsoleKeepsLinesApart(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(wippy.NewConsole(&b, slog.LevelInfo))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				log.Info("hello", "k", "v")
			}
		})
	}
	wg.Wait()
	all := lines(t, &b)
	require.Len(t, all, 800)
	for _, line := range all {
		require.Equal(t, "INFO  hello k=v", line)
	}
}
