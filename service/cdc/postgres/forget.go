package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/wippy-cdc/runtime/api/errs"
)

// forgetPatience is how long Forget goes on trying.
const forgetPatience = 15 * time.Second

// Forget drops what the source of a deleted entry has left on its server: slot, publication of its own and checkpoint.
// The source must have ended. A server that cannot be reached now, and a slot that is in use, are tried again for a
// while; each failure is logged.
func (s *Source) Forget(ctx context.Context) error {
	at, err := s.endpoint()
	if err != nil {
		return s.about(fmt.Errorf("forget: %w", err))
	}
	db := at.side()
	defer func() { _ = db.Close() }()
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		err := s.forget(ctx, db)
		if err != nil && !errs.Retryable(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(forgetPatience), backoff.WithNotify(func(err error, _ time.Duration) {
		s.logger().WarnContext(ctx, "what a deleted source has left on its server is not gone yet, trying again", "error", err)
	}))
	return s.about(err)
}

func (s *Source) forget(ctx context.Context, db *sql.DB) error {
	now, err := lookSlot(ctx, db, s.config.SlotName)
	if err != nil {
		return fmt.Errorf("forget: %w", err)
	}
	if now.exists && now.plugin == plugin {
		_, err := db.ExecContext(ctx, "SELECT pg_drop_replication_slot($1)", s.config.SlotName)
		if busy(err) {
			err = errBusy(ctx, db, s.config.SlotName)
		}
		if err != nil {
			return fmt.Errorf("drop slot %q: %w", s.config.SlotName, classify(ctx, err))
		}
	}
	if s.config.Publication == "" {
		name := publicationOf(s.config)
		if _, err := db.ExecContext(ctx, "DROP PUBLICATION IF EXISTS "+quote(name)); err != nil {
			return fmt.Errorf("drop publication %q: %w", name, classify(ctx, err))
		}
	}
	c := checkpoint{slot: s.config.SlotName, db: db}
	return c.forget(ctx)
}
