package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
)

// stopContext lets an entry be stopped although the app is already told to end.
func stopContext(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// unmetDependency is a chain of requirements at whose end an entry has failed.
type unmetDependency struct {
	path  []registry.ID
	cause error
}

// String returns "a, which requires b, which failed: cause".
func (u unmetDependency) String() string {
	names := make([]string, len(u.path))
	for i, id := range u.path {
		names[i] = id.String()
	}
	return strings.Join(names, ", which requires ") + fmt.Sprintf(", which failed: %v", u.cause)
}

// EntryError is why an entry could not be started or stopped.
type EntryError struct {
	ID       registry.ID
	Position registry.Position
	Err      error
	// Ending says that the entry did not stop, or was not deleted, in good order; it has ended nevertheless.
	Ending bool
}

// Error returns "file:line: namespace:name: cause", without the place of an entry that stands in no file.
func (e *EntryError) Error() string {
	if e.Position.File == "" {
		return fmt.Sprintf("%s: %v", e.ID, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Position, e.ID, e.Err)
}

// Unwrap returns the cause.
func (e *EntryError) Unwrap() error { return e.Err }

// Apart takes an error of Apply apart: the entries that were not started, by ID, and those that have not ended as they
// should.
func Apart(err error) (failed map[string]error, ending []*EntryError) {
	failed = make(map[string]error)
	joined, _ := err.(interface{ Unwrap() []error })
	if joined == nil {
		return failed, nil
	}
	for _, err := range joined.Unwrap() {
		e, ok := errors.AsType[*EntryError](err)
		switch {
		case !ok: // why Apply has not gone on
		case e.Ending:
			ending = append(ending, e)
		default:
			failed[e.ID.String()] = e
		}
	}
	return failed, ending
}

// Applier brings running things in line with a State. Calls are served one at a time.
type Applier struct {
	listeners map[registry.Kind]registry.Listener

	// declared is the state that was applied last, or is applied now.
	declared atomic.Pointer[State]

	mu      sync.Mutex
	current *State
}

// NewApplier returns an applier for which nothing runs yet. Entries of kinds without a listener only configure
// others.
func NewApplier(listeners map[registry.Kind]registry.Listener) *Applier {
	a := &Applier{listeners: listeners, current: &State{}}
	a.declared.Store(a.current)
	return a
}

// Declared returns the state that was applied last. While Apply brings things in line with another it is that already, so
// that listeners can ask for it. It may be called from any goroutine.
func (a *Applier) Declared() *State { return a.declared.Load() }

// Plan returns what Apply would do.
func (a *Applier) Plan(to *State) registry.ChangeSet {
	a.mu.Lock()
	defer a.mu.Unlock()
	return plan(a.current, to, a.stopped)
}

// Apply stops what is no longer declared or has changed, dependents first, and then starts what is new, dependencies
// first. An entry is not touched if neither it nor anything that it requires has changed. Apply goes on after a
// failure; an entry that requires one that has failed is not started. The error joins an *EntryError for each.
// Entries that have failed are tried again by the next Apply. When ctx is done, Apply starts nothing more and
// returns the cause along with the rest.
func (a *Applier) Apply(ctx context.Context, to *State) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.declared.Store(to)
	set := plan(a.current, to, a.stopped)
	problems := a.end(ctx, set.Ended)
	failed := make(map[registry.ID][]unmetDependency)
	for _, applied := range set.Applied {
		if ctx.Err() != nil {
			problems = append(problems, context.Cause(ctx))
			break
		}
		if err := a.applyOne(ctx, applied, failed); err != nil {
			problems = append(problems, &EntryError{ID: applied.Entry.ID, Position: applied.Entry.Position, Err: err})
		}
	}
	a.current = to
	return errors.Join(problems...)
}

// stopped reports whether an entry of the current state is not as it was applied: it could not be started, or does not run
// any more. Its listener knows.
func (a *Applier) stopped(entry *registry.Entry) bool {
	listener := a.listeners[entry.Kind]
	return listener != nil && !listener.Applied(entry.ID)
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

// applyOne adds or updates an entry, and notes in failed what has kept it from that. It does not run after an error.
func (a *Applier) applyOne(ctx context.Context, applied registry.Applied, failed map[registry.ID][]unmetDependency) error {
	id := applied.Entry.ID
	chains := chainsOf(applied.Entry, failed)
	err := notStarted(chains)
	if err == nil {
		if err = a.tell(ctx, applied); err != nil {
			chains = []unmetDependency{{cause: err}}
		}
	}
	for _, chain := range chains {
		failed[id] = append(failed[id], unmetDependency{path: slices.Insert(slices.Clone(chain.path), 0, id), cause: chain.cause})
	}
	listener := a.listeners[applied.Entry.Kind]
	if err != nil && listener != nil && applied.Update {
		return errors.Join(err, listener.Stop(stopContext(ctx), id))
	}
	return err
}

// tell tells the listener of an entry.
func (a *Applier) tell(ctx context.Context, applied registry.Applied) error {
	switch listener := a.listeners[applied.Entry.Kind]; {
	case listener == nil:
		return nil
	case applied.Update:
		return listener.Update(ctx, applied.Entry)
	default:
		return listener.Add(ctx, applied.Entry)
	}
}

// chainsOf returns what keeps an entry from being started, each failure at the end of a chain once.
func chainsOf(entry *registry.Entry, failed map[registry.ID][]unmetDependency) []unmetDependency {
	var chains []unmetDependency
	for _, id := range entry.Requires {
		for _, chain := range failed[id] {
			root := chain.path[len(chain.path)-1]
			if !slices.ContainsFunc(chains, func(c unmetDependency) bool { return c.path[len(c.path)-1] == root }) {
				chains = append(chains, chain)
			}
		}
	}
	return chains
}

// notStarted is the error of an entry whose requirements are not met.
func notStarted(chains []unmetDependency) error {
	if len(chains) == 0 {
		return nil
	}
	texts := make([]string, len(chains))
	for i, chain := range chains {
		texts[i] = "requires " + chain.String()
	}
	return errs.New(errs.Unavailable, "not started: %s", strings.Join(texts, "; "))
}
