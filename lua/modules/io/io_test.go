package io_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/lua/modules/internal/scripttest"
	iomodule "github.com/wippy-cdc/runtime/lua/modules/io"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// terminal returns a world whose terminal has the given input.
func terminal(t *testing.T, input string, args ...string) *scripttest.World {
	t.Helper()
	return scripttest.NewWithInput(t, strings.NewReader(input), args, iomodule.New())
}

func TestOutput(t *testing.T) {
	t.Parallel()
	w := terminal(t, "")
	require.Equal(t, []any{true, true, true, true}, w.ValueOn(scripttest.Terminal(), `
		local io = require("io")
		local named = setmetatable({}, {__tostring = function() return "named" end})
		return {io.print("a", 1, nil, true, 1.5, named), io.write("b", 2, "\0\n"), io.eprint("c", "d"), io.flush()}`))
	require.Equal(t, "a\t1\tnil\ttrue\t1.5\tnamed\nb2\x00\n", w.Out.String())
	require.Equal(t, "c\td\n", w.Err.String())
}

func TestPrintWithoutArgumentsIsAnEmptyLine(t *testing.T) {
	t.Parallel()
	w := terminal(t, "")
	w.ValueOn(scripttest.Terminal(), `require("io").print()`)
	require.Equal(t, "\n", w.Out.String())
}

func TestArgs(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{"one", "", "two words"},
		terminal(t, "", "one", "", "two words").ValueOn(scripttest.Terminal(), `return require("io").args()`))
}

func TestReadline(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 10000)
	require.Equal(t, []any{"first", "", "third", long, "no newline", "nil", "nil"},
		terminal(t, "first\n\nthird\r\n"+long+"\nno newline").ValueOn(scripttest.Terminal(), `
			local io = require("io")
			local lines = {}
			for i = 1, 7 do lines[i] = tostring(io.readline()) end
			return lines`))
}

func TestRead(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{"ab", "c\nd", "ef", "nil"}, terminal(t, "abc\ndef").ValueOn(scripttest.Terminal(), `
		local io = require("io")
		return {io.read(2), io.read(3), io.read(100), tostring(io.read(1))}`))
	require.Equal(t, []any{"a", "bc\ndef", "nil"}, terminal(t, "abc\ndef").ValueOn(scripttest.Terminal(), `
		local io = require("io")
		return {io.read(1), io.read(), tostring(io.read())}`))
}

func TestReadWantsAPositiveNumber(t *testing.T) {
	t.Parallel()
	w := terminal(t, "abc")
	for argument, want := range map[string]string{
		"0":       "bad argument #1 to io.read (the number of bytes is 0, must be a whole number from 1 to",
		"-1":      "the number of bytes is -1, must be a whole number",
		"1.5":     "the number of bytes is 1.5, must be a whole number",
		"1e18":    "must be a whole number from 1 to 2147483647",
		`"three"`: `the number of bytes is "three", must be a number`,
	} {
		got := w.ValueOn(scripttest.Terminal(), `local ok, err = pcall(require("io").read, `+argument+`) assert(not ok) return err`)
		require.Contains(t, got, want)
	}
}

// A result that the script does not look at would be silence.
func TestWithoutATerminalEveryCallRaises(t *testing.T) {
	t.Parallel()
	w := terminal(t, "")
	for _, call := range []string{"print", "write", "eprint", "read", "readline", "flush", "args"} {
		require.Equal(t,
			fmt.Sprintf(`app:test:2: io: %s: process "app:test" has no terminal: run it on a terminal.host, or use the module logger`, call),
			w.Value(`local ok, err = pcall(function(call) require("io")[call](1) end, ...) return not ok and err`, call))
	}
	require.Empty(t, w.Out.String())
}

func TestAFailedWriteIsReturned(t *testing.T) {
	t.Parallel()
	w := scripttest.NewWithInput(t, strings.NewReader(""), nil, iomodule.New())
	w.AddTerminal("broken", strings.NewReader(""), brokenPipe{})
	require.Equal(t, []any{"nil", "io: print: io: read/write on closed pipe"}, w.ValueOn(scripttest.ID("broken"),
		`local v, err = require("io").print("x") return {tostring(v), err:message()}`))
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestReadingBlocksOnlyItsCoroutine(t *testing.T) {
	t.Parallel()
	reader, writer := io.Pipe()
	w := scripttest.NewWithInput(t, reader, nil, iomodule.New())
	pid := w.Start(scripttest.Terminal(), `
		local io = require("io")
		coroutine.spawn(function() io.print("meanwhile") end)
		return io.readline()`)
	w.Out.Await(t, "meanwhile")
	_, err := writer.Write([]byte("answer\n"))
	require.NoError(t, err)
	require.Equal(t, "answer", w.End(pid).Value)
	require.NoError(t, writer.Close())
}

// A process that ends while it waits for input leaves the input to the next one.
func TestWhatATerminatedReaderMissedIsKept(t *testing.T) {
	t.Parallel()
	reader, writer := io.Pipe()
	w := scripttest.NewWithInput(t, reader, nil, iomodule.New())
	pid := w.Start(scripttest.Terminal(), `local io = require("io") io.print("reading") return io.readline()`)
	w.Out.Await(t, "reading")
	require.Error(t, w.Kill(pid).Err)
	next := w.Start(scripttest.Terminal(), `local io = require("io") return {io.readline(), tostring(io.readline())}`)
	_, err := writer.Write([]byte("kept\n"))
	require.NoError(t, err)
	require.NoError(t, writer.Close())
	require.Equal(t, []any{"kept", "nil"}, w.End(next).Value)
}

func TestLinesOfConcurrentProcessesAreNotMixed(t *testing.T) {
	t.Parallel()
	const processes, lines = 8, 50
	w := terminal(t, "")
	body := `
		local io, text = require("io"), string.rep(..., 100)
		for i = 1, 50 do io.print(text, text) end`
	var want []string
	var running []process.PID
	for i := range processes {
		letter := string(rune('a' + i))
		text := strings.Repeat(letter, 100)
		want = append(want, slices.Repeat([]string{text + "\t" + text}, lines)...)
		running = append(running, w.Start(scripttest.Terminal(), body, letter))
	}
	for _, pid := range running {
		require.NoError(t, w.End(pid).Err)
	}
	got := strings.Split(strings.TrimSuffix(w.Out.String(), "\n"), "\n")
	slices.Sort(got)
	require.Equal(t, want, got)
}
