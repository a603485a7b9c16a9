package tests_test

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Kept running, the quickstart goes on until it is interrupted, and then ends cleanly.
func TestTheQuickstartKeepsRunning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, copyExamples(dir))
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs(t), "wippy"), "run", filepath.Join(dir, "quickstart"))
	cmd.Env = append(cmd.Environ(), "QUICKSTART_KEEP=1")
	logs := &strings.Builder{}
	cmd.Stderr = logs
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	kept := 0
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if !strings.Contains(lines.Text(), `"name":"kept","score":`) {
			continue
		}
		if kept++; kept == 2 {
			require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
		}
	}
	require.NoError(t, cmd.Wait(), logs)
	require.GreaterOrEqual(t, kept, 2)
	require.NotContains(t, logs.String(), "ERROR")
}
