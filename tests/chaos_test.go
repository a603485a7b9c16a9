package tests_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/boot"
)

// chaosTime is how long the chaos test disturbs its app: WIPPY_CHAOS, for instance 1m.
func chaosTime(t *testing.T) time.Duration {
	t.Helper()
	given := os.Getenv("WIPPY_CHAOS")
	if given == "" {
		return 3 * time.Second
	}
	d, err := time.ParseDuration(given)
	require.NoError(t, err)
	return d
}

// chaosSeed is what the disturbances are drawn from: WIPPY_SEED, or the time.
func chaosSeed(t *testing.T) uint64 {
	t.Helper()
	given := os.Getenv("WIPPY_SEED")
	if given == "" {
		return uint64(time.Now().UnixNano())
	}
	seed, err := strconv.ParseUint(given, 10, 64)
	require.NoError(t, err)
	return seed
}

// disturbed is the app of testdata/chaos while it runs.
type disturbed struct {
	t           *testing.T
	dir         string
	random      *rand.Rand
	stdout, log *output
	typed       *io.PipeWriter
	reload      chan os.Signal
	stop        context.CancelFunc
	// values are what the words in capitals in _index.yaml stand for.
	values map[string]string
	done   map[string]int // how often each disturbance was made
}

// TestChaos kills processes, and replaces sources, databases and scripts, while a writer numbers rows. Every stream must
// deliver them without a gap until it ends with an error; those that are open in the end must deliver the last one.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := chaosSeed(t)
	t.Logf("WIPPY_SEED=%d", seed)
	d := &disturbed{
		t: t, dir: t.TempDir(), random: rand.New(rand.NewPCG(seed, 0)),
		stdout: &output{changed: make(chan struct{})}, log: &output{changed: make(chan struct{})},
		reload: make(chan os.Signal, 1), done: make(map[string]int),
		values: map[string]string{
			"LIFE": "{auto_start: true, stable_threshold: 0s, restart: {initial_delay: 1ms, max_delay: 20ms}}",
			"BUSY": "5s", "LOG": "1MiB", "WRITES": "true",
		},
	}
	ended := d.start()
	for until := time.Now().Add(chaosTime(t)); time.Now().Before(until); {
		d.disturb()
	}
	d.finish()
	require.NoError(t, <-ended, d.log)
	d.judge()
}

// start runs the app until the test is over, and until all readers have a stream.
func (d *disturbed) start() <-chan error {
	d.t.Helper()
	sources, err := filepath.Glob("testdata/chaos/*")
	require.NoError(d.t, err)
	for _, source := range sources {
		content, err := os.ReadFile(source)
		require.NoError(d.t, err)
		write(d.t, filepath.Join(d.dir, filepath.Base(source)), string(content))
	}
	d.declare()
	stdin, typed := io.Pipe()
	d.typed = typed
	app, err := boot.Load(boot.Settings{
		Dir: d.dir, Stdin: stdin, Stdout: d.stdout, Stderr: d.log, Reload: d.reload,
		Logger: slog.New(slog.NewTextHandler(d.log, nil)),
	})
	require.NoError(d.t, err)
	ctx, stop := context.WithCancel(d.t.Context())
	d.stop = stop
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	d.t.Cleanup(func() {
		stop()
		require.NoError(d.t, typed.Close())
	})
	for _, name := range readers() {
		d.await(d.stdout, 0, "open\t"+name+"\n")
	}
	return ended
}

func readers() []string { return []string{"live.1", "live.2", "whole.1", "whole.2", "lazy"} }

// declare writes _index.yaml with the values of now.
func (d *disturbed) declare() {
	d.t.Helper()
	yaml, err := os.ReadFile("testdata/chaos/_index.yaml")
	require.NoError(d.t, err)
	_, entries, _ := strings.Cut(string(yaml), "\nversion")
	for word, value := range d.values {
		entries = strings.ReplaceAll(entries, word, value)
	}
	write(d.t, filepath.Join(d.dir, "_index.yaml"), "version"+entries)
}

// disturb does one thing to the app and waits until it is done.
func (d *disturbed) disturb() {
	d.t.Helper()
	all := []struct {
		name string
		do   func()
	}{
		{"kill a reader", func() { d.kill(readers()[d.random.IntN(len(readers()))]) }},
		{"kill the writer", func() { d.kill("writer") }},
		{"replace the source", func() { d.redeclare("LOG", "1MiB", "2MiB") }},
		{"replace the database", func() { d.redeclare("BUSY", "4s", "5s") }},
		{"change a script", func() { d.rewrite("reader.lua") }},
		{"change a library", func() { d.rewrite("known.lua") }},
		{"reload nothing", func() { d.hup("nothing has changed") }},
		{"reload what is wrong", d.mistake},
		{"leave it alone", func() { d.wait(time.Duration(d.random.IntN(20)) * time.Millisecond) }},
	}
	chosen := all[d.random.IntN(len(all))]
	chosen.do()
	d.done[chosen.name]++
}

func (d *disturbed) kill(name string) {
	d.t.Helper()
	before := len(d.stdout.String())
	_, err := io.WriteString(d.typed, name+"\n")
	require.NoError(d.t, err)
	d.await(d.stdout, before, "killed\t"+name+"\n")
}

// redeclare gives a word the value that it does not have.
func (d *disturbed) redeclare(word, one, other string) {
	d.t.Helper()
	if d.values[word] == one {
		one = other
	}
	d.values[word] = one
	d.declare()
	d.hup("msg=reloaded")
}

// rewrite appends a comment to a script.
func (d *disturbed) rewrite(name string) {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	content, err := os.ReadFile(path)
	require.NoError(d.t, err)
	write(d.t, path, fmt.Sprintf("%s-- %d\n", content, d.random.Int()))
	d.hup("msg=reloaded")
}

func (d *disturbed) mistake() {
	d.t.Helper()
	d.values["LOG"] += ", log_byte: 1"
	d.declare()
	d.hup("the app goes on as it was")
	d.values["LOG"] = strings.TrimSuffix(d.values["LOG"], ", log_byte: 1")
	d.declare()
}

func (d *disturbed) hup(result string) {
	d.t.Helper()
	before := len(d.log.String())
	d.reload <- syscall.SIGHUP
	d.await(d.log, before, result)
}

// await waits until one of the texts is written behind a place.
func (d *disturbed) await(o *output, after int, texts ...string) {
	d.t.Helper()
	limit := time.After(5 * time.Minute) // a machine may be busy
	for {
		written, changed := o.peek()
		if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(written[after:], text) }) {
			return
		}
		select {
		case <-changed:
		case <-limit:
			require.Fail(d.t, "it never came", "%q\n%s\n%s", texts, tail(d.stdout), tail(d.log))
		}
	}
}

func tail(o *output) string {
	text := o.String()
	return text[max(0, len(text)-4000):]
}

func (d *disturbed) wait(pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-d.t.Context().Done():
	}
}

// finish lets all streams begin anew and the writer write its last row, which all of them must deliver. Then it ends the
// app.
func (d *disturbed) finish() {
	d.t.Helper()
	before := len(d.stdout.String())
	d.rewrite("reader.lua")
	for _, name := range readers() {
		d.await(d.stdout, before, "open\t"+name+"\n")
	}
	before = len(d.stdout.String())
	d.values["WRITES"] = "false"
	d.declare()
	d.hup("msg=reloaded")
	for _, name := range readers() {
		d.await(d.stdout, before, "complete\t"+name+"\t", "ended\t"+name+"\t") // one may be cut off at the last moment
	}
	d.stop()
}

// judge looks at what the readers have said.
func (d *disturbed) judge() {
	d.t.Helper()
	streams, changes, ends := 0, 0, map[string]int{}
	for line := range strings.Lines(d.stdout.String()) {
		words := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		switch words[0] {
		case "VIOLATION":
			require.Fail(d.t, "a stream is wrong", line)
		case "open":
			streams++
		case "ended", "complete":
			n, err := strconv.Atoi(words[2])
			require.NoError(d.t, err)
			changes += n
			if words[0] == "ended" {
				require.Equal(d.t, "UNAVAILABLE", words[3], line)
				ends[reason(words[4])]++
			}
		}
	}
	d.t.Logf("%d streams, at least %d changes, ends %v, disturbances %v", streams, changes, ends, d.done)
	require.Greater(d.t, streams, len(readers()))
	require.Greater(d.t, changes, 100)
}

// reason shortens why a stream has ended to what counts.
func reason(message string) string {
	for _, known := range []string{"fell behind", "was stopped", "was closed"} {
		if strings.Contains(message, known) {
			return known
		}
	}
	return message
}
