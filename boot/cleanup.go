package boot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// kept is what an entry keeps elsewhere, such as a checkpoint. The zero value says that it is not known, or nothing.
type kept struct {
	// where is comparable: an entry that is changed and keeps it somewhere else leaves behind what it kept before.
	where any
	// forget takes it back. The service of the entry has ended.
	forget func(ctx context.Context) error
}

// cleanup goes on taking back what an entry has left elsewhere, until it is gone or the app ends.
type cleanup struct {
	kept
	name string
}

// String implements supervisor.Service.
func (c *cleanup) String() string { return c.name }

// Serve implements supervisor.Service. The supervisor tries again what can be tried again.
func (c *cleanup) Serve(ctx context.Context, ready func()) error {
	ready()
	return c.forget(ctx)
}

// takeBack takes back what an entry keeps elsewhere. What cannot be done now is tried again in the background.
func (l *serviceListener) takeBack(ctx context.Context, id registry.ID, what kept) error {
	err := what.forget(ctx)
	if err == nil || !errs.Retryable(err) {
		return err
	}
	l.cleanups++
	c := &cleanup{what, fmt.Sprintf("%s (cleanup %d)", id, l.cleanups)}
	if startErr := l.supervisor.Start(ctx, c.name, c, supervisor.DefaultLifecycle()); startErr != nil && l.supervisor.Status(c.name).State.Ended() {
		return err
	}
	l.cleaning[id] = append(l.cleaning[id], c)
	return fmt.Errorf("%w; it is tried again in the background", err)
}

// comesBack ends what takes back what an entry is about to keep again.
func (l *serviceListener) comesBack(ctx context.Context, id registry.ID, now kept) error {
	var err error
	l.cleaning[id] = slices.DeleteFunc(l.cleaning[id], func(c *cleanup) bool {
		again := c.where == now.where
		if again {
			err = errors.Join(err, l.supervisor.Stop(ctx, c.name))
		}
		return again
	})
	return err
}

// keeps notes what an entry keeps elsewhere from now on, and takes back what it has left where it no longer points. What
// cannot be taken back keeps nobody from going on.
func (l *serviceListener) keeps(ctx context.Context, entry *registry.Entry) error {
	now := l.keep(entry)
	if now.forget == nil {
		return nil
	}
	if err := l.comesBack(ctx, entry.ID, now); err != nil {
		return err
	}
	before := l.kept[entry.ID]
	l.kept[entry.ID] = now
	if before.forget == nil || before.where == now.where {
		return nil
	}
	if err := l.takeBack(ctx, entry.ID, before); err != nil {
		l.log.Warn("the entry was changed, and what it kept before could not be taken back", "entry", entry.ID.String(), "error", err)
	}
	return nil
}
