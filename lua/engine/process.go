package engine

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
)

// Process is one running script.
type Process struct {
	engine *Engine
	host   *Host
	unit   *unit
	pid    process.PID
	parent process.PID
	log    *slog.Logger

	ctx          context.Context //nolint:containedctx // a process is a running thing: done when it is terminated
	cancel       context.CancelCauseFunc
	cancellation *cancelContext
	cause        atomic.Pointer[error] // of the termination, set before cancellation
	done         chan struct{}         // closed when the process has ended
	exit         process.Exit          // valid when done is closed
	waited       atomic.Bool           // a caller is in Wait, or has been
	ready        chan struct{}         // closed by SayReady
	sayReady     sync.Once

	exitHooks exitHooks
	mail      mailbox

	// mu is held while Lua code of the process runs. It guards the Lua state and what is below.
	mu      sync.Mutex
	waiting atomic.Int32 // goroutines that wait for mu
	turn    int          // calls since others had their turn
	rotor   int          // where the next select begins
	failure error        // why a coroutine has failed, and the process with it

	state      *lua.LState
	coroutines sync.WaitGroup
	modules    map[string]*lua.LTable
	libraries  map[registry.ID]*library

	environments                map[*unit]*lua.LTable   // the globals of each script
	protectors                  map[*lua.LFunction]bool // the built-in functions that catch errors
	caughtHandler, fatalHandler *lua.LFunction
	traceback                   string // of the error that the fatal handler got last
	failed                      failed // the error that a built-in function has returned last

	errorType, channelType, caseType *lua.LTable
	inbox, events                    lua.LValue
	listeners                        map[string]lua.LValue
}

// SayReady says that the process is ready to work, for the service that has started it. It is idempotent.
func (p *Process) SayReady() { p.sayReady.Do(func() { close(p.ready) }) }

// PID returns the address of the process.
func (p *Process) PID() process.PID { return p.pid }

// ID returns the entry whose script the process runs.
func (p *Process) ID() registry.ID { return p.unit.id }

// Logger returns the logger of the process.
func (p *Process) Logger() *slog.Logger { return p.log }

// Context returns a context that is done when the process is terminated or has ended.
func (p *Process) Context() context.Context { return p.ctx }

// Terminal returns the terminal, if the process runs on a terminal.host.
func (p *Process) Terminal() (*Terminal, bool) { return p.host.terminal, p.host.terminal != nil }

// OnEnd makes f run when the process has ended, newest first, without the lock: no Lua code runs any more. The
// function returned takes f back.
func (p *Process) OnEnd(f func()) (remove func()) { return p.exitHooks.add(f) }

// terminate stops the process at its next instruction. The first cause wins. Lua code is stopped before blocking calls
// are woken, so that none of them returns to a script that runs on.
func (p *Process) terminate(cause error) {
	p.cause.CompareAndSwap(nil, &cause)
	p.cancellation.canceled.Store(true)
	p.cancel(*p.cause.Load())
}

// terminated is why a process does not go on that was ended from outside.
func (p *Process) terminated() error {
	return errs.New(errs.Canceled, "lua: process %q: terminated", p.ID())
}
