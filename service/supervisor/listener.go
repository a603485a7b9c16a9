package supervisor

import (
	"context"
	"errors"
	"log/slog"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// Plan is what a Listener makes of an entry.
type Plan struct {
	// Service runs while the entry is to run; it is not running yet.
	Service supervisor.Service
	// Declare makes the entry known whether it runs or not, and returns what takes that back. A declaration replaces an
	// earlier one of the same ID; only the newest is taken back. It may be nil.
	Declare func() (withdraw func())
	// External is what the entry keeps outside of the program; nil if there is nothing, or it is not known.
	External registry.ExternalState
}

// Listener implements registry.Listener: it turns each entry of its kinds into one supervised service. While a service is
// replaced, its entry is declared, so that others do not take it for unknown.
type Listener struct {
	supervisor supervisor.Supervisor
	log        *slog.Logger
	plan       func(entry *registry.Entry) (Plan, error)
	known      map[registry.ID]*declared
	external   externals
}

var _ registry.Listener = (*Listener)(nil)

// declared is an entry that was added and not deleted.
type declared struct {
	entry    *registry.Entry
	withdraw func()
}

// FailedError is why a service has failed for good when it was started. The supervisor has logged it.
type FailedError struct{ Err error }

// Error implements error.
func (e *FailedError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *FailedError) Unwrap() error { return e.Err }

// NewListener returns a listener whose services s supervises; plan is called for each entry that is added or updated.
func NewListener(s supervisor.Supervisor, log *slog.Logger, plan func(entry *registry.Entry) (Plan, error)) *Listener {
	return &Listener{
		supervisor: s, log: log, plan: plan, known: make(map[registry.ID]*declared), external: newExternals(s, log),
	}
}

// Add implements registry.Listener. A service that is not ready but goes on being tried is no failure: what
// requires it meets Unavailable errors and is tried again as well.
func (l *Listener) Add(ctx context.Context, entry *registry.Entry) error {
	if old := l.known[entry.ID]; old != nil && old.entry == entry && l.Applied(entry.ID) {
		return nil
	}
	return l.Update(ctx, entry)
}

// Update implements registry.Listener: the old service has ended before the new one starts.
func (l *Listener) Update(ctx context.Context, entry *registry.Entry) error {
	// Also when the app is told to end meanwhile: a service is not abandoned for that.
	if err := l.Stop(context.WithoutCancel(ctx), entry.ID); err != nil {
		return err
	}
	plan, err := l.plan(entry)
	if err != nil {
		return errors.Join(err, l.remove(ctx, entry.ID))
	}
	if err := l.external.keep(ctx, entry.ID, plan.External); err != nil {
		return err
	}
	l.known[entry.ID] = declare(entry, plan)
	if !entry.Start {
		return nil
	}
	return l.start(ctx, entry, plan.Service)
}

func declare(entry *registry.Entry, plan Plan) *declared {
	if plan.Declare == nil {
		return &declared{entry: entry, withdraw: func() {}}
	}
	return &declared{entry: entry, withdraw: plan.Declare()}
}

// start starts the service of an entry. One that has failed for good stays declared, and the supervisor knows why, so that a look
// finds that; the next reload tries again. If ctx is done it is removed.
func (l *Listener) start(ctx context.Context, entry *registry.Entry, service supervisor.Service) error {
	name := entry.ID.String()
	err := l.supervisor.Start(ctx, name, service, entry.Lifecycle)
	if err == nil {
		return nil
	}
	status := l.supervisor.Status(name)
	if ctx.Err() == nil && !status.State.Ended() {
		l.log.Warn("service is not ready yet, going on without it", "service", name)
		return nil
	}
	if status.Err != nil {
		err = &FailedError{status.Err}
	}
	if ctx.Err() == nil {
		return err
	}
	if stopErr := l.remove(context.WithoutCancel(ctx), entry.ID); stopErr != nil {
		l.log.Warn("service did not stop after its start has failed", "service", name, "error", stopErr)
	}
	return err
}

// Stop implements registry.Listener.
func (l *Listener) Stop(ctx context.Context, id registry.ID) error {
	return l.supervisor.Stop(ctx, id.String())
}

// Applied implements registry.Listener: the supervisor knows.
func (l *Listener) Applied(id registry.ID) bool {
	switch old := l.known[id]; {
	case old == nil:
		return false
	case !old.entry.Start:
		return true
	default:
		state := l.supervisor.Status(id.String()).State
		return state != supervisor.Unknown && state != supervisor.Failed
	}
}

// Delete implements registry.Listener.
func (l *Listener) Delete(ctx context.Context, id registry.ID) error {
	return errors.Join(l.remove(ctx, id), l.external.release(ctx, id))
}

// remove stops an entry and takes back its declaration.
func (l *Listener) remove(ctx context.Context, id registry.ID) error {
	old := l.known[id]
	if old == nil {
		return nil
	}
	delete(l.known, id)
	err := l.supervisor.Stop(ctx, id.String())
	old.withdraw()
	return err
}
