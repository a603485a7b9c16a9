package stream

import (
	"sync"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// admission keeps the streams of one source within its limits. Live streams share the log, so together they can make it
// keep no more than the one that may fall behind most. A stream with a snapshot counts on its own until it has caught
// up: before, it is behind for certain.
type admission struct {
	source registry.ID
	limits api.SubscriptionsConfig

	mu sync.Mutex
	// now lacks ReservedBytes.
	now api.Admission
	// live counts the streams that have caught up, by max_bytes; own is the sum over the others.
	live map[unit.Size]int
	own  unit.Size
}

// reservation is the place that a stream has taken.
type reservation struct {
	size unit.Size
	// scanning says that it reads a snapshot, behind that it has not caught up since.
	scanning, behind bool
	// left says that the place was given back.
	left bool
}

func newAdmission(source registry.ID, limits api.SubscriptionsConfig) *admission {
	return &admission{source: source, limits: limits.Resolved(), live: make(map[unit.Size]int)}
}

// admit takes a place for a stream that may fall size bytes behind; a stream that is admitted must leave.
func (a *admission) admit(size unit.Size, snapshot bool) (reservation, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.check(size, snapshot); err != nil {
		a.now.Rejected++
		return reservation{}, err
	}
	a.now.Active++
	if snapshot {
		a.now.Snapshots++
		a.own += size
	} else {
		a.live[size]++
	}
	return reservation{size: size, scanning: snapshot, behind: snapshot}, nil
}

// check says why there is no room for a stream, nil if there is. a.mu must be held.
func (a *admission) check(size unit.Size, snapshot bool) error {
	reserved := a.reserved()
	wanted := a.own + max(a.largest(), size)
	if snapshot {
		wanted = reserved + size
	}
	switch {
	case size > a.limits.MaxBytes:
		return errs.New(errs.Invalid, "cdc: source %q: max_bytes is %s, more than subscriptions.max_bytes (%s): "+
			"ask for less, or raise the limit", a.source, size, a.limits.MaxBytes)
	case a.now.Active >= a.limits.MaxSubscriptions:
		return errs.New(errs.Unavailable, "cdc: source %q: %d streams are open, and subscriptions.max_subscriptions is %d: "+
			"close one, or raise the limit", a.source, a.now.Active, a.limits.MaxSubscriptions)
	case snapshot && a.now.Snapshots >= a.limits.MaxSnapshotSubscriptions:
		return errs.New(errs.Unavailable, "cdc: source %q: %d streams are reading a snapshot, and "+
			"subscriptions.max_snapshot_subscriptions is %d: wait for one to finish, or raise the limit",
			a.source, a.now.Snapshots, a.limits.MaxSnapshotSubscriptions)
	case wanted > a.limits.MaxBytes:
		return errs.New(errs.Unavailable, "cdc: source %q: the %d open streams may make the log keep %s, with this one it would be %s, "+
			"and subscriptions.max_bytes is %s: ask for less max_bytes, wait for a snapshot to finish, or raise the limit",
			a.source, a.now.Active, reserved, wanted, a.limits.MaxBytes)
	}
	return nil
}

// reserved is what the streams may make the log keep. a.mu must be held.
func (a *admission) reserved() unit.Size { return a.own + a.largest() }

// largest is the largest max_bytes of the streams that have caught up. a.mu must be held.
func (a *admission) largest() unit.Size {
	largest := unit.Size(0)
	for size := range a.live {
		largest = max(largest, size)
	}
	return largest
}

// scanned notes that the stream has read its snapshot.
func (a *admission) scanned(r *reservation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.scanning {
		r.scanning = false
		a.now.Snapshots--
	}
}

// scans reports whether the stream reads its snapshot.
func (a *admission) scans(r *reservation) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return r.scanning
}

// caughtUp notes that the stream shares the log like any other from now on.
func (a *admission) caughtUp(r *reservation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.behind {
		r.behind = false
		a.own -= r.size
		a.live[r.size]++
	}
}

// leave gives the place back. It is idempotent.
func (a *admission) leave(r *reservation) {
	a.scanned(r)
	a.caughtUp(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.left {
		return
	}
	r.left = true
	a.now.Active--
	if a.live[r.size]--; a.live[r.size] == 0 {
		delete(a.live, r.size)
	}
}

// hasLeft reports whether the place was given back.
func (a *admission) hasLeft(r *reservation) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return r.left
}

func (a *admission) snapshot() api.Admission {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now
	now.ReservedBytes = int64(a.reserved())
	return now
}
