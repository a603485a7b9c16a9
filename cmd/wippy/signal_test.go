package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	wippy "github.com/wippy-cdc/runtime/cmd/wippy"
)

// app prints "up" and then waits: "patient" ends when it is asked to, "stubborn" does not.
const app = `
namespace: app
entries:
  - {name: term, kind: terminal.host, lifecycle: {stop_timeout: %t}}
  - name: patient
    kind: process.lua
    meta: {command: {name: patient, use_case: test}}
    modules: [io]
    source: |
      local io = require("io")
      function main()
        local events = process.events()
        io.print("up")
        events:receive()
        io.print("asked to end")
      end
  - name: stubborn
    kind: process.lua
    modules: [io]
    source: |
      local io = require("io")
      function main()
        local events = process.events()
        io.print("up")
        events:receive()
        io.print("asked to end")
        events:receive()
      end
  - name: fails
    kind: process.lua
    modules: [io]
    source: |
      local io = require("io")
      function main()
        local events = process.events()
        io.print("up")
        events:receive()
        error("cannot close")
      end
  - name: matching
    kind: process.lua
    modules: [io]
    source: |
      local io = require("io")
      function main()
        io.print("up")
        return string.find(("a"):rep(60), ("a*"):rep(60) .. "b")
      end
  - name: service
    kind: process.service
    process: %s
    host: term
    lifecycle: {auto_start: true, stop_timeout: %t}
`

// output tells when a text appears in it.
type output struct {
	mu      sync.Mutex
	content bytes.Buffer
	waiting map[string]chan struct{}
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.content.Write(p)
	for text, seen := range o.waiting {
		if strings.Contains(o.content.String(), text) {
			close(seen)
			delete(o.waiting, text)
		}
	}
	return n, err
}

// wants returns a channel that is closed when text appears. It is called before anything is written.
func (o *output) wants(text string) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting == nil {
		o.waiting = make(map[string]chan struct{})
	}
	o.waiting[text] = make(chan struct{})
	return o.waiting[text]
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.content.String()
}

func writeApp(t *testing.T, process string, args []string) {
	t.Helper()
	dir := t.TempDir()
	// Only one that does not end is waited for in vain.
	patience := "1m"
	if process == "stubborn" || slices.Contains(args, "app:stubborn") {
		patience = "500ms"
	}
	yaml := strings.NewReplacer("%s", process, "%t", patience).Replace(app)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "app.yaml"), []byte(yaml), 0o600))
	t.Chdir(dir)
}

func TestFirstSignalStopsCleanly(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		signal os.Signal
		code   int
	}{
		"run, SIGINT":      {[]string{"run"}, os.Interrupt, 0},
		"run, SIGTERM":     {[]string{"run"}, syscall.SIGTERM, 0},
		"process, SIGINT":  {[]string{"run", "-x", "app:patient"}, os.Interrupt, 130},
		"test, SIGINT":     {[]string{"test"}, os.Interrupt, 130},
		"process, SIGTERM": {[]string{"run", "-x", "app:patient"}, syscall.SIGTERM, 143},
	} {
		t.Run(name, func(t *testing.T) {
			writeApp(t, "patient", c.args)
			signals := make(chan os.Signal, 2)
			stdout, stderr := &output{}, &output{}
			up := stdout.wants("up\n")
			go func() {
				<-up
				signals <- c.signal
			}()
			code := wippy.Run(c.args, stdout, stderr, signals, func(int) { panic("must not exit at once") })
			require.Equal(t, c.code, code, stderr.String())
			require.Contains(t, stdout.String(), "asked to end")
		})
	}
}

// What fails on being stopped, or does not stop, says so, and the exit code does as well.
func TestTroubleOnBeingStoppedIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		process string
		args    []string
		code    int
		want    []string
	}{
		"service fails": {"fails", []string{"run"}, 1, []string{
			"WARN  service has stopped with an error service=app:service", "wippy: app:service has stopped with an error: ", ": cannot close\n",
		}},
		"silent service fails": {"fails", []string{"run", "-s"}, 1, []string{"wippy: app:service has stopped with an error: "}},
		// On a busy machine it may be abandoned before it is terminated.
		"service does not end": {"stubborn", []string{"run"}, 1, []string{"service=app:service error=", "has not ended "}},
		"process fails":        {"patient", []string{"run", "-s", "-x", "app:fails"}, 143, []string{": cannot close"}},
		"process does not end": {"patient", []string{"run", "-s", "-x", "app:stubborn"}, 143, []string{"has not ended in time after pid.cancel"}},
	} {
		t.Run(name, func(t *testing.T) {
			writeApp(t, c.process, c.args)
			if c.process == "patient" {
				unstarted(t)
			}
			signals := make(chan os.Signal, 2)
			stdout, stderr := &output{}, &output{}
			up := stdout.wants("up\n")
			go func() {
				<-up
				signals <- syscall.SIGTERM
			}()
			code := wippy.Run(c.args, stdout, stderr, signals, func(int) { panic("must not exit at once") })
			require.Equal(t, c.code, code, stderr.String())
			for _, want := range c.want {
				require.Contains(t, stderr.String(), want)
			}
		})
	}
}

func TestASignalEndsAPatternThatWouldTakeForEver(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"service": {[]string{"run"}, 0},
		"process": {[]string{"run", "-x", "app:matching"}, 143},
	} {
		t.Run(name, func(t *testing.T) {
			writeApp(t, "matching", c.args)
			if c.code != 0 {
				unstarted(t)
			}
			signals := make(chan os.Signal, 2)
			stdout, stderr := &output{}, &output{}
			up := stdout.wants("up\n")
			go func() {
				<-up
				signals <- syscall.SIGTERM
			}()
			code := wippy.Run(c.args, stdout, stderr, signals, func(int) { panic("must not exit at once") })
			require.Equal(t, c.code, code, stderr.String())
			require.NotContains(t, stderr.String(), "not ended")
		})
	}
}

// unstarted keeps the service from being started with the app.
func unstarted(t *testing.T) {
	t.Helper()
	content, err := os.ReadFile("app.yaml")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("app.yaml", bytes.Replace(content, []byte("auto_start: true"), []byte("auto_start: false"), 1), 0o600))
}

func TestSignalNamesTheTestAndTheCase(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("app.yaml", []byte(`
namespace: app
entries:
  - name: cases
    kind: process.lua
    meta: {command: {name: users, use_case: test}}
    modules: [test]
    source: |
      local test = require("test")
      main = test.suite(function()
        test.case("first", function() end)
        test.case("stuck", function()
          print("up")
          channel.new():receive()
        end)
      end)
  - name: later
    kind: process.lua
    meta: {command: {name: view, use_case: test}}
    source: "function main() end"
`), 0o600))
	signals := make(chan os.Signal, 2)
	stdout, stderr := &output{}, &output{}
	up := stdout.wants("up\n")
	go func() {
		<-up
		signals <- syscall.SIGTERM
	}()
	code := wippy.Run([]string{"test", "-s"}, stdout, stderr, signals, func(int) { panic("must not exit at once") })
	require.Equal(t, 143, code)
	require.Equal(t, "ok   first\nup\nSTOP stuck: lua: process \"app:cases\": terminated\n", stdout.String())
	require.Equal(t, "wippy: test users: got the signal terminated\n", stderr.String())
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		signal os.Signal
		code   int
	}{
		"run":     {[]string{"run"}, os.Interrupt, 130},
		"process": {[]string{"run", "-x", "app:stubborn"}, syscall.SIGTERM, 143},
	} {
		t.Run(name, func(t *testing.T) {
			writeApp(t, "stubborn", c.args)
			signals := make(chan os.Signal, 2)
			stdout, stderr := &output{}, &output{}
			up, asked := stdout.wants("up\n"), stdout.wants("asked to end\n")
			go func() {
				<-up
				signals <- c.signal
				<-asked
				signals <- c.signal
			}()
			exited := make(chan int, 1)
			wippy.Run(c.args, stdout, stderr, signals, func(code int) { exited <- code })
			require.Len(t, exited, 1)
			require.Equal(t, c.code, <-exited)
		})
	}
}
