package boot

import (
	"context"
	"fmt"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// cleanup goes on taking back what an entry has left elsewhere, until it is gone or the app ends.
type cleanup struct {
	entry  *registry.Entry
	forget func(ctx context.Context, entry *registry.Entry) error
}

func cleanupOf(id registry.ID) string { return id.String() + " (cleanup)" }

// String implements supervisor.Service.
func (c *cleanup) String() string { return cleanupOf(c.entry.ID) }

// Serve implements supervisor.Service. The supervisor tries again what can be tried again.
func (c *cleanup) Serve(ctx context.Context, ready func()) error {
	ready()
	return c.forget(ctx, c.entry)
}

// takeBack takes back what an entry keeps elsewhere. What cannot be done now is tried again in the background.
func (l *serviceListener) takeBack(ctx context.Context, entry *registry.Entry) error {
	err := l.forget(ctx, entry)
	if err == nil || !errs.Retryable(err) {
		return err
	}
	name := cleanupOf(entry.ID)
	if startErr := l.supervisor.Start(ctx, name, &cleanup{entry, l.forget}, supervisor.DefaultLifecycle()); startErr != nil && l.supervisor.Status(name).State.Ended() {
		return err
	}
	return fmt.Errorf("%w; it is tried again in the background", err)
}

// takeBackFormer takes back what an entry that was changed has left where it no longer points. A failure keeps nobody
// from going on.
func (l *serviceListener) takeBackFormer(ctx context.Context, entry *registry.Entry) {
	old := l.known[entry.ID]
	if old == nil || old.entry == entry || !l.leaves(old.entry, entry) {
		return
	}
	if err := l.takeBack(ctx, old.entry); err != nil {
		l.log.Warn("the entry was changed, and what it kept before could not be taken back", "entry", entry.ID.String(), "error", err)
	}
}

// leaving makes the leaves of a configuration.
func leaving[C registry.Config](leaves func(before, after C) bool) func(before, after *registry.Entry) bool {
	return func(before, after *registry.Entry) bool {
		old, was := before.Config.(C)
		now, is := after.Config.(C)
		return was && is && leaves(old, now)
	}
}
