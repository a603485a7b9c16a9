package boot

import (
	"context"
	"errors"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/internal/suggest"
	declarations "github.com/wippy-cdc/runtime/service/registry"
)

// Execute starts the same entries as Run, and what the process id requires, runs the process on a terminal host with
// args as arguments, and stops everything when it has ended. If ctx is done first, the process is cancelled
// and the error is the cause; the exit tells whether it has failed then.
func (a *App) Execute(ctx context.Context, id registry.ID, args []any) (process.Exit, error) {
	return a.executeIn(ctx, a.state, id, args)
}

// Test is Execute for a process that tests the app: it starts what the process requires and nothing else, so that a
// test meets the rest of the app only if it asks for it.
func (a *App) Test(ctx context.Context, id registry.ID) (process.Exit, error) {
	return a.executeIn(ctx, a.state.Idle(), id, nil)
}

func (a *App) executeIn(ctx context.Context, state *declarations.State, id registry.ID, args []any) (process.Exit, error) {
	if err := a.executable(id); err != nil {
		return process.Exit{}, err
	}
	r, err := a.begin(ctx)
	if err != nil {
		return process.Exit{}, err
	}
	exit, err := r.execute(ctx, state, id, args)
	return exit, errors.Join(err, r.end(ctx))
}

func (a *App) executable(id registry.ID) error {
	switch entry := a.state.Entry(id); {
	case entry == nil:
		var known []string
		for entry := range a.state.Entries() {
			if entry.Kind == process.KindLua {
				known = append(known, entry.ID.String())
			}
		}
		return errs.New(errs.NotFound, "run: there is no entry %q%s", id, suggest.Among(id.String(), known))
	case entry.Kind != process.KindLua:
		return errs.New(errs.Invalid, "run: the entry %q is a %s; only a %s can be run", id, entry.Kind, process.KindLua)
	default:
		return nil
	}
}

func (r *runtime) execute(ctx context.Context, state *declarations.State, id registry.ID, args []any) (process.Exit, error) {
	state, host := withTerminal(state)
	failed := r.apply(ctx, state.Starting(id, host.ID))
	if ctx.Err() != nil {
		return process.Exit{}, context.Cause(ctx)
	}
	r.report(failed)
	if err := errors.Join(failed[id.String()], failed[host.ID.String()]); err != nil {
		return process.Exit{}, err
	}
	spawn := process.Spawn{Process: id, Host: host.ID, Args: args}
	return r.engine.Run(ctx, spawn, host.Lifecycle.StopTimeout.Std())
}

// withTerminal returns the state with the host on which commands run: the first terminal.host that is started anyway, else
// the first that the app declares, else one that is added.
func withTerminal(state *declarations.State) (*declarations.State, *registry.Entry) {
	var host *registry.Entry
	for entry := range state.Entries() {
		if entry.Kind == process.KindTerminal && (host == nil || (entry.Start && !host.Start)) {
			host = entry
		}
	}
	if host != nil {
		return state, host
	}
	host = &registry.Entry{
		ID: registry.ID{Namespace: "wippy", Name: "terminal"}, Kind: process.KindTerminal,
		Config: new(process.HostConfig), Lifecycle: supervisor.DefaultLifecycle(),
	}
	return state.With(host), host
}
