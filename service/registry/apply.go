package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
)

// stopContext lets an entry be stopped although the app is already told to end.
func stopContext(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// EntryError is why an entry could not be started or stopped.
type EntryError struct {
	ID       registry.ID
	Position registry.Position
	Err      error
	// Ending says that the entry did not stop, or was not deleted, in good order; it has ended nevertheless.
	Ending bool
}

// Error returns "file:line: namespace:name: cause".
func (e *EntryError) Error() string { return fmt.Sprintf("%s: %s: %v", e.Position, e.ID, e.Err) }

// Unwrap returns the cause.
func (e *EntryError) Unwrap() error { return e.Err }

// Applier brings running things in line with a State. Calls are served one at a time.
type Applier struct {
	listeners map[registry.Kind]registry.Listener

	mu      sync.Mutex
	current *State
}

// NewApplier returns an applier for which nothing runs yet. Entries of kinds without a listener only configure
// others.
func NewApplier(listeners map[registry.Kind]registry.Listener) *Applier {
	return &Applier{listeners: listeners, current: &State{}}
}

// Fallen tells of entries that run no longer, although they were started: the next Apply starts them again along with
// what requires them.
func (a *Applier) Fallen(ids ...registry.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	down := maps.Clone(a.current.down)
	if down == nil {
		down = make(map[registry.ID]bool)
	}
	for _, id := range ids {
		down[id] = true
	}
	a.current = &State{records: a.current.records, byID: a.current.byID, down: down}
}

// Plan returns what Apply would do.
func (a *Applier) Plan(to *State) registry.ChangeSet {
	a.mu.Lock()
	defer a.mu.Unlock()
	return Plan(a.current, to)
}

// Apply stops what is no longer declared or has changed, dependents first, and then starts what is new, dependencies
// first. An entry is not touched if neither it nor anything that it requires has changed. Apply goes on after a
// failure; an entry that requires one that has failed is not started. The error joins an *EntryError for each.
// Entries that have failed are tried again by the next Apply. When ctx is done, Apply starts nothing more and
// returns the cause along with the rest.
func (a *Applier) Apply(ctx context.Context, to *State) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	set := Plan(a.current, to)
	problems := a.end(ctx, set.Ended)
	failed := make(map[registry.ID]bool)
	for i, applied := range set.Applied {
		if ctx.Err() != nil {
			problems = append(problems, context.Cause(ctx))
			for _, rest := range set.Applied[i:] {
				// What was to be updated runs on as it is.
				failed[rest.Entry.ID] = !rest.Update
			}
			break
		}
		if err := a.applyOne(ctx, applied, failed); err != nil {
			failed[applied.Entry.ID] = true
			problems = append(problems, &EntryError{ID: applied.Entry.ID, Position: applied.Entry.Position, Err: err})
		}
	}
	a.current = &State{records: to.records, byID: to.byID, down: failed}
	return errors.Join(problems...)
}

// Stop stops everything, in the reverse of the starting order. Nothing is deleted.
func (a *Applier) Stop(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var running []registry.Ended
	for _, rec := range slices.Backward(a.current.records) {
		if !a.current.down[rec.entry.ID] {
			running = append(running, registry.Ended{Entry: rec.entry})
		}
	}
	problems := a.end(ctx, running)
	a.current = &State{}
	return errors.Join(problems...)
}

func (a *Applier) end(ctx context.Context, entries []registry.Ended) []error {
	var problems []error
	for _, ended := range entries {
		entry, listener := ended.Entry, a.listeners[ended.Entry.Kind]
		if listener == nil {
			continue
		}
		stop := listener.Stop
		if ended.Delete {
			stop = listener.Delete
		}
		if err := stop(stopContext(ctx), entry.ID); err != nil {
			problems = append(problems, &EntryError{ID: entry.ID, Position: entry.Position, Err: err, Ending: true})
		}
	}
	return problems
}

// applyOne adds or updates an entry. It does not run after an error.
func (a *Applier) applyOne(ctx context.Context, applied registry.Applied, failed map[registry.ID]bool) error {
	entry, listener := applied.Entry, a.listeners[applied.Entry.Kind]
	err := requirementsOf(entry, failed)
	switch {
	case listener == nil:
		return err
	case err == nil && applied.Update:
		err = listener.Update(ctx, entry)
	case err == nil:
		err = listener.Add(ctx, entry)
	}
	if err != nil && applied.Update {
		return errors.Join(err, listener.Stop(stopContext(ctx), entry.ID))
	}
	return err
}

func requirementsOf(entry *registry.Entry, failed map[registry.ID]bool) error {
	for _, id := range entry.Requires {
		if failed[id] {
			return errs.New(errs.Unavailable, "not started: requires %s, which failed", id)
		}
	}
	return nil
}
