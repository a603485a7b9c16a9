package boot_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/boot"
	"github.com/wippy-cdc/runtime/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

// buffer collects output of several goroutines and tells when it holds something.
type buffer struct {
	mu      sync.Mutex
	content bytes.Buffer
	waiting map[string]chan struct{}
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.content.Write(p)
	for text, seen := range b.waiting {
		if strings.Contains(b.content.String(), text) {
			close(seen)
			delete(b.waiting, text)
		}
	}
	return n, err
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.content.String()
}

// unwarned checks that nothing was warned of, but that the machine was busy or others had transactions open.
func (b *buffer) unwarned(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, "level=WARN") {
			require.Regexp(t, "service is not ready yet|the server makes the slot when|checkpoint cannot be kept.*deadline exceeded", line)
		}
	}
}

// forget drops what has been written so far.
func (b *buffer) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.content.Reset()
}

// wait waits until text has been written, or the test has no more time.
func (b *buffer) wait(t *testing.T, text string) {
	t.Helper()
	select {
	case <-b.seen(text):
	case <-t.Context().Done():
		require.Fail(t, "the output never came", text)
	}
}

func (b *buffer) seen(text string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := make(chan struct{})
	if strings.Contains(b.content.String(), text) {
		close(seen)
		return seen
	}
	if b.waiting == nil {
		b.waiting = make(map[string]chan struct{})
	}
	b.waiting[text] = seen
	return seen
}

// fixture is an app in a directory of its own and all that it writes.
type fixture struct {
	settings    boot.Settings
	stdout, log *buffer
}

// write makes an app of an archive whose comment is its app.yaml.
func write(t *testing.T, archive string) *fixture {
	t.Helper()
	dir := t.TempDir()
	parsed := txtar.Parse([]byte(archive))
	files := append(parsed.Files, txtar.File{Name: "app.yaml", Data: parsed.Comment})
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, f.Data, 0o644))
	}
	f := &fixture{stdout: &buffer{}, log: &buffer{}}
	f.settings = boot.Settings{
		Dir: dir, Stdout: f.stdout, Stderr: f.log, Stdin: strings.NewReader("typed\n"),
		Logger:    slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		LookupEnv: func(string) (string, bool) { return "", false },
	}
	return f
}

// app loads the app, which must be without problems.
func (f *fixture) app(t *testing.T) *boot.App {
	t.Helper()
	app, err := boot.Load(f.settings)
	require.NoError(t, err)
	return app
}

func id(name string) registry.ID { return registry.ID{Namespace: "app", Name: name} }
