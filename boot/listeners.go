package boot

import (
	"context"
	"errors"
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
	// declare makes the entry known whether it runs or not, and returns what takes that back. A declaration replaces
	// an earlier one of the same ID; only the newest is taken back.
	declare func(entry *registry.Entry) (withdraw func())
	// keep tells what an entry that is about to run keeps elsewhere.
	keep  func(entry *registry.Entry) kept
	known map[registry.ID]*declared
	// kept is what entries keep elsewhere until they are deleted, also those that could not be started.
	kept map[registry.ID]kept
	// cleaning is what takes it back in the background; cleanups counts them.
	cleaning map[registry.ID][]*cleanup
	cleanups int
}

type declared struct {
	entry    *registry.Entry
	withdraw func()
	// stopped says that the entry was stopped to be added again.
	stopped bool
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
		supervisor: s, log: log, build: build, declare: declare,
		keep:  func(*registry.Entry) kept { return kept{} },
		known: make(map[registry.ID]*declared), kept: make(map[registry.ID]kept), cleaning: make(map[registry.ID][]*cleanup),
	}
}

// keeping makes keep tell what entries keep elsewhere, such as a checkpoint. It is taken back after the service of a
// deleted entry has ended, or failed to start, while what the entry requires still runs. An entry that is only stopped
// keeps it, and one that is changed does unless it keeps it somewhere else from then on.
func (l *serviceListener) keeping(keep func(entry *registry.Entry) kept) *serviceListener {
	l.keep = keep
	return l
}

// Add implements registry.Listener. A service that is not ready but goes on being tried is no failure: what
// requires it meets Unavailable errors and is tried again as well.
func (l *serviceListener) Add(ctx context.Context, entry *registry.Entry) error {
	if old := l.known[entry.ID]; old != nil && !old.stopped {
		if old.entry == entry {
			return nil
		}
		return l.Update(ctx, entry)
	}
	if err := l.keeps(ctx, entry); err != nil {
		return err
	}
	service, err := l.build(entry)
	if err != nil {
		return errors.Join(err, l.remove(ctx, entry.ID))
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
	if stopErr := l.remove(context.WithoutCancel(ctx), entry.ID); stopErr != nil {
		l.log.Warn("service did not stop after its start has failed", "service", name, "error", stopErr)
	}
	return err
}

// Update implements registry.Listener: the old service has ended before the new one starts. Meanwhile the entry is
// declared, so that nobody takes it for unknown.
func (l *serviceListener) Update(ctx context.Context, entry *registry.Entry) error {
	// Also when the app is told to end meanwhile: a service is not abandoned for that.
	if err := l.Stop(context.WithoutCancel(ctx), entry.ID); err != nil {
		return err
	}
	return l.Add(ctx, entry)
}

// Stop implements registry.Listener.
func (l *serviceListener) Stop(ctx context.Context, id registry.ID) error {
	if old := l.known[id]; old != nil {
		old.stopped = true
	}
	return l.supervisor.Stop(ctx, id.String())
}

// Delete implements registry.Listener.
func (l *serviceListener) Delete(ctx context.Context, id registry.ID) error {
	err := l.remove(ctx, id)
	what := l.kept[id]
	delete(l.kept, id)
	if what.forget == nil {
		return err
	}
	return errors.Join(err, l.takeBack(ctx, id, what))
}

// remove stops an entry and takes back its declaration.
func (l *serviceListener) remove(ctx context.Context, id registry.ID) error {
	old := l.known[id]
	if old == nil {
		return nil
	}
	delete(l.known, id)
	err := l.supervisor.Stop(ctx, id.String())
	old.withdraw()
	return err
}
