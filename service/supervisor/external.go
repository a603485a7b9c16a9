package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// externals are the external states of the entries of a Listener.
type externals struct {
	supervisor supervisor.Supervisor
	log        *slog.Logger
	// kept is what entries keep until they are deleted, also those that could not be started.
	kept map[registry.ID]registry.ExternalState
	// releasing is what is released in the background; releases counts them.
	releasing map[registry.ID][]*release
	releases  int
}

func newExternals(s supervisor.Supervisor, log *slog.Logger) externals {
	return externals{
		supervisor: s, log: log,
		kept: make(map[registry.ID]registry.ExternalState), releasing: make(map[registry.ID][]*release),
	}
}

// release goes on releasing a state until that is done, or the app ends.
type release struct {
	registry.ExternalState
	name string
}

// String implements supervisor.Service.
func (r *release) String() string { return r.name }

// Serve implements supervisor.Service. The supervisor tries again what can be tried again.
func (r *release) Serve(ctx context.Context, ready func()) error {
	ready()
	return r.Release(ctx)
}

// keep notes what an entry keeps from now on, and releases what it kept in another place before. That this fails does not
// keep the entry from going on.
func (x *externals) keep(ctx context.Context, id registry.ID, now registry.ExternalState) error {
	if now == nil {
		return nil
	}
	if err := x.reclaim(ctx, id, now); err != nil {
		return err
	}
	before := x.kept[id]
	x.kept[id] = now
	if before == nil || before.Place() == now.Place() {
		return nil
	}
	if err := x.let(ctx, id, before); err != nil {
		x.log.Warn("the entry was changed, and what it kept before could not be taken back", "entry", id.String(), "error", err)
	}
	return nil
}

// reclaim ends the releases of what an entry is about to keep again.
func (x *externals) reclaim(ctx context.Context, id registry.ID, now registry.ExternalState) error {
	var err error
	x.releasing[id] = slices.DeleteFunc(x.releasing[id], func(r *release) bool {
		again := r.Place() == now.Place()
		if again {
			err = errors.Join(err, x.supervisor.Stop(ctx, r.name))
		}
		return again
	})
	return err
}

// release releases what a deleted entry has kept.
func (x *externals) release(ctx context.Context, id registry.ID) error {
	state := x.kept[id]
	if state == nil {
		return nil
	}
	delete(x.kept, id)
	return x.let(ctx, id, state)
}

// let releases a state. If that cannot be done now it is tried again in the background.
func (x *externals) let(ctx context.Context, id registry.ID, state registry.ExternalState) error {
	err := state.Release(ctx)
	if err == nil || !errs.Retryable(err) {
		return err
	}
	x.releases++
	r := &release{state, fmt.Sprintf("%s (cleanup %d)", id, x.releases)}
	startErr := x.supervisor.Start(ctx, r.name, r, supervisor.DefaultLifecycle())
	if startErr != nil && x.supervisor.Status(r.name).State.Ended() {
		return err
	}
	x.releasing[id] = append(x.releasing[id], r)
	return fmt.Errorf("%w; it is tried again in the background", err)
}
