package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// Spawn implements process.Runner. The context's values, not its end, reach the process.
func (e *Engine) Spawn(ctx context.Context, s process.Spawn) (process.PID, error) {
	u := e.lookup(e.scripts, s.Process)
	if u == nil {
		return "", errs.New(errs.NotFound, "lua: spawn %q: there is no such process.lua entry%s", s.Process, e.similar(s.Process))
	}
	host := e.host(s.Host)
	if host == nil {
		return "", errs.New(errs.Unavailable, "lua: spawn %q: host %q is not running", s.Process, s.Host)
	}
	p := newProcess(ctx, e, host, u, s.Parent)
	args := make([]lua.LValue, len(s.Args))
	for i, arg := range s.Args {
		v, err := ToLua(p.state, arg)
		if err != nil {
			p.discard()
			return "", fmt.Errorf("lua: spawn %q: argument %d: %w", s.Process, i+1, err)
		}
		args[i] = v
	}
	if err := host.start(p, args); err != nil {
		p.discard()
		return "", fmt.Errorf("lua: spawn %q: %w", s.Process, err)
	}
	return p.pid, nil
}

// similar names the process that was probably meant.
func (e *Engine) similar(id registry.ID) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	names := make([]string, 0, len(e.scripts))
	for known := range e.scripts {
		names = append(names, known.String())
	}
	slices.Sort(names)
	return suggest.Among(id.String(), names)
}

// Wait implements process.Runner. The end of a process that has a parent is told to the parent and forgotten, unless
// a caller waits already; others are remembered until Wait, or until their host stops.
func (e *Engine) Wait(ctx context.Context, pid process.PID) (process.Exit, error) {
	p := e.process(pid)
	if p == nil {
		return process.Exit{}, unknownProcess("wait", pid)
	}
	if !p.waited.CompareAndSwap(false, true) {
		return process.Exit{}, errs.New(errs.Conflict, "lua: wait %q: another caller waits for this process", pid)
	}
	select {
	case <-p.done:
		e.forget(p)
		return p.exit, nil
	case <-ctx.Done():
		p.waited.Store(false)
		e.settle(p)
		return process.Exit{}, fmt.Errorf("lua: wait %q: %w", pid, ctx.Err())
	}
}

// Cancel implements process.Runner.
func (e *Engine) Cancel(ctx context.Context, pid process.PID) error {
	p := e.process(pid)
	if p == nil {
		return unknownProcess("cancel", pid)
	}
	deadline, _ := ctx.Deadline()
	p.ask("", deadline)
	return p.afterCancel(ctx)
}

// afterCancel waits for the end of a process that was asked to end, until ctx is done, and returns what was wrong with
// it: the script has failed, or had to be terminated. (One that does not listen to its events was terminated when it
// was asked, which is its way to end.)
func (p *Process) afterCancel(ctx context.Context) error {
	select {
	case <-p.done:
	default:
		select {
		case <-p.done:
		case <-ctx.Done():
			p.terminate(errs.New(errs.Timeout, "lua: process %q: has not ended in time after pid.cancel and was terminated", p.ID()))
			<-p.done
		}
	}
	if _, failed := errors.AsType[*ScriptError](p.exit.Err); failed || errs.Is(p.exit.Err, errs.Timeout) {
		return p.exit.Err
	}
	return nil
}

// Run runs a process and waits for its end. If ctx is done first, the process is told to end and has patience for it; the
// error is the cause, and the exit tells whether the process has failed then.
func (e *Engine) Run(ctx context.Context, s process.Spawn, patience time.Duration) (process.Exit, error) {
	pid, err := e.Spawn(ctx, s)
	if err != nil {
		return process.Exit{}, fmt.Errorf("run %q: %w", s.Process, err)
	}
	exit, err := e.Wait(ctx, pid)
	if err == nil || ctx.Err() == nil {
		return exit, err
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return process.Exit{PID: pid, Err: e.Cancel(ending, pid)}, context.Cause(ctx)
}

// Terminate implements process.Runner.
func (e *Engine) Terminate(ctx context.Context, pid process.PID) error {
	p := e.process(pid)
	if p == nil {
		return unknownProcess("terminate", pid)
	}
	p.terminate(p.terminated())
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("lua: terminate %q: it has not ended yet: %w", pid, ctx.Err())
	}
}

// ask tells p to end: by an event if it listens to its events, else at once.
func (p *Process) ask(from process.PID, deadline time.Time) {
	if !p.mail.cancel(from, deadline) {
		p.terminate(p.terminated())
	}
}

func unknownProcess(op string, pid process.PID) error {
	return errs.New(errs.NotFound, "lua: %s %q: there is no such process, or it has ended", op, pid)
}

// process returns the process of pid, which may have ended, nil if there is none.
func (e *Engine) process(pid process.PID) *Process {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.processes[pid]
}

// settle forgets a process that has ended and for which no caller will wait.
func (e *Engine) settle(p *Process) {
	if p.ended() && p.parent != "" && !p.waited.Load() {
		e.forget(p)
	}
}

func (e *Engine) forget(p *Process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.processes, p.pid)
}

// running returns the process of pid if it has not ended.
func (e *Engine) running(pid process.PID) *Process {
	p := e.process(pid)
	if p == nil || p.ended() {
		return nil
	}
	return p
}

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
