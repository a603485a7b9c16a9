package cdc

import (
	"sync"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// admission keeps the streams of one source within its limits.
type admission struct {
	source registry.ID
	limits api.SubscriptionsConfig

	mu  sync.Mutex
	now api.Admission
}

func newAdmission(source registry.ID, limits api.SubscriptionsConfig) *admission {
	return &admission{source: source, limits: limits.Resolved()}
}

// admit takes a place for a stream that may fall size bytes behind; whoever is admitted must leave.
func (a *admission) admit(size unit.Size) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.check(size); err != nil {
		a.now.Rejected++
		return err
	}
	a.now.Active++
	a.now.ReservedBytes += int64(size)
	return nil
}

// check says why there is no room for a stream, nil if there is. a.mu must be held.
func (a *admission) check(size unit.Size) error {
	reserved := unit.Size(a.now.ReservedBytes)
	switch {
	case size > a.limits.MaxBytes:
		return errs.New(errs.Invalid, "cdc: source %q: max_bytes is %s, more than subscriptions.max_bytes of all streams together (%s): "+
			"ask for less, or raise the limit", a.source, size, a.limits.MaxBytes)
	case a.now.Active >= a.limits.MaxSubscriptions:
		return errs.New(errs.Unavailable, "cdc: source %q: %d streams are open, and subscriptions.max_subscriptions is %d: "+
			"close one, or raise the limit", a.source, a.now.Active, a.limits.MaxSubscriptions)
	case reserved+size > a.limits.MaxBytes:
		return errs.New(errs.Unavailable, "cdc: source %q: max_bytes of the %d open streams is %s, this one would add %s, and "+
			"subscriptions.max_bytes is %s: close one, ask for less max_bytes, or raise the limit",
			a.source, a.now.Active, reserved, size, a.limits.MaxBytes)
	}
	return nil
}

func (a *admission) leave(size unit.Size) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now.Active--
	a.now.ReservedBytes -= int64(size)
}

func (a *admission) snapshot() api.Admission {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now
}
