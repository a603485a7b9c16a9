package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/lua/engine"
)

func TestHostThatDoesNotRun(t *testing.T) {
	w := newWorld(t)
	w.script("test", `function main() end`)
	spawn := process.Spawn{Process: id("test"), Host: id("other")}
	_, err := w.Spawn(t.Context(), spawn)
	require.EqualError(t, err, `lua: spawn "app:test": host "app:other" is not running`)
	require.True(t, errs.Is(err, errs.Unavailable) && errs.Retryable(err))
	stop := w.host("other", 0, nil)
	pid, err := w.Spawn(t.Context(), spawn)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(pid), "app:other#"))
	w.wait(pid)
	stop()
	_, err = w.Spawn(t.Context(), spawn)
	require.True(t, errs.Is(err, errs.Unavailable))
}

func TestHostRunsOnce(t *testing.T) {
	w := newWorld(t)
	h, err := w.NewHost(hostEntry("host", 0), nil)
	require.NoError(t, err)
	err = h.Serve(t.Context(), func() { require.Fail(t, "it cannot be ready") })
	require.EqualError(t, err, `lua: host "app:host": it is running already`)
	require.Equal(t, "host app:host", h.String())
}

func TestHostCanBeServedAgain(t *testing.T) {
	w := newWorld(t)
	w.script("test", `function main() return 1 end`)
	h, err := w.NewHost(hostEntry("again", 0), nil)
	require.NoError(t, err)
	for range 3 {
		stop := serve(t, h)
		pid, err := w.Spawn(t.Context(), process.Spawn{Process: id("test"), Host: id("again")})
		require.NoError(t, err)
		require.NoError(t, w.wait(pid).Err)
		stop()
	}
}

func TestMaxProcesses(t *testing.T) {
	p := &probe{}
	w := newWorld(t, p)
	w.host("small", 2, nil)
	w.script("test", `function main(name) probe.block(name) end`)
	spawn := func(name string) (process.PID, error) {
		return w.Spawn(t.Context(), process.Spawn{Process: id("test"), Host: id("small"), Args: []any{name}})
	}
	first, err := spawn("a")
	require.NoError(t, err)
	_, err = spawn("b")
	require.NoError(t, err)
	_, err = spawn("c")
	require.EqualError(t, err, `lua: spawn "app:test": host "app:small" runs 2 processes, which is its max_processes`)
	require.True(t, errs.Is(err, errs.Unavailable))
	within(t, p.get("a"))
	require.NoError(t, w.Terminate(t.Context(), first))
	_, err = spawn("d")
	require.NoError(t, err, "there is room as soon as the end is known")
}

func TestHostStopsItsProcesses(t *testing.T) {
	p := &probe{}
	w := newWorld(t, p)
	stop := w.host("stopping", 0, nil)
	w.script("loop", `function main() probe.on_end("loop") probe.mark("loop") while true do end end`)
	w.script("blocked", `function main() probe.on_end("blocked") probe.block("blocked") end`)
	for _, name := range []string{"loop", "blocked"} {
		_, err := w.Spawn(t.Context(), process.Spawn{Process: id(name), Host: id("stopping")})
		require.NoError(t, err)
		within(t, p.get(name))
	}
	stop()
	require.ElementsMatch(t, []string{"loop", "blocked"}, p.ends)
	_, err := w.Wait(t.Context(), "app:stopping#1")
	require.True(t, errs.Is(err, errs.NotFound))
}

func serviceEntry(target string, input any) *registry.Entry {
	return &registry.Entry{
		ID: id("service"), Kind: process.KindService,
		Config:    &process.ServiceConfig{Process: id(target), Host: hostID, Input: input},
		Lifecycle: supervisor.Lifecycle{StopTimeout: unit.Duration(time.Second)},
	}
}

func (w *world) service(input any) *engine.Service {
	w.t.Helper()
	s, err := w.NewService(serviceEntry("test", input))
	require.NoError(w.t, err)
	return s
}

func TestServiceCompletes(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ input, want any }{
		{nil, int64(0)}, {[]any{1, 2}, int64(2)}, {"one", int64(1)}, {map[string]any{"a": 1}, int64(1)},
	} {
		w.script("test", `function main(...) assert(select("#", ...) == `+toText(c.want)+`) end`)
		ready := false
		require.NoError(t, w.service(c.input).Serve(t.Context(), func() { ready = true }))
		require.True(t, ready)
	}
	require.Equal(t, "process app:service", w.service("secret").String())
}

func toText(v any) string {
	return map[any]string{int64(0): "0", int64(1): "1", int64(2): "2"}[v]
}

func TestServiceThatFails(t *testing.T) {
	w := newWorld(t)
	w.script("test", `function main(err) error(err) end`)
	err := w.service([]any{errs.New(errs.NotFound, "no such thing")}).Serve(t.Context(), func() {})
	require.ErrorContains(t, err, `service "app:service": lua: process "app:test": no such thing`)
	require.Equal(t, errs.Unknown, errs.KindOf(err), "the restart policy decides about errors of scripts")
	script, ok := errors.AsType[*engine.ScriptError](err)
	require.True(t, ok)
	require.Contains(t, script.Traceback, "stack traceback:")

	w.script("test", `return {}`)
	err = w.service(nil).Serve(t.Context(), func() {})
	require.True(t, errs.Is(err, errs.Invalid), "a restart does not help")

	require.NoError(t, w.Processes().Delete(t.Context(), id("test")))
	err = w.service(nil).Serve(t.Context(), func() { require.Fail(t, "it cannot be ready") })
	require.True(t, errs.Is(err, errs.NotFound))
}

func TestAServiceIsReadyWhenItsProcessSaysSo(t *testing.T) {
	p := &probe{}
	w := newWorld(t, p)
	service := func() *engine.Service {
		entry := serviceEntry("test", nil)
		cfg, _ := entry.Config.(*process.ServiceConfig)
		cfg.Ready = true
		s, err := w.NewService(entry)
		require.NoError(t, err)
		return s
	}
	w.script("test", `function main() probe.mark("preparing") probe.ready() probe.ready() probe.block("working") end`)
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- service().Serve(ctx, func() { close(ready) }) }()
	within(t, ready)
	select {
	case <-p.get("preparing"):
	default:
		require.Fail(t, "it was ready before its process said so")
	}
	within(t, p.get("working"))
	cancel()
	require.NoError(t, <-ended)

	never := func() { require.Fail(t, "it is not ready") }
	w.script("test", `function main() end`)
	require.ErrorContains(t, service().Serve(t.Context(), never), "not called process.ready()")
	w.script("test", `function main() error("before it was ready") end`)
	require.ErrorContains(t, service().Serve(t.Context(), never), "before it was ready")
	w.script("test", `function main() probe.block("forever") end`)
	ctx, cancel = context.WithCancel(t.Context())
	go func() { ended <- service().Serve(ctx, never) }()
	within(t, p.get("forever"))
	cancel()
	require.NoError(t, <-ended)
}

func TestServiceWhoseProcessIsEndedByOthers(t *testing.T) {
	p := &probe{}
	w := newWorld(t, p)
	stop := w.host("short", 0, nil)
	w.script("test", `function main() probe.block("here") end`)
	entry := serviceEntry("test", nil)
	cfg, _ := entry.Config.(*process.ServiceConfig)
	cfg.Host = id("short")
	s, err := w.NewService(entry)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(t.Context(), func() {}) }()
	within(t, p.get("here"))
	stop()
	require.True(t, errs.Is(<-ended, errs.Canceled))
}

func TestServiceStops(t *testing.T) {
	for name, body := range stubborn() {
		t.Run(name, func(t *testing.T) {
			p := &probe{}
			w := newWorld(t, p)
			w.script("test", "function main() "+body+" end")
			stop := serve(t, w.service(nil))
			within(t, p.get("here"))
			stop()
		})
	}
}

func TestServiceStartStopStress(t *testing.T) {
	w := newWorld(t)
	w.script("test", `function main() channel.new():receive() end`)
	s := w.service(nil)
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, s.Serve(ctx, cancel))
	}
}

func TestValuesOfManyGoTypes(t *testing.T) {
	w := newWorld(t)
	for want, values := range map[any][]any{
		int64(7):               {int(7), int8(7), int16(7), int32(7), uint(7), uint8(7), uint16(7), uint32(7), uint64(7), float32(7)},
		"18446744073709551615": {uint64(1<<64 - 1)},
		"bytes":                {[]byte("bytes"), "bytes"},
	} {
		for _, v := range values {
			require.Equal(t, want, w.value(`return ...`, v), "%T", v)
		}
	}
	require.Equal(t, []any{"a", "b"}, w.value(`return ...`, []string{"a", "b"}))
	require.Equal(t, map[string]any{"k": "v"}, w.value(`return ...`, map[string]string{"k": "v"}))
	var deep any = "bottom"
	for range 200 {
		deep = []any{deep}
	}
	w.script("test", `function main() end`)
	_, err := w.Spawn(t.Context(), process.Spawn{Process: id("test"), Host: hostID, Args: []any{deep}})
	require.ErrorContains(t, err, "value is nested more than 100 levels deep")
}
