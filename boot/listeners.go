package boot

import (
	"context"
	"log/slog"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// serviceListener turns each entry of its kind into one supervised service.
type serviceListener struct {
	supervisor supervisor.Supervisor
	log        *slog.Logger
	// build makes the service; nothing runs yet.
	build func(entry *registry.Entry) (supervisor.Service, error)
	// declare makes the entry known whether it runs or not, and returns what takes that back.
	declare func(entry *registry.Entry) (withdraw func())
	known   map[registry.ID]*declared
}

type declared struct {
	entry    *registry.Entry
	withdraw func()
}

// newServiceListener returns a listener; declare may be nil.
func newServiceListener(
	s supervisor.Supervisor, log *slog.Logger,
	build func(*registry.Entry) (supervisor.Service, error), declare func(*registry.Entry) func(),
) *serviceListener {
	if declare == nil {
		declare = func(*registry.Entry) func() { return func() {} }
	}
	return &serviceListener{
		supervisor: s, log: log, build: build, declare: declare, known: make(map[registry.ID]*declared),
	}
}

// Add implements registry.Listener. A service that is not ready but goes on being tried is no failure: what
// requires it meets Unavailable errors and is tried again as well.
func (l *serviceListener) Add(ctx context.Context, entry *registry.Entry) error {
	if old := l.known[entry.ID]; old != nil {
		if old.entry == entry {
			return nil
		}
		return l.Update(ctx, entry)
	}
	service, err := l.build(entry)
	if err != nil {
		return err
	}
	l.known[entry.ID] = &declared{entry: entry, withdraw: l.declare(entry)}
	if !entry.Start {
		return nil
	}
	name := entry.ID.String()
	err = l.supervisor.Start(ctx, name, service, entry.Lifecycle)
	if err == nil {
		return nil
	}
	status := l.supervisor.Status(name)
	if ctx.Err() == nil && !status.State.Ended() {
		l.log.Warn("service is not ready yet, going on without it", "service", name)
		return nil
	}
	if status.Err != nil {
		err = status.Err
	}
	if stopErr := l.Delete(context.WithoutCancel(ctx), entry.ID); stopErr != nil {
		l.log.Warn("service did not stop after its start has failed", "service", name, "error", stopErr)
	}
	return err
}

// Update implements registry.Listener: the old service has ended before the new one starts.
func (l *serviceListener) Update(ctx context.Context, entry *registry.Entry) error {
	if err := l.Delete(ctx, entry.ID); err != nil {
		return err
	}
	return l.Add(ctx, entry)
}

// Delete implements registry.Listener.
func (l *serviceListener) Delete(ctx context.Context, id registry.ID) error {
	old := l.known[id]
	if old == nil {
		return nil
	}
	delete(l.known, id)
	err := l.supervisor.Stop(ctx, id.String())
	old.withdraw()
	return err
}

// scriptListener makes scripts known to the engine; nothing runs.
type scriptListener struct {
	add    func(entry *registry.Entry) error
	remove func(id registry.ID)
}

// Add implements registry.Listener.
func (l scriptListener) Add(_ context.Context, entry *registry.Entry) error { return l.add(entry) }

// Update implements registry.Listener.
func (l scriptListener) Update(_ context.Context, entry *registry.Entry) error { return l.add(entry) }

// Delete implements registry.Listener.
func (l scriptListener) Delete(_ context.Context, id registry.ID) error {
	l.remove(id)
	return nil
}
