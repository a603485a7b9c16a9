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
)

// tracker follows the services of an app and knows when there is nothing left to run for: when all its processes
// have ended for good, or everything has failed.
type tracker struct {
	// ended is closed when that is so.
	ended chan struct{}

	mu       sync.Mutex
	states   map[string]supervisor.Status
	wanted   map[string]registry.Kind
	failed   map[string]error
	watching bool
}

func newTracker() *tracker {
	return &tracker{ended: make(chan struct{}), states: make(map[string]supervisor.Status)}
}

// observe implements supervisor.Observer.
func (t *tracker) observe(name string, status supervisor.Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.states[name] = status
	t.check()
}

// watch begins to watch for the end, when everything that could be started has been. wanted are the services that
// are to run, by name; failed tells why entries were not started.
func (t *tracker) watch(wanted map[string]registry.Kind, failed map[string]error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanted, t.failed, t.watching = wanted, failed, true
	t.check()
}

// hasFailed reports whether a service was started and has failed for good.
func (t *tracker) hasFailed(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.states[name].State == supervisor.Failed
}

// release ends the watch, so that stopping the services is not taken for their end.
func (t *tracker) release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watching = false
}

// check closes ended if there is nothing left to run for. t.mu must be held.
func (t *tracker) check() {
	if !t.watching || len(t.wanted) == 0 {
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
		t.watching = false
		close(t.ended)
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
