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

// execution is one run of an app, from its first service to its last.
type execution struct {
	*runtime
	services  *supervisor.Supervisor
	tracker   *tracker
	listeners map[api.Kind]api.Listener
	applier   *registry.Applier
	metrics   *metrics.Server // nil if there are none
}

// begin makes a run; nothing is started yet but the metrics, without which it does not begin.
func (a *App) begin(ctx context.Context) (*execution, error) {
	x := &execution{tracker: newTracker(ctx.Err)}
	x.services = supervisor.New(ctx, a.settings.Logger, x.tracker.observe)
	x.runtime = newRuntime(a.settings, x.services)
	x.listeners = x.runtime.listeners()
	x.applier = registry.NewApplier(x.listeners)
	if a.settings.Metrics != "" && ctx.Err() == nil {
		var err error
		if x.metrics, err = metrics.Start(ctx, a.settings.Metrics, x.sources, a.settings.Logger); err != nil {
			return nil, errors.Join(err, x.end(ctx))
		}
	}
	return x, nil
}

// enact brings what runs in line with a state.
func (x *execution) enact(ctx context.Context, state *registry.State) error {
	x.slots.declare(state)
	return x.applier.Apply(ctx, state)
}

// end stops everything in the reverse of the starting order.
func (x *execution) end(ctx context.Context) error {
	x.tracker.stop()
	ctx = context.WithoutCancel(ctx)
	stopErr := x.applier.Stop(ctx)
	err := errors.Join(stopErr, x.services.Close(ctx))
	err = errors.Join(err, x.tracker.left(stopErr))
	if x.metrics != nil {
		err = errors.Join(err, x.metrics.Close(ctx))
	}
	return err
}

// Run starts the entries with auto_start, and those they require, and runs until ctx is done, or all its process.service
// entries have ended for good, or nothing is left that runs. Then it stops everything, in order. What could not
// be started is logged while the rest runs. Meanwhile it reloads the declarations when Settings.Reload asks for it. The
// error is nil after a clean end that ctx has asked for, and if all process.service entries have completed; else it
// tells what has failed, also if that was on being stopped.
func (a *App) Run(ctx context.Context) error {
	x, err := a.begin(ctx)
	if err != nil {
		return err
	}
	failed := x.failures(x.enact(ctx, a.state))
	if ctx.Err() == nil {
		x.wait(ctx, a, failed)
	}
	if ctx.Err() == nil {
		err = x.tracker.failures()
	}
	return errors.Join(err, x.end(ctx))
}

// wait waits until ctx is done or nothing is left to run for, and reloads the app when it is told to.
func (x *execution) wait(ctx context.Context, app *App, failed map[string]error) {
	for ctx.Err() == nil {
		services := x.wanted(app.state)
		ended := x.tracker.watch(services, failed)
		select {
		case <-ended:
			return
		default:
		}
		x.report(failed)
		if len(services) == 0 {
			x.log.Warn("nothing is started: no entry has lifecycle.auto_start")
		}
		next := x.awaitReload(ctx, app, ended)
		if next == nil {
			return
		}
		app, failed = next, x.apply(ctx, next)
	}
}

// awaitReload returns the app that is to run instead of app, nil when ctx is done or nothing is left to run for.
func (x *execution) awaitReload(ctx context.Context, app *App, ended <-chan struct{}) *App {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			return nil
		case <-app.settings.Reload:
		}
		if next := x.reload(app); next != nil {
			return next
		}
	}
}

// report logs what could not be started, as far as the supervisor has not done it.
func (x *execution) report(failed map[string]error) {
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		if !x.tracker.hasFailed(name) {
			x.log.Error("entry is not started", "entry", name, "error", failed[name])
		}
	}
}

// wanted lists the services that are to run, by name.
func (x *execution) wanted(state *registry.State) map[string]api.Kind {
	services := make(map[string]api.Kind)
	for entry := range state.Entries() {
		if _, runs := x.listeners[entry.Kind].(*serviceListener); runs && entry.Start {
			services[entry.ID.String()] = entry.Kind
		}
	}
	return services
}

// failures takes an error of Applier.Apply apart: it returns why entries were not started, and logs which have not ended
// as they should.
func (x *execution) failures(err error) map[string]error {
	failed := make(map[string]error)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return failed
	}
	for _, err := range joined.Unwrap() {
		switch e, ok := errors.AsType[*registry.EntryError](err); {
		case !ok:
		case e.Ending:
			x.log.Warn("entry has not ended in good order", "entry", e.ID.String(), "error", e.Err)
		default:
			failed[e.ID.String()] = e
		}
	}
	return failed
}
