// Package resource lets services find what other entries provide while they run, such as an open database,
// by registry ID.
package resource

import (
	"fmt"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
)

// Directory holds the resources that are running now. Methods may be called from any goroutine.
type Directory interface {
	// Declare says that id may provide a resource, so that a look-up while it is not running is an Unavailable
	// error and not NotFound. The function returned takes it back, along with a published resource.
	Declare(id registry.ID) (withdraw func())
	// Publish makes r available as id until the function returned is called.
	Publish(id registry.ID, r any) (withdraw func())
	// Lookup returns the resource of id: NotFound if it is not declared, Unavailable if it is not running.
	Lookup(id registry.ID) (any, error)
}

// Get returns the resource of id as a T; if it is something else, the error is of kind Invalid.
func Get[T any](d Directory, id registry.ID) (T, error) {
	var zero T
	r, err := d.Lookup(id)
	if err != nil {
		return zero, err
	}
	t, ok := r.(T)
	if !ok {
		return zero, errs.New(errs.Invalid, "resource %q: it is a %s, which does not offer what is needed here", id, describe(r))
	}
	return t, nil
}

func describe(r any) string {
	if t, ok := r.(interface{ Type() string }); ok {
		return t.Type() + " database"
	}
	return fmt.Sprintf("%T", r)
}
