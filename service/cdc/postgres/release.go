package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

const (
	// releasePatience is how long a release goes on trying.
	releasePatience = 15 * time.Second
	// inUsePatience is how long it waits for a slot that is in use: by the source that has just ended, as far as the
	// server has not noticed yet. What uses it for longer is another program.
	inUsePatience = 3 * time.Second
)

// release drops what the source of a deleted entry has left on its server: slot, publication of its own and checkpoint.
// The source has ended. What successors go on with stays: they are configurations that name the same slot, perhaps by
// another address of the server.
//
// A slot that another program uses, or holds without reading, stays, and so does all that belongs to it; the error says
// so. If the source was never ready in this program (used is false), its slot may be that of another program: it is
// dropped only if it is lost. A server that cannot be reached now is tried again for a while; each failure is logged.
func (s *Engine) release(ctx context.Context, used bool, successors []*api.PostgresConfig) error {
	e := &leftovers{source: s, used: used, successors: successors}
	at, err := s.endpoint()
	if err != nil {
		return s.about(fmt.Errorf("release: %w", err))
	}
	e.at, e.db = at, at.side()
	defer func() { _ = e.db.Close() }()
	began := time.Now()
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		err := e.drop(ctx)
		_, inUse := errors.AsType[*inUseError](err)
		if err != nil && !errs.Retryable(err) && !inUse || inUse && time.Since(began) > inUsePatience {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(releasePatience), backoff.WithNotify(func(err error, _ time.Duration) {
		if _, inUse := errors.AsType[*inUseError](err); !inUse {
			s.logger().WarnContext(ctx, "the external state of a deleted source is not released yet, trying again", "error", err)
		}
	}))
	if use, inUse := errors.AsType[*inUseError](err); inUse {
		err = e.left(use.Error())
	}
	return s.about(err)
}

// leftovers are what a source has left on its server, while that is released.
type leftovers struct {
	source     *Engine
	successors []*api.PostgresConfig
	// used says that the source was ready.
	used bool
	at   *endpoint
	db   *sql.DB
}

// inUseError says what uses a slot.
type inUseError struct{ by string }

// Error implements error.
func (e *inUseError) Error() string { return "it is in use by " + e.by }

// left says that a slot stays, and what to type if it is not wanted.
func (e *leftovers) left(why string) error {
	name := e.source.config.SlotName
	return errs.New(errs.Invalid, "slot %q is left on the server, because %s; if it is not needed, type SELECT pg_drop_replication_slot(%s), "+
		"or the server keeps its WAL for ever; then DROP PUBLICATION IF EXISTS %s", name, why, literal(name), quote(ownPublication(name)))
}

func (e *leftovers) drop(ctx context.Context) error {
	succeeded, published, err := e.succession(ctx)
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	if succeeded && (published || !e.used) {
		return nil
	}
	name := e.source.config.SlotName
	now, err := lookSlot(ctx, e.db, name)
	if err != nil {
		return fmt.Errorf("release: %w", err)
	}
	// What belongs to another database, or to another plugin, is not what the source has read.
	if now.exists && now.plugin == plugin && now.database == e.at.config.Database {
		if err := e.checkUse(ctx, &now); err != nil {
			return err
		}
		if !succeeded {
			if err := e.dropSlot(ctx); err != nil {
				return err
			}
		}
	}
	if !published {
		if err := e.dropPublication(ctx); err != nil {
			return err
		}
	}
	if succeeded {
		return nil
	}
	c := checkpoint{slot: name, db: e.db}
	if err := c.delete(ctx); err != nil {
		return err
	}
	return c.remove(ctx, deleteConsumers, name+consumers)
}

// checkUse finds out whether the slot may be that of another program.
func (e *leftovers) checkUse(ctx context.Context, now *slot) error {
	lost := now.status == "lost"
	switch {
	case !e.used && !lost:
		return e.left("this app has not used it since it was started, and it may be that of another program")
	case now.holder.Valid:
		return &inUseError{fmt.Sprintf("process %d of the server", now.holder.Int64)}
	case lost:
		return nil
	}
	// A source that holds because no stream is open has a connection for replication, and no slot that is active.
	var mine []string
	for _, info := range e.source.settings.Inspector.Sources() {
		if info.State == api.StateRunning && info.Slot != e.source.config.SlotName {
			mine = append(mine, info.Slot)
		}
	}
	var foreign int
	err := e.db.QueryRowContext(ctx, `
		SELECT (SELECT count(*) FROM pg_stat_replication r JOIN pg_stat_activity a USING (pid) WHERE a.datname = current_database()
				AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid))
			- (SELECT count(*) FROM pg_replication_slots WHERE database = current_database() AND active_pid IS NULL AND slot_name = ANY($1))`,
		mine).Scan(&foreign)
	if err != nil {
		return fmt.Errorf("release: look what holds slot %q: %w", e.source.config.SlotName, classify(ctx, err))
	}
	if foreign > 0 {
		return &inUseError{"another program, as it seems: the database has another connection for replication, which may hold it without reading"}
	}
	return nil
}

func (e *leftovers) dropSlot(ctx context.Context) error {
	name := e.source.config.SlotName
	_, err := e.db.ExecContext(ctx, "SELECT pg_drop_replication_slot($1)", name)
	if busy(err) {
		return &inUseError{"another connection"}
	}
	if err != nil {
		return fmt.Errorf("drop slot %q: %w", name, classify(ctx, err))
	}
	return nil
}

// ownPublication is the name of the publication that is made for a slot.
func ownPublication(slot string) string { return publicationOf(&api.PostgresConfig{SlotName: slot}) }

// dropPublication drops the publication that was made for the slot, now or when the entry had tables. One that the
// entry names, or that another role has made, is not its own.
func (e *leftovers) dropPublication(ctx context.Context) error {
	name := ownPublication(e.source.config.SlotName)
	if e.source.config.Publication == name {
		return nil
	}
	var own bool
	err := e.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1 AND pg_has_role(pubowner, 'USAGE'))", name).Scan(&own)
	if err == nil && own {
		_, err = e.db.ExecContext(ctx, "DROP PUBLICATION IF EXISTS "+quote(name))
	}
	if err != nil {
		return fmt.Errorf("drop publication %q: %w", name, classify(ctx, err))
	}
	return nil
}

// succession finds out whether a successor goes on with the slot, and whether one reads the publication made for it.
func (e *leftovers) succession(ctx context.Context) (succeeded, published bool, err error) {
	for _, successor := range e.successors {
		same, err := e.reachedBy(ctx, successor)
		if err != nil {
			return false, false, fmt.Errorf("find out whether another entry goes on with the slot: %w", err)
		}
		if same {
			succeeded = true
			published = published || publicationOf(successor) == ownPublication(successor.SlotName)
		}
	}
	return succeeded, published, nil
}

// reachedBy finds out whether a configuration leads to the slot.
func (e *leftovers) reachedBy(ctx context.Context, config *api.PostgresConfig) (bool, error) {
	there, err := New(e.source.id, config, e.source.settings).endpoint()
	if err != nil {
		return false, err
	}
	here, other := e.at.config, there.config
	if config.SlotName != e.source.config.SlotName || here.Database != other.Database {
		return false, nil
	}
	if here.Host == other.Host && here.Port == other.Port {
		return true, nil
	}
	db := there.side()
	defer func() { _ = db.Close() }()
	was, err := identity(ctx, e.db)
	if err != nil {
		return false, fmt.Errorf("connect to %s: %w", e.at.settings, err)
	}
	is, err := identity(ctx, db)
	if err != nil {
		return false, fmt.Errorf("connect to %s: %w", there.settings, err)
	}
	return was == is, nil
}

// identity tells servers apart whatever they are reached by, also those that are copies of each other.
func identity(ctx context.Context, db *sql.DB) (id string, err error) {
	err = db.QueryRowContext(ctx, `
		SELECT (SELECT system_identifier FROM pg_control_system()) || ' ' || extract(epoch FROM pg_postmaster_start_time())`).Scan(&id)
	return id, classify(ctx, err)
}
