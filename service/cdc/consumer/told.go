package consumer

import (
	"errors"
	"sync"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Told are the consumers of a source whose readers have heard of a gap since they have begun, over the runs of the source:
// what happens may end a run. Methods may be called from any goroutine.
type Told struct {
	mu    sync.Mutex
	names map[string]bool
}

// note notes an error that a reader has received.
func (t *Told) note(name string, err error) {
	if _, gap := errors.AsType[*api.GapError](err); gap {
		t.set(name, true)
	}
}

// set notes whether a reader has heard of a gap.
func (t *Told) set(name string, told bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !told:
		delete(t.names, name)
	case t.names == nil:
		t.names = map[string]bool{name: true}
	default:
		t.names[name] = true
	}
}

func (t *Told) has(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.names[name]
}
