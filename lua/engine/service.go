package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// Service keeps one process running: the service of a process.service entry.
type Service struct {
	engine *Engine
	id     registry.ID
	spawn  process.Spawn
	grace  time.Duration
	// saysReady is whether the process itself says when it is ready.
	saysReady bool
}

var _ supervisor.Service = (*Service)(nil)

// NewService returns the service of a process.service entry.
func (e *Engine) NewService(entry *registry.Entry) (*Service, error) {
	cfg, ok := entry.Config.(*process.ServiceConfig)
	if !ok {
		return nil, wrongConfig(entry)
	}
	return &Service{
		engine: e, id: entry.ID, grace: grace(entry), saysReady: cfg.Ready,
		spawn: process.Spawn{Process: cfg.Process, Host: cfg.Host, Args: arguments(cfg.Input)},
	}, nil
}

// arguments are what the field input passes to the method.
func arguments(input any) []any {
	switch input := input.(type) {
	case nil:
		return nil
	case []any:
		return input
	default:
		return []any{input}
	}
}

// String implements supervisor.Service.
func (s *Service) String() string { return "process " + s.id.String() }

// Serve implements supervisor.Service. It returns nil when the method has returned, or
// has ended in time when ctx is done.
func (s *Service) Serve(ctx context.Context, ready func()) error {
	pid, err := s.engine.Spawn(ctx, s.spawn)
	if err != nil {
		return fmt.Errorf("service %q: %w", s.id, err)
	}
	err = s.awaitReady(ctx, pid, ready)
	var exit process.Exit
	if err == nil {
		exit, err = s.engine.Wait(ctx, pid)
	}
	if ctx.Err() != nil && err != nil {
		return s.stop(ctx, pid)
	}
	if err == nil {
		err = exit.Err
	}
	return s.failure(err)
}

// awaitReady calls ready when the process is.
func (s *Service) awaitReady(ctx context.Context, pid process.PID, ready func()) error {
	p := s.engine.process(pid)
	if !s.saysReady || p == nil {
		ready()
		return nil
	}
	select {
	case <-p.ready:
		ready()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.done:
	}
	select {
	case <-p.ready:
		ready()
		return nil
	default:
	}
	exit, err := s.engine.Wait(ctx, pid)
	if err == nil && exit.Err == nil {
		err = errs.New(errs.Unknown, "its process has ended and not called process.ready(): call it, or remove ready from the entry")
	}
	return cmp.Or(err, exit.Err)
}

// stop cancels the process and collects its end.
func (s *Service) stop(ctx context.Context, pid process.PID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
	defer cancel()
	err := s.engine.Cancel(ctx, pid)
	if errs.Is(err, errs.NotFound) { // its host has stopped, too
		return nil
	}
	if p := s.engine.process(pid); p != nil {
		s.engine.forget(p)
	}
	return s.failure(err)
}

// failure leaves it to the restart policy what happens after an error of the script, whatever its kind: the supervisor
// would not restart after some. A module that the entry does not list is missing for ever.
func (s *Service) failure(err error) error {
	if missing, ok := errors.AsType[*moduleError](err); ok {
		return errs.Wrap(errs.Invalid, fmt.Errorf("service %q: %w", s.id, missing))
	}
	if script, ok := errors.AsType[*ScriptError](err); ok {
		return errs.Wrap(errs.Unknown, fmt.Errorf("service %q: %w", s.id, script))
	}
	if err != nil {
		return fmt.Errorf("service %q: %w", s.id, err)
	}
	return nil
}
