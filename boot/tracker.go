package boot

import (
	"errors"
	"fmt"
	"maps"
	"slices"
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
}

func newTracker() *tracker { return &tracker{states: make(map[string]supervisor.Status)} }

// observe implements supervisor.Observer.
func (t *tracker) observe(name string, status supervisor.Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.states[name] = status
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
