package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// Host is where processes run: the service of a process.host or terminal.host entry. Processes can be spawned on it
// while it is served; when it stops, its processes are cancelled and those that do not end in time terminated.
type Host struct {
	engine   *Engine
	id       registry.ID
	limit    int
	terminal *Terminal
	grace    time.Duration

	// mu guards what is below; the engine's lock may be taken while it is held.
	mu      sync.Mutex
	open    bool
	running map[process.PID]*Process
	wg      sync.WaitGroup
}

var _ supervisor.Service = (*Host)(nil)

// NewHost returns the service of a process.host or, with a terminal, of a terminal.host entry.
func (e *Engine) NewHost(entry *registry.Entry, terminal *Terminal) (*Host, error) {
	cfg, ok := entry.Config.(*process.HostConfig)
	if !ok {
		return nil, wrongConfig(entry)
	}
	return &Host{
		engine: e, id: entry.ID, limit: cfg.MaxProcesses, terminal: terminal, grace: grace(entry),
		running: map[process.PID]*Process{},
	}, nil
}

// grace is how long processes get to end by themselves: most of the service's stop timeout, so that terminating the
// others fits into the rest.
func grace(entry *registry.Entry) time.Duration {
	timeout := entry.Lifecycle.StopTimeout
	if timeout <= 0 {
		timeout = supervisor.DefaultLifecycle().StopTimeout
	}
	return timeout.Std() * 9 / 10
}

// String implements supervisor.Service.
func (h *Host) String() string { return "host " + h.id.String() }

// Serve implements supervisor.Service.
func (h *Host) Serve(ctx context.Context, ready func()) error {
	if err := h.engine.openHost(h); err != nil {
		return err
	}
	ready()
	<-ctx.Done()
	return h.stop(ctx)
}

func (e *Engine) openHost(h *Host) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.hosts[h.id] != nil {
		return errs.New(errs.Conflict, "lua: host %q: it is running already", h.id)
	}
	e.hosts[h.id] = h
	h.open = true
	return nil
}

// host returns the host of an entry if it is running.
func (e *Engine) host(id registry.ID) *Host {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hosts[id]
}

// start gives p its address and runs it.
func (h *Host) start(p *Process, args []lua.LValue) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.open {
		return errs.New(errs.Unavailable, "host %q is not running", h.id)
	}
	if h.limit > 0 && len(h.running) >= h.limit {
		return errs.New(errs.Unavailable, "host %q runs %d processes, which is its max_processes", h.id, h.limit)
	}
	h.engine.register(p)
	h.running[p.pid] = p
	h.wg.Go(func() {
		p.run(args)
		h.left(p) // before its parent hears of the end and spawns the next one
		p.tellExit()
	})
	return nil
}

// register gives p its address.
func (e *Engine) register(p *Process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	p.named(process.PID(fmt.Sprintf("%s#%d", p.host.id, e.last)))
	e.processes[p.pid] = p
}

func (h *Host) left(p *Process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.running, p.pid)
}

// stop ends all processes and waits for them. The error tells which have failed, or have not ended in time.
func (h *Host) stop(ctx context.Context) error {
	running := h.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.grace)
	defer cancel()
	deadline, _ := ctx.Deadline()
	for _, p := range running {
		p.ask("", deadline)
	}
	var failed []error
	for _, p := range running {
		failed = append(failed, p.afterCancel(ctx))
	}
	h.wg.Wait()
	h.engine.forgetAll(h)
	return errors.Join(failed...)
}

// close refuses further processes and returns those that run.
func (h *Host) close() []*Process {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = false
	running := make([]*Process, 0, len(h.running))
	for _, p := range h.running {
		running = append(running, p)
	}
	return running
}

// forgetAll removes h, and the ends of its processes that no caller has waited for.
func (e *Engine) forgetAll(h *Host) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.hosts, h.id)
	for pid, p := range e.processes {
		if p.host == h {
			delete(e.processes, pid)
		}
	}
}
