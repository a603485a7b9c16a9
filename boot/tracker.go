package boot

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
	declarations "github.com/wippy-cdc/runtime/service/registry"
)

// tracker follows the services of an app and knows when there is nothing left to run for: when all its processes
// have ended for good, or everything has failed.
type tracker struct {
	mu     sync.Mutex
	states map[string]supervisor.Status
	wanted map[string]registry.Kind
	failed map[string]error
	// ended is closed when there is nothing left to run for; nil while nobody watches.
	ended chan struct{}
	// stopping says that the app ends, as told does as soon as the app is told to; unclean are the services that have
	// stopped with an error since, by name.
	stopping bool
	told     func() error
	unclean  map[string]error
}

// newTracker returns a tracker for an app that is told to end when told returns an error.
func newTracker(told func() error) *tracker {
	return &tracker{told: told, states: make(map[string]supervisor.Status), unclean: make(map[string]error)}
}

// observe implements supervisor.Observer.
func (t *tracker) observe(name string, status supervisor.Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.states[name] = status
	if (t.stopping || t.told() != nil) && status.State == supervisor.Stopped && status.Err != nil {
		t.unclean[name] = status.Err
	}
	t.check()
}

// watch begins to watch for the end, when everything that could be started has been; the channel is closed then. wanted
// are the services that are to run, by name; failed tells why entries were not started.
func (t *tracker) watch(wanted map[string]registry.Kind, failed map[string]error) (ended <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := make(chan struct{})
	t.wanted, t.failed, t.ended = wanted, failed, own
	t.check()
	return own
}

// hasFailed reports whether a service was started and has failed for good.
func (t *tracker) hasFailed(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.states[name].State == supervisor.Failed
}

// fallen lists the entries whose services have failed for good.
func (t *tracker) fallen(declared *declarations.State) []registry.ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []registry.ID
	for entry := range declared.Entries() {
		if entry.Start && t.states[entry.ID.String()].State == supervisor.Failed {
			ids = append(ids, entry.ID)
		}
	}
	return ids
}

// release ends the watch, so that stopping the services is not taken for their end.
func (t *tracker) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = nil
}

// stop says that the app ends from here on.
func (t *tracker) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended, t.stopping = nil, true
}

// left tells which services have stopped with an error since stop, apart from those that told says have not stopped at
// all. The log has the errors as a whole.
func (t *tracker) left(told error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if joined, ok := told.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			if e, ok := errors.AsType[*declarations.EntryError](err); ok {
				delete(t.unclean, e.ID.String())
			}
		}
	}
	var all []error
	for _, name := range slices.Sorted(maps.Keys(t.unclean)) {
		text, _, _ := strings.Cut(t.unclean[name].Error(), "\n")
		all = append(all, fmt.Errorf("%s has stopped with an error: %s", name, text))
	}
	return errors.Join(all...)
}

// check closes ended if there is nothing left to run for. t.mu must be held.
func (t *tracker) check() {
	if t.ended == nil || len(t.wanted) == 0 {
		return
	}
	processes, runningProcesses, running := 0, 0, 0
	for name, kind := range t.wanted {
		alive := t.failed[name] == nil && !t.states[name].State.Ended()
		if alive {
			running++
		}
		if kind == process.KindService {
			processes++
			if alive {
				runningProcesses++
			}
		}
	}
	if running == 0 || (processes > 0 && runningProcesses == 0) {
		close(t.ended)
		t.ended = nil
	}
}

// failures joins why entries were not started or have failed for good, ordered by name.
func (t *tracker) failures() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	reasons := maps.Clone(t.failed)
	for name := range t.wanted {
		if status := t.states[name]; status.State == supervisor.Failed && reasons[name] == nil {
			reasons[name] = fmt.Errorf("%s: %w", name, status.Err)
		}
	}
	var all []error
	for _, name := range slices.Sorted(maps.Keys(reasons)) {
		all = append(all, reasons[name])
	}
	return errors.Join(all...)
}
