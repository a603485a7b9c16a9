package boot

import (
	"context"
	"errors"

	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/lua/engine"
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
	if err := engine.Runnable(a.state.Entries(), id); err != nil {
		return process.Exit{}, err
	}
	r, err := a.begin(ctx)
	if err != nil {
		return process.Exit{}, err
	}
	exit, err := r.execute(ctx, state, id, args)
	return exit, errors.Join(err, r.end(ctx))
}

func (r *runtime) execute(ctx context.Context, state *declarations.State, id registry.ID, args []any) (process.Exit, error) {
	host, declared := engine.TerminalAmong(state.Entries())
	if !declared {
		state = state.With(host)
	}
	failed := r.apply(ctx, state.Starting(id, host.ID))
	if ctx.Err() != nil {
		return process.Exit{}, context.Cause(ctx)
	}
	r.services.Report(failed)
	if err := errors.Join(failed[id.String()], failed[host.ID.String()]); err != nil {
		return process.Exit{}, err
	}
	spawn := process.Spawn{Process: id, Host: host.ID, Args: args}
	return r.engine.Run(ctx, spawn, host.Lifecycle.StopTimeout.Std())
}
