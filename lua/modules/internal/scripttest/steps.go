package scripttest

import (
	"context"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// Steps runs a script in step with its test. The script calls steps.step(…) with what it has found, and goes on when
// the test asks for the next step.
type Steps struct {
	tb     testing.TB
	world  *World
	pid    process.PID
	found  chan []any
	resume chan struct{}
	paused bool
}

// NewSteps starts body on host. Only one script of a world may use steps at a time.
func (w *World) NewSteps(host registry.ID, body string, args ...any) *Steps {
	w.tb.Helper()
	s := &Steps{tb: w.tb, world: w, found: make(chan []any), resume: make(chan struct{})}
	w.pacer.steps = s
	s.pid = w.Start(host, body, args...)
	return s
}

// Next lets the script go on and returns what its next step has found.
func (s *Steps) Next() []any {
	s.tb.Helper()
	s.release()
	select {
	case found := <-s.found:
		s.paused = true
		return found
	case <-time.After(limit):
		s.tb.Fatalf("the script makes no further step; its end: %v", s.world.Kill(s.pid).Err)
		return nil
	}
}

// End lets the script go on to its end, which must be a good one, and returns its value.
func (s *Steps) End() any {
	s.tb.Helper()
	s.release()
	exit := s.world.End(s.pid)
	if exit.Err != nil {
		s.tb.Fatal(exit.Err)
	}
	return exit.Value
}

// Kill terminates the script.
func (s *Steps) Kill() process.Exit {
	s.tb.Helper()
	return s.world.Kill(s.pid)
}

func (s *Steps) release() {
	if s.paused {
		s.paused = false
		s.resume <- struct{}{}
	}
}

// pacer is the global module steps.
type pacer struct{ steps *Steps }

// Name implements engine.Module.
func (*pacer) Name() string { return "steps" }

// Global implements engine.Global.
func (*pacer) Global() {}

// Open implements engine.Module.
func (p *pacer) Open(L *lua.LState) *lua.LTable {
	t := L.CreateTable(0, 1)
	t.RawSetString("step", L.NewFunction(func(L *lua.LState) int {
		found := make([]any, L.GetTop())
		for i := range found {
			v, err := engine.FromLua(L.Get(i + 1))
			if err != nil {
				L.ArgError(i+1, err.Error())
			}
			found[i] = v
		}
		if _, err := engine.Block(L, func(ctx context.Context) (struct{}, error) { return struct{}{}, p.steps.pause(ctx, found) }); err != nil {
			L.RaiseError("%s", err.Error())
		}
		return 0
	}))
	return t
}

func (s *Steps) pause(ctx context.Context, found []any) error {
	select {
	case s.found <- found:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-s.resume:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
