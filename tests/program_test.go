package tests_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

// output collects what a program writes and tells when it holds something.
type output struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

// String returns all that has been written.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// peek returns what has been written and what is closed by the next write.
func (o *output) peek() (text string, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// running is a program under test.
type running struct {
	cmd            *exec.Cmd
	stdout, stderr *output
	ended          chan struct{}
	err            error // once ended is closed
}

// launch starts dist/wippy. It is killed at the end of the test if it still runs.
func launch(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	r := &running{
		cmd:    exec.CommandContext(t.Context(), filepath.Join(programs(t), "wippy"), args...),
		stdout: &output{changed: make(chan struct{})},
		stderr: &output{changed: make(chan struct{})},
		ended:  make(chan struct{}),
	}
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = dir, r.stdout, r.stderr
	require.NoError(t, r.cmd.Start())
	go func() {
		defer close(r.ended)
		r.err = r.cmd.Wait()
	}()
	t.Cleanup(func() { <-r.ended }) // the context of the test is done by then
	return r
}

// prints waits until the program has written text; it must not end before.
func (r *running) prints(t *testing.T, o *output, text string) {
	t.Helper()
	for {
		written, changed := o.peek()
		if strings.Contains(written, text) {
			return
		}
		select {
		case <-changed:
		case <-r.ended:
			require.Contains(t, o.String(), text, "the program has ended: %v\n%s", r.err, r.stderr)
			return
		}
	}
}

func (r *running) signal(t *testing.T, s os.Signal) {
	t.Helper()
	require.NoError(t, r.cmd.Process.Signal(s))
}

// exit waits for the end of the program and returns its exit code.
func (r *running) exit() int {
	<-r.ended
	return r.cmd.ProcessState.ExitCode()
}

// unpack writes the files of an archive to a directory of its own.
func unpack(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		write(t, filepath.Join(dir, f.Name), string(f.Data))
	}
	return dir
}

// write writes a file in one step, as an app that reloads needs it.
func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path+".new", []byte(content), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

// edit replaces text in a file.
func edit(t *testing.T, path string, replace ...string) {
	t.Helper()
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	changed := strings.NewReplacer(replace...).Replace(string(old))
	require.NotEqual(t, string(old), changed)
	write(t, path, changed)
}
