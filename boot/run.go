package boot

import (
	"context"
	"errors"
	"maps"
	"slices"

	api "github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/service/metrics"
	"github.com/wippy-cdc/runtime/service/registry"
	"github.com/wippy-cdc/runtime/service/supervisor"
)

// begin makes a run; nothing is started yet but the metrics, without which it does not begin.
func (a *App) begin(ctx context.Context) (*runtime, error) {
	r := newRuntime(ctx, a.settings)
	if a.settings.Metrics != "" && ctx.Err() == nil {
		var err error
		if r.metrics, err = metrics.Start(ctx, a.settings.Metrics, r.sources, a.settings.Logger); err != nil {
			return nil, errors.Join(err, r.end(ctx))
		}
	}
	return r, nil
}

// end stops everything in the reverse of the starting order.
func (r *runtime) end(ctx context.Context) error {
	r.tracker.stop()
	ctx = context.WithoutCancel(ctx)
	stopErr := r.applier.Stop(ctx)
	err := errors.Join(stopErr, r.services.Close(ctx))
	err = errors.Join(err, r.tracker.left(stopErr))
	if r.metrics != nil {
		err = errors.Join(err, r.metrics.Close(ctx))
	}
	return err
}

// Run starts the entries with auto_start, and those they require, and runs until ctx is done, or all its process.service
// entries have ended for good, or nothing is left that runs. Then it stops everything, in order. What could not
// be started is logged while the rest runs. Meanwhile it reloads the declarations when Settings.Reload asks for it. The
// error is nil after a clean end that ctx has asked for, and if all process.service entries have completed; else it
// tells what has failed, also if that was on being stopped.
func (a *App) Run(ctx context.Context) error {
	r, err := a.begin(ctx)
	if err != nil {
		return err
	}
	failed := r.failures(r.applier.Apply(ctx, a.state))
	if ctx.Err() == nil {
		r.wait(ctx, a, failed)
	}
	if ctx.Err() == nil {
		err = r.tracker.failures()
	}
	return errors.Join(err, r.end(ctx))
}

// wait waits until ctx is done or nothing is left to run for, and reloads the app when it is told to.
func (r *runtime) wait(ctx context.Context, app *App, failed map[string]error) {
	for ctx.Err() == nil {
		services := r.wanted(app.state)
		ended := r.tracker.watch(services, failed)
		select {
		case <-ended:
			return
		default:
		}
		r.report(failed)
		if len(services) == 0 {
			r.Logger.Warn("nothing is started: no entry has lifecycle.auto_start")
		}
		next := r.awaitReload(ctx, app, ended)
		if next == nil {
			return
		}
		app, failed = next, r.apply(ctx, next)
	}
}

// awaitReload returns the app that is to run instead of app, nil when ctx is done or nothing is left to run for.
func (r *runtime) awaitReload(ctx context.Context, app *App, ended <-chan struct{}) *App {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			return nil
		case <-app.settings.Reload:
		}
		if next := r.reload(app); next != nil {
			return next
		}
	}
}

// report logs what could not be started, as far as the supervisor has not done it.
func (r *runtime) report(failed map[string]error) {
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		if !r.tracker.hasFailed(name) {
			r.Logger.Error("entry is not started", "entry", name, "error", failed[name])
		}
	}
}

// wanted lists the services that are to run, by name.
func (r *runtime) wanted(state *registry.State) map[string]api.Kind {
	services := make(map[string]api.Kind)
	for entry := range state.Entries() {
		if _, runs := r.listeners[entry.Kind].(*supervisor.Listener); runs && entry.Start {
			services[entry.ID.String()] = entry.Kind
		}
	}
	return services
}

// failures takes an error of Applier.Apply apart: it returns why entries were not started, and logs which have not ended
// as they should.
func (r *runtime) failures(err error) map[string]error {
	failed := make(map[string]error)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return failed
	}
	for _, err := range joined.Unwrap() {
		switch e, ok := errors.AsType[*registry.EntryError](err); {
		case !ok:
		case e.Ending:
			r.Logger.Warn("entry has not ended in good order", "entry", e.ID.String(), "error", e.Err)
		default:
			failed[e.ID.String()] = e
		}
	}
	return failed
}
