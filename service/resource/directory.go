// Package resource keeps the directory of what is running now, so that services find each other by registry ID
// without knowing each other.
package resource

import (
	"sync"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	resourceapi "github.com/wippy-cdc/runtime/api/resource"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// Directory implements resource.Directory in memory. The zero value is ready to use. A declaration or publication
// that has been replaced by a newer one of the same ID no longer affects it when it is withdrawn.
type Directory struct {
	mu    sync.RWMutex
	slots map[registry.ID]slot
}

var _ resourceapi.Directory = (*Directory)(nil)

// slot is what the directory knows of one ID. Both pointers identify the caller that set them.
type slot struct {
	declared  *declaration
	published *publication
}

// declaration has a field so that two of them never share an address.
type declaration struct{ id registry.ID }

type publication struct{ resource any }

// New returns an empty directory.
func New() *Directory { return new(Directory) }

// Declare implements resource.Directory.
func (d *Directory) Declare(id registry.ID) (withdraw func()) {
	mine := &declaration{id: id}
	d.change(id, func(s slot) slot {
		s.declared = mine
		return s
	})
	return func() {
		d.change(id, func(s slot) slot {
			if s.declared == mine {
				return slot{}
			}
			return s
		})
	}
}

// Publish implements resource.Directory.
func (d *Directory) Publish(id registry.ID, r any) (withdraw func()) {
	mine := &publication{resource: r}
	d.change(id, func(s slot) slot {
		s.published = mine
		return s
	})
	return func() {
		d.change(id, func(s slot) slot {
			if s.published == mine {
				s.published = nil
			}
			return s
		})
	}
}

// Lookup implements resource.Directory.
func (d *Directory) Lookup(id registry.ID) (any, error) {
	d.mu.RLock()
	s, known := d.slots[id]
	var others []string
	if !known {
		for other := range d.slots {
			others = append(others, other.String())
		}
	}
	d.mu.RUnlock()
	switch {
	case !known:
		return nil, errs.New(errs.NotFound, "resource %q: there is no entry of this ID that provides a resource%s", id, suggest.Among(id.String(), others))
	case s.published == nil:
		return nil, errs.New(errs.Unavailable, "resource %q: it is not running; if it has failed, the log says why; else name it under lifecycle.requires of what needs it, or give it auto_start", id)
	default:
		return s.published.resource, nil
	}
}

// change replaces the slot of id and forgets it once it is empty.
func (d *Directory) change(id registry.ID, f func(slot) slot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := f(d.slots[id])
	if s == (slot{}) {
		delete(d.slots, id)
		return
	}
	if d.slots == nil {
		d.slots = make(map[registry.ID]slot)
	}
	d.slots[id] = s
}
