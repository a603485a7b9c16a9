package boot

import (
	"context"

	declarations "github.com/wippy-cdc/runtime/service/registry"
)

// reload reads the declarations of a running app anew and returns the app that they make. It is nil if anything is
// wrong with them, which is logged problem by problem, or if there is nothing to do: the app goes on as it was.
func (r *runtime) reload(app *App) *App {
	next, err := Load(app.settings)
	if err != nil {
		declarations.LogRefusal(r.Logger, err)
		return nil
	}
	// Asking for a reload is also the way to say that the cause of a failure is gone: what has failed is in the plan.
	set := r.applier.Plan(next.state)
	if len(set.Ended)+len(set.Applied) == 0 {
		r.Logger.Info("reloaded: nothing has changed")
		return nil
	}
	r.Logger.Info("reload begins", declarations.Describe(app.state, set)...)
	return next
}

// reapply stops, replaces and starts what is different in next, and returns why some entries were not started.
func (r *runtime) reapply(ctx context.Context, next *App) map[string]error {
	failed := r.apply(ctx, next.state)
	if ctx.Err() == nil {
		r.Logger.Info("reloaded", "failed", len(failed))
	}
	return failed
}
