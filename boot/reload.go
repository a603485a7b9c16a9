package boot

import (
	"context"
	"errors"
	"log/slog"

	api "github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/service/registry"
)

// reload reads the declarations of a running app anew and returns the app that they make. It is nil if anything is
// wrong with them, which is logged problem by problem, or if there is nothing to do: the app goes on as it was.
func (r *runtime) reload(app *App) *App {
	next, err := Load(app.settings)
	if err != nil {
		r.refuse(err)
		return nil
	}
	// Asking for a reload is also the way to say that the cause of a failure is gone.
	r.applier.Fallen(r.tracker.fallen(app.state)...)
	set := r.applier.Plan(next.state)
	if len(set.Ended)+len(set.Applied) == 0 {
		r.Logger.Info("reloaded: nothing has changed")
		return nil
	}
	r.Logger.Info("reload begins", summary(app.state, set)...)
	return next
}

// apply stops, replaces and starts what is different in next, and returns why some entries were not started.
func (r *runtime) apply(ctx context.Context, next *App) map[string]error {
	// What is stopped in between has not ended by itself.
	r.tracker.release()
	err := r.applier.Apply(ctx, next.state)
	failed := r.failures(err)
	if ctx.Err() == nil {
		r.Logger.Info("reloaded", "failed", len(failed))
	}
	return failed
}

// refuse logs why declarations cannot be used, one record for each problem.
func (r *runtime) refuse(err error) {
	problems, ok := errors.AsType[*Problems](err)
	if !ok {
		r.Logger.Error("reload refused, the app goes on as it was", "error", err)
		return
	}
	for _, p := range problems.List {
		r.Logger.Error("reload: problem", attributes(p)...)
	}
	r.Logger.Error("reload refused, the app goes on as it was", "problems", len(problems.List))
}

func attributes(p registry.Problem) []any {
	attrs := []any{slog.String("at", p.Where())}
	if !p.ID.IsZero() {
		attrs = append(attrs, slog.String("entry", p.ID.String()))
	}
	if p.Field != "" {
		attrs = append(attrs, slog.String("field", p.Field))
	}
	return append(attrs, slog.String("problem", p.Text))
}

// summary names the entries that a change set from a state is about.
func summary(from *registry.State, set api.ChangeSet) []any {
	var added, updated, restarted, deleted []string
	for _, applied := range set.Applied {
		switch name := applied.Entry.ID.String(); {
		case applied.Update:
			updated = append(updated, name)
		case from.Entry(applied.Entry.ID) != nil:
			restarted = append(restarted, name)
		default:
			added = append(added, name)
		}
	}
	for _, ended := range set.Ended {
		if ended.Delete {
			deleted = append(deleted, ended.Entry.ID.String())
		}
	}
	var attrs []any
	for _, group := range []struct {
		name string
		ids  []string
	}{{"added", added}, {"updated", updated}, {"restarted", restarted}, {"deleted", deleted}} {
		if len(group.ids) > 0 {
			attrs = append(attrs, slog.Any(group.name, group.ids))
		}
	}
	return attrs
}
