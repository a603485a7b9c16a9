// Package scripttest runs scripts as processes of a real engine, for the tests of the modules.
package scripttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// limit bounds what a test waits for that must happen.
const limit = 5 * time.Minute

// World is an engine with a process host and a terminal host.
type World struct {
	*engine.Engine

	// Log is what scripts logged, as text; Out and Err are what they wrote to the terminal.
	Log, Out, Err *Buffer

	tb      testing.TB
	modules []string
	pacer   *pacer
}

// Terminal is the host with a terminal.
func Terminal() registry.ID { return ID("terminal") }

// Plain is the host without a terminal.
func Plain() registry.ID { return ID("host") }

// ID returns the entry ID app:name.
func ID(name string) registry.ID { return registry.ID{Namespace: "app", Name: name} }

// New returns a world whose scripts may require modules. It ends with the test.
func New(tb testing.TB, modules ...engine.Module) *World {
	tb.Helper()
	return NewWithInput(tb, bytes.NewReader(nil), nil, modules...)
}

// NewWithInput is New with a terminal that has input and arguments.
func NewWithInput(tb testing.TB, stdin io.Reader, args []string, modules ...engine.Module) *World {
	tb.Helper()
	w := &World{Log: &Buffer{}, Out: &Buffer{}, Err: &Buffer{}, tb: tb, pacer: &pacer{}}
	handler := slog.NewTextHandler(w.Log, &slog.HandlerOptions{Level: slog.LevelDebug})
	w.Engine = engine.New(engine.Settings{Logger: slog.New(handler), Modules: append(slices.Clip(modules), w.pacer)})
	for _, m := range modules {
		w.modules = append(w.modules, m.Name())
	}
	w.serve(Plain(), nil)
	w.serve(Terminal(), engine.NewTerminal(stdin, w.Out, w.Err, args))
	return w
}

// AddTerminal adds a terminal host app:name.
func (w *World) AddTerminal(name string, stdin io.Reader, output io.Writer) {
	w.tb.Helper()
	w.serve(ID(name), engine.NewTerminal(stdin, output, output, nil))
}

func (w *World) serve(id registry.ID, terminal *engine.Terminal) {
	w.tb.Helper()
	host, err := w.NewHost(&registry.Entry{ID: id, Config: &process.HostConfig{}}, terminal)
	if err != nil {
		w.tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.tb.Context()))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- host.Serve(ctx, func() { close(ready) }) }()
	<-ready
	w.tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.tb.Error(err)
		}
	})
}

// Start starts a process on host that runs body as a function with the arguments args.
func (w *World) Start(host registry.ID, body string, args ...any) process.PID {
	w.tb.Helper()
	id := ID("test")
	err := w.AddProcess(&registry.Entry{ID: id, Kind: process.KindLua, Config: &process.LuaConfig{
		Code:   process.Code{Source: "function main(...)\n" + body + "\nend", Modules: w.modules},
		Method: "main",
	}})
	if err != nil {
		w.tb.Fatal(err)
	}
	pid, err := w.Spawn(w.tb.Context(), process.Spawn{Process: id, Host: host, Args: args})
	if err != nil {
		w.tb.Fatal(err)
	}
	return pid
}

// End waits for a process.
func (w *World) End(pid process.PID) process.Exit {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(w.tb.Context(), limit)
	defer cancel()
	exit, err := w.Wait(ctx, pid)
	if err != nil {
		w.tb.Fatal(err)
	}
	return exit
}

// Kill terminates a process and returns how it has ended.
func (w *World) Kill(pid process.PID) process.Exit {
	w.tb.Helper()
	ctx, cancel := context.WithTimeout(w.tb.Context(), limit)
	defer cancel()
	if err := w.Terminate(ctx, pid); err != nil {
		w.tb.Fatal(err)
	}
	return w.End(pid)
}

// Run runs body on the plain host to its end.
func (w *World) Run(body string, args ...any) process.Exit {
	w.tb.Helper()
	return w.End(w.Start(Plain(), body, args...))
}

// Value runs body on the plain host and returns what it returns; it must not fail.
func (w *World) Value(body string, args ...any) any {
	w.tb.Helper()
	return w.ValueOn(Plain(), body, args...)
}

// ValueOn is Value on another host.
func (w *World) ValueOn(host registry.ID, body string, args ...any) any {
	w.tb.Helper()
	exit := w.End(w.Start(host, body, args...))
	if exit.Err != nil {
		w.tb.Fatal(exit.Err)
	}
	return exit.Value
}

// List is Value of a script that returns a list.
func (w *World) List(body string, args ...any) []any {
	w.tb.Helper()
	return AsList(w.tb, w.Value(body, args...))
}

// AsList returns v, which must be a list.
func AsList(tb testing.TB, v any) []any {
	tb.Helper()
	list, ok := v.([]any)
	if !ok {
		tb.Fatalf("the script returned %v, it should have returned a list", v)
	}
	return list
}

// Failure runs body, which must fail, and returns the first cause of its failure: what the script raised or returned.
func (w *World) Failure(body string, args ...any) error {
	w.tb.Helper()
	exit := w.Run(body, args...)
	if exit.Err == nil {
		w.tb.Fatalf("script returned %v, it should have failed", exit.Value)
	}
	if e, ok := errors.AsType[*engine.ScriptError](exit.Err); ok {
		return e.Err
	}
	return exit.Err
}

// Buffer collects what several goroutines write.
type Buffer struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wrote chan struct{}
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wrote != nil {
		close(b.wrote)
		b.wrote = nil
	}
	return b.text.Write(p)
}

// String returns what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Await waits until something was written that contains text.
func (b *Buffer) Await(tb testing.TB, text string) {
	tb.Helper()
	timeout := time.After(limit)
	for {
		wrote, found := b.look(text)
		if found {
			return
		}
		select {
		case <-wrote:
		case <-timeout:
			tb.Fatalf("%q was not written", text)
		}
	}
}

func (b *Buffer) look(text string) (wrote <-chan struct{}, found bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wrote == nil {
		b.wrote = make(chan struct{})
	}
	return b.wrote, bytes.Contains(b.text.Bytes(), []byte(text))
}
