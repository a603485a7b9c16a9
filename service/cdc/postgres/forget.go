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
	// forgetPatience is how long Forget goes on trying.
	forgetPatience = 15 * time.Second
	// releasePatience is how long it waits for a slot that is in use: by the source that has just ended, as far as the
	// server has not noticed yet. Whoever uses it for longer is somebody else.
	releasePatience = 3 * time.Second
)

// Forget drops what the source of a deleted entry has left on its server: slot, publication of its own and checkpoint.
// The source must have been ready in this program, and have ended. What heirs go on with stays: they are configurations
// that name the same slot, perhaps by another address of the server.
//
// A slot that somebody else uses, or holds without reading, stays, and so does all that belongs to it; the error says so.
// A server that cannot be reached now is tried again for a while; each failure is logged.
func (s *Engine) Forget(ctx context.Context, heirs ...*api.PostgresConfig) error {
	return s.forget(ctx, &remains{source: s, heirs: heirs, used: true})
}

// Abandon is Forget for a source that has never been ready in this program. A slot of its name may be somebody else's:
// it is dropped only if it is lost, and the error says what is left otherwise.
func (s *Engine) Abandon(ctx context.Context, heirs ...*api.PostgresConfig) error {
	return s.forget(ctx, &remains{source: s, heirs: heirs})
}

func (s *Engine) forget(ctx context.Context, m *remains) error {
	at, err := s.endpoint()
	if err != nil {
		return s.about(fmt.Errorf("forget: %w", err))
	}
	m.at, m.db = at, at.side()
	defer func() { _ = m.db.Close() }()
	began := time.Now()
	_, err = backoff.Retry(ctx, func() (struct{}, error) {
		err := m.drop(ctx)
		_, inUse := errors.AsType[*inUseError](err)
		if err != nil && !errs.Retryable(err) && !inUse || inUse && time.Since(began) > releasePatience {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(forgetPatience), backoff.WithNotify(func(err error, _ time.Duration) {
		if _, inUse := errors.AsType[*inUseError](err); !inUse {
			s.logger().WarnContext(ctx, "what a deleted source has left on its server is not gone yet, trying again", "error", err)
		}
	}))
	if by, inUse := errors.AsType[*inUseError](err); inUse {
		err = m.left(by.Error())
	}
	return s.about(err)
}

// remains is what a source has left on its server.
type remains struct {
	source *Engine
	heirs  []*api.PostgresConfig
	// used says that the source was ready.
	used bool
	at   *endpoint
	db   *sql.DB
}

// inUseError says who uses a slot.
type inUseError struct{ who string }

// Error implements error.
func (e *inUseError) Error() string { return "it is in use by " + e.who }

// left says that a slot stays, and what to type if it is not wanted.
func (m *remains) left(why string) error {
	name := m.source.config.SlotName
	return errs.New(errs.Invalid, "slot %q is left on the server, because %s; if nobody needs it, type SELECT pg_drop_replication_slot(%s), "+
		"or the server keeps its WAL for ever; then DROP PUBLICATION IF EXISTS %s", name, why, literal(name), quote(ownPublication(name)))
}

func (m *remains) drop(ctx context.Context) error {
	inherited, published, err := m.inheritance(ctx)
	if err != nil {
		return fmt.Errorf("forget: %w", err)
	}
	if inherited && (published || !m.used) {
		return nil
	}
	name := m.source.config.SlotName
	now, err := lookSlot(ctx, m.db, name)
	if err != nil {
		return fmt.Errorf("forget: %w", err)
	}
	// What belongs to another database, or to another plugin, is not what the source has read.
	if now.exists && now.plugin == plugin && now.database == m.at.config.Database {
		if err := m.checkUse(ctx, &now); err != nil {
			return err
		}
		if !inherited {
			if err := m.dropSlot(ctx); err != nil {
				return err
			}
		}
	}
	if !published {
		if err := m.dropPublication(ctx); err != nil {
			return err
		}
	}
	if inherited {
		return nil
	}
	c := checkpoint{slot: name, db: m.db}
	return c.forget(ctx)
}

// checkUse finds out whether the slot may be somebody else's.
func (m *remains) checkUse(ctx context.Context, now *slot) error {
	lost := now.status == "lost"
	switch {
	case !m.used && !lost:
		return m.left("this app has not used it since it was started, and it may be somebody else's")
	case now.holder.Valid:
		return &inUseError{fmt.Sprintf("process %d of the server", now.holder.Int64)}
	case lost:
		return nil
	}
	// A source that holds because no stream is open has a connection for replication, and no slot that is active.
	var mine []string
	for _, info := range m.source.settings.Inspector.Sources() {
		if info.State == api.StateRunning && info.Slot != m.source.config.SlotName {
			mine = append(mine, info.Slot)
		}
	}
	var strangers int
	err := m.db.QueryRowContext(ctx, `
		SELECT (SELECT count(*) FROM pg_stat_replication r JOIN pg_stat_activity a USING (pid) WHERE a.datname = current_database()
				AND NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid))
			- (SELECT count(*) FROM pg_replication_slots WHERE database = current_database() AND active_pid IS NULL AND slot_name = ANY($1))`,
		mine).Scan(&strangers)
	if err != nil {
		return fmt.Errorf("forget: look who holds slot %q: %w", m.source.config.SlotName, classify(ctx, err))
	}
	if strangers > 0 {
		return &inUseError{"somebody else, as it seems: the database has another connection for replication, which may hold it without reading"}
	}
	return nil
}

func (m *remains) dropSlot(ctx context.Context) error {
	name := m.source.config.SlotName
	_, err := m.db.ExecContext(ctx, "SELECT pg_drop_replication_slot($1)", name)
	if busy(err) {
		return &inUseError{"somebody else"}
	}
	if err != nil {
		return fmt.Errorf("drop slot %q: %w", name, classify(ctx, err))
	}
	return nil
}

// ownPublication is the name of the publication that is made for a slot.
func ownPublication(slot string) string { return publicationOf(&api.PostgresConfig{SlotName: slot}) }

// dropPublication drops the publication that was made for the slot, now or when the entry had tables. One that the entry
// names, or that somebody else has made, is not its own.
func (m *remains) dropPublication(ctx context.Context) error {
	name := ownPublication(m.source.config.SlotName)
	if m.source.config.Publication == name {
		return nil
	}
	var own bool
	err := m.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = $1 AND pg_has_role(pubowner, 'USAGE'))", name).Scan(&own)
	if err == nil && own {
		_, err = m.db.ExecContext(ctx, "DROP PUBLICATION IF EXISTS "+quote(name))
	}
	if err != nil {
		return fmt.Errorf("drop publication %q: %w", name, classify(ctx, err))
	}
	return nil
}

// inheritance finds out whether an heir goes on with the slot, and whether one reads the publication made for it.
func (m *remains) inheritance(ctx context.Context) (inherited, published bool, err error) {
	for _, heir := range m.heirs {
		same, err := m.reachedBy(ctx, heir)
		if err != nil {
			return false, false, fmt.Errorf("find out whether another entry goes on with the slot: %w", err)
		}
		if same {
			inherited = true
			published = published || publicationOf(heir) == ownPublication(heir.SlotName)
		}
	}
	return inherited, published, nil
}

// reachedBy finds out whether a configuration leads to the slot.
func (m *remains) reachedBy(ctx context.Context, config *api.PostgresConfig) (bool, error) {
	there, err := New(m.source.id, config, m.source.settings).endpoint()
	if err != nil {
		return false, err
	}
	here, other := m.at.config, there.config
	if config.SlotName != m.source.config.SlotName || here.Database != other.Database {
		return false, nil
	}
	if here.Host == other.Host && here.Port == other.Port {
		return true, nil
	}
	db := there.side()
	defer func() { _ = db.Close() }()
	was, err := identity(ctx, m.db)
	if err != nil {
		return false, fmt.Errorf("connect to %s: %w", m.at.settings, err)
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
