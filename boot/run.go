package boot

import (
	"context"
	"errors"

	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
	httpservice "github.com/wippy-cdc/runtime/service/http"
	"github.com/wippy-cdc/runtime/service/metrics"
	declarations "github.com/wippy-cdc/runtime/service/registry"
)

// begin makes a run; nothing is started yet but the ways to look at it, without which it does not begin.
func (a *App) begin(ctx context.Context) (*runtime, error) {
	r := newRuntime(ctx, a.settings)
	var err error
	if r.metrics, err = metrics.Start(ctx, r.Metrics, r.sources, r.sinks, r.Logger); err == nil {
		r.http, err = httpservice.Start(ctx, httpservice.Settings{
			Config: r.HTTP, Dir: r.Dir, Reloads: r.Reload != nil, Sources: r.sources, Sinks: r.sinks, Encoder: encode.New(),
			Logger:  r.Logger,
			Metrics: metrics.Handler(r.sources, r.sinks, r.Logger),
			Entries: func() []supervisor.EntryStatus { return r.services.Statuses(r.declared(), r.listeners) },
		})
	}
	if err != nil {
		return nil, errors.Join(err, r.end(ctx))
	}
	return r, nil
}

// end stops everything in the reverse of the starting order.
func (r *runtime) end(ctx context.Context) error {
	r.tell()
	ctx = context.WithoutCancel(ctx)
	return errors.Join(r.services.Close(ctx), r.http.Close(ctx), r.metrics.Close(ctx))
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
	return errors.Join(r.run(ctx, a), r.end(ctx))
}

// run runs an app, and those that reloads make of it, until ctx is done or nothing is left to run for. The error tells what
// has failed then.
func (r *runtime) run(ctx context.Context, app *App) error {
	failed := r.apply(ctx, app.state)
	for ctx.Err() == nil {
		wanted, reasons := r.wanted(app.state)
		if len(wanted) > 0 && r.services.Ended(reasons...) {
			return r.services.Failure(wanted, failed)
		}
		r.services.Report(failed)
		if len(wanted) == 0 {
			r.Logger.Warn("nothing is started: no entry has lifecycle.auto_start")
		}
		r.warnOfIdleSinks(app.state)
		next := r.awaitReload(ctx, app, reasons)
		switch {
		case next != nil:
			app, failed = next, r.reapply(ctx, next)
		case ctx.Err() == nil:
			return r.services.Failure(wanted, failed)
		}
	}
	return nil
}

// warnOfIdleSinks warns of sinks that are not to run. Nothing else shows that, but for a lag that grows.
func (r *runtime) warnOfIdleSinks(state *declarations.State) {
	for entry := range state.Entries() {
		if _, ok := entry.Config.(sink.Config); ok && !entry.Start {
			r.Logger.Warn("a sink is not started and delivers nothing: give it lifecycle: {auto_start: true}, or delete the entry",
				"sink", entry.ID.String(), "position", entry.Position.String())
		}
	}
}

// awaitReload returns the app that is to run instead of app, nil when ctx is done or none of the services runs that are the
// reasons to go on.
func (r *runtime) awaitReload(ctx context.Context, app *App, reasons []string) *App {
	ctx, stop := r.services.While(ctx, reasons...)
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-app.settings.Reload:
		}
		if next := r.reload(app); next != nil {
			return next
		}
	}
}

// wanted lists the services that are to run, by name, and those among them that are the reason to go on: the
// process.service entries if there are any.
func (r *runtime) wanted(state *declarations.State) (wanted, reasons []string) {
	for _, entry := range r.services.Statuses(state.Entries(), r.listeners) {
		wanted = append(wanted, entry.ID)
		if entry.Kind == string(process.KindService) {
			reasons = append(reasons, entry.ID)
		}
	}
	if len(reasons) == 0 {
		reasons = wanted
	}
	return wanted, reasons
}

// apply brings what runs in line with a state. It returns why entries were not started, and logs which have not ended as
// they should.
func (r *runtime) apply(ctx context.Context, state *declarations.State) map[string]error {
	failed, ending := declarations.Apart(r.applier.Apply(ctx, state))
	for _, e := range ending {
		r.Logger.Warn("entry has not ended in good order", "entry", e.ID.String(), "error", e.Err)
	}
	return failed
}
