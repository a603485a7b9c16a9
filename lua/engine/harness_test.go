package engine_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
)

// limit bounds what a test waits for something that must happen.
const limit = 5 * time.Minute

var hostID = id("host")

func id(name string) registry.ID { return registry.ID{Namespace: "app", Name: name} }

// world is an engine with a running host.
type world struct {
	*engine.Engine
	t   testing.TB
	log *buffer
}

// buffer collects output of several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newWorld(tb testing.TB, modules ...engine.Module) *world {
	tb.Helper()
	log := &buffer{}
	w := &world{t: tb, log: log, Engine: engine.New(engine.Settings{
		Logger:  slog.New(slog.NewTextHandler(log, nil)),
		Modules: append([]engine.Module{channel.New()}, modules...),
	})}
	w.host("host", 0, nil)
	return w
}

// host serves a host until the test ends or the function returned is called.
func (w *world) host(name string, limit int, terminal *engine.Terminal) (stop func()) {
	w.t.Helper()
	h, err := w.NewHost(hostEntry(name, limit), terminal)
	require.NoError(w.t, err)
	stop = serve(w.t, h)
	w.t.Cleanup(stop)
	return stop
}

func hostEntry(name string, limit int) *registry.Entry {
	return &registry.Entry{
		ID: id(name), Kind: process.KindHost, Config: &process.HostConfig{MaxProcesses: limit},
		Lifecycle: supervisor.Lifecycle{StopTimeout: unit.Duration(time.Second)},
	}
}

// serve runs a service until the function returned is called, and checks that it ends without an error.
func serve(tb testing.TB, s supervisor.Service) (stop func()) {
	tb.Helper()
	end := serving(tb, s)
	return func() {
		tb.Helper()
		require.NoError(tb, end())
	}
}

// serving runs a service until the function returned is called, which returns how it has ended.
func serving(tb testing.TB, s supervisor.Service) (end func() error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Serve(ctx, func() { close(ready) }) }()
	within(tb, ready)
	return sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(limit):
			return errors.New(s.String() + " does not stop")
		}
	})
}

// within waits for ch to be closed.
func within(tb testing.TB, ch <-chan struct{}) {
	tb.Helper()
	select {
	case <-ch:
	case <-time.After(limit):
		require.Fail(tb, "it does not happen")
	}
}

// script adds an inline script as a process.
func (w *world) script(name, source string, modules ...string) {
	w.t.Helper()
	require.NoError(w.t, w.AddProcess(scriptEntry(name, source, modules...)))
}

func scriptEntry(name, source string, modules ...string) *registry.Entry {
	return &registry.Entry{ID: id(name), Kind: process.KindLua, Config: &process.LuaConfig{
		Code: process.Code{Source: source, Modules: modules}, Method: "main",
	}}
}

// library adds an inline script as a library.
func (w *world) library(name, source string, imports map[string]string, modules ...string) {
	w.t.Helper()
	entry := libraryEntry(name, source, modules...)
	cfg, _ := entry.Config.(*process.LibraryConfig)
	cfg.Imports = importsOf(imports)
	require.NoError(w.t, w.AddLibrary(entry))
}

func libraryEntry(name, source string, modules ...string) *registry.Entry {
	return &registry.Entry{ID: id(name), Kind: process.KindLibrary, Config: &process.LibraryConfig{
		Code: process.Code{Source: source, Modules: modules},
	}}
}

func importsOf(names map[string]string) map[string]registry.ID {
	imports := map[string]registry.ID{}
	for alias, target := range names {
		imports[alias] = id(target)
	}
	return imports
}

// importing adds an inline script that imports libraries.
func (w *world) importing(name, source string, imports map[string]string) {
	w.t.Helper()
	e := scriptEntry(name, source)
	cfg, _ := e.Config.(*process.LuaConfig)
	cfg.Imports = importsOf(imports)
	require.NoError(w.t, w.AddProcess(e))
}

func (w *world) spawn(name string, args ...any) process.PID {
	w.t.Helper()
	pid, err := w.Spawn(w.t.Context(), process.Spawn{Process: id(name), Host: hostID, Args: args})
	require.NoError(w.t, err)
	return pid
}

func (w *world) wait(pid process.PID) process.Exit {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	exit, err := w.Wait(ctx, pid)
	require.NoError(w.t, err)
	require.Equal(w.t, pid, exit.PID)
	return exit
}

// run runs a script whose function main is given by its body.
func (w *world) run(body string, args ...any) process.Exit {
	w.t.Helper()
	w.script("test", "function main(...)\n"+body+"\nend")
	return w.wait(w.spawn("test", args...))
}

// value runs a body that must not fail.
func (w *world) value(body string, args ...any) any {
	w.t.Helper()
	exit := w.run(body, args...)
	require.NoError(w.t, exit.Err)
	return exit.Value
}
