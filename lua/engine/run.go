package engine

import (
	"context"
	"fmt"
	"log/slog"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
)

// The stacks of a Lua thread: small at first, since processes and coroutines are many, and growing on demand.
const (
	callDepth        = 1 << 12 // Lua calls in each other before "stack overflow"; a traceback takes its square
	registrySize     = 1 << 9
	registryMaxSize  = 1 << 20
	registryGrowStep = 1 << 12
)

func newProcess(ctx context.Context, e *Engine, host *Host, u *unit, parent process.PID) *Process {
	p := &Process{
		engine: e, host: host, unit: u, parent: parent, log: e.log,
		done:         make(chan struct{}),
		ready:        make(chan struct{}),
		modules:      map[string]*lua.LTable{},
		environments: map[*unit]*lua.LTable{},
		libraries:    map[registry.ID]*library{},
		listeners:    map[string]lua.LValue{},
	}
	p.ctx, p.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	p.cancellation = newCancelContext(p)
	p.mail.init()
	p.state = lua.NewState(lua.Options{
		CallStackSize:       callDepth + reserve,
		MinimizeStackMemory: true,
		RegistrySize:        registrySize,
		RegistryMaxSize:     registryMaxSize,
		RegistryGrowStep:    registryGrowStep,
		SkipOpenLibs:        true,
	})
	p.state.SetContext(p.cancellation) //nolint:contextcheck // what stops the process is its own
	p.errorType = newErrorType(p.state)
	p.channelType = newChannelType(p.state)
	p.caseType = newCaseType(p.state)
	return p
}

// named gives the process its address.
func (p *Process) named(pid process.PID) {
	p.pid = pid
	p.log = p.engine.log.With(slog.String("process", p.ID().String()), slog.String("pid", string(pid)))
}

// discard releases a process that was never started.
func (p *Process) discard() {
	p.cancel(nil)
	p.state.Close()
}

// run is the life of a process. It returns when everything has ended that the process has started.
func (p *Process) run(args []lua.LValue) {
	p.lock()
	value, err := p.runMain(args)
	p.terminate(errs.New(errs.Canceled, "lua: process %q: its method has returned", p.ID()))
	p.mu.Unlock()
	p.coroutines.Wait()
	p.mail.close()
	p.exitHooks.run()
	if p.failure != nil {
		value, err = nil, p.failure
	}
	p.state.Close()
	p.exit = process.Exit{PID: p.pid, Value: value, Err: err}
}

// tellExit tells those who wait for the process, and its parent, how it has ended.
func (p *Process) tellExit() {
	if p.parent == "" {
		close(p.done)
		return
	}
	if !p.waited.Load() {
		p.engine.forget(p)
	}
	close(p.done)
	if parent := p.engine.running(p.parent); parent != nil {
		parent.mail.exited(p.exit)
	}
}

// runMain runs the script and its method; the lock is held.
func (p *Process) runMain(args []lua.LValue) (any, error) {
	L := p.state
	if err := L.GPCall(openLibraries, lua.LNil); err != nil {
		return nil, p.codeError(L, err)
	}
	top := L.GetTop()
	L.Push(p.function(L, p.unit))
	if err := p.protected(L, 0, 1, p.fatalHandler); err != nil {
		return nil, p.codeError(L, err)
	}
	method, err := p.method(L, L.Get(top+1))
	if err != nil {
		return nil, err
	}
	L.SetTop(top)
	L.Push(method)
	for _, arg := range args {
		L.Push(arg)
	}
	if err := p.protected(L, len(args), 2, p.fatalHandler); err != nil {
		return nil, p.codeError(L, err)
	}
	return p.result(L.Get(top+1), L.Get(top+2))
}

// method finds the function to run in what the script has returned, or among the globals.
func (p *Process) method(L *lua.LState, returned lua.LValue) (lua.LValue, error) {
	name := p.unit.method
	if tb, ok := returned.(*lua.LTable); ok {
		if f, ok := tb.RawGetString(name).(*lua.LFunction); ok {
			return f, nil
		}
	}
	if f, ok := p.environment(L, p.unit).RawGetString(name).(*lua.LFunction); ok {
		return f, nil
	}
	return nil, errs.New(errs.Invalid, "lua: process %q: %s has no function %q: return {%s = function() ... end}, or name another method",
		p.ID(), p.unit.chunk, name, name)
}

// codeError is the error of a process whose Lua code has failed.
func (p *Process) codeError(L *lua.LState, err error) error {
	if cause := p.cause.Load(); cause != nil {
		return *cause
	}
	return p.scriptError(L, err)
}

// result turns what the method has returned into the value of the process. An error value, or nil and an error value,
// is a failure.
func (p *Process) result(first, second lua.LValue) (any, error) {
	if err, ok := ErrorOf(first); ok {
		return nil, &ScriptError{Process: p.ID(), Err: err}
	}
	if err, ok := ErrorOf(second); ok && first == lua.LNil {
		return nil, &ScriptError{Process: p.ID(), Err: err}
	}
	value, err := FromLua(first)
	if err != nil {
		return nil, fmt.Errorf("lua: process %q: the value returned: %w", p.ID(), err)
	}
	return value, nil
}
