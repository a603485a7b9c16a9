package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	wippy "github.com/wippy-cdc/runtime/cmd/wippy"
)

// A pipe that is full holds up neither those that write nor the end.
func TestMessagesNeedNoReader(t *testing.T) {
	from, to := io.Pipe()
	w, flush := wippy.NewMessages(to)
	const lines = 3000
	for i := range lines {
		_, err := fmt.Fprintf(w, "%d %s\n", i, strings.Repeat("x", 1000))
		require.NoError(t, err)
	}
	told, cancel := context.WithCancel(t.Context())
	cancel()
	flush(told)

	kept, dropped := 0, 0
	scanner := bufio.NewScanner(from)
	for dropped == 0 && scanner.Scan() {
		if strings.HasPrefix(scanner.Text(), "wippy: ") {
			_, err := fmt.Sscanf(scanner.Text(), "wippy: %d lines were dropped here, because stderr was not read", &dropped)
			require.NoError(t, err)
			continue
		}
		require.True(t, strings.HasPrefix(scanner.Text(), fmt.Sprint(kept, " x")), scanner.Text())
		kept++
	}
	require.NoError(t, scanner.Err())
	require.Equal(t, lines, kept+dropped)
	require.Greater(t, kept, 1000)

	// As soon as there is a reader all is written again.
	go func() { _, _ = fmt.Fprintln(w, "again") }()
	require.True(t, scanner.Scan())
	require.Equal(t, "again", scanner.Text())
	flush(t.Context())
}

// A long text that nothing is in front of is never dropped.
func TestMessagesKeepALongText(t *testing.T) {
	from, to := io.Pipe()
	w, flush := wippy.NewMessages(to)
	text := strings.Repeat("problem\n", 1<<18)
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(from, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
	flush(t.Context())
}

// An app whose stderr is not read logs more than a pipe holds, and stops at the first signal.
func TestUnreadLogDoesNotHoldUpTheEnd(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "app.yaml"), []byte(`
namespace: app
entries:
  - {name: term, kind: terminal.host}
  - name: noisy
    kind: process.lua
    modules: [io, logger]
    source: |
      local io, logger = require("io"), require("logger")
      function main()
        local events = process.events()
        for i = 1, 4000 do logger.info(("x"):rep(1000), {i = i}) end
        io.print("up")
        events:receive()
        logger.info("asked to end")
        io.print("ends")
      end
  - {name: service, kind: process.service, process: noisy, host: term, lifecycle: {auto_start: true}}
`), 0o600))
	from, to, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() {
		// What the program has left behind comes to its end.
		require.NoError(t, to.Close())
		require.NoError(t, from.Close())
	})
	signals := make(chan os.Signal, 1)
	stdout := &output{}
	up := stdout.wants("up\n")
	go func() {
		<-up
		signals <- syscall.SIGTERM
	}()
	code := wippy.Run([]string{"run", dir}, stdout, to, signals, func(int) { panic("must not exit at once") })
	require.Zero(t, code)
	require.Contains(t, stdout.String(), "ends")
}
