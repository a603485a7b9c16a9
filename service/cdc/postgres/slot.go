package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
)

// plugin is what sends the changes; it comes with every server.
const plugin = "pgoutput"

// slot is a replication slot as the server describes it.
type slot struct {
	exists              bool
	plugin, database    string
	status              string
	confirmed, restarts pglogrepl.LSN
	holder              sql.NullInt64
}

// lookSlot looks a slot up.
func lookSlot(ctx context.Context, db *sql.DB, name string) (slot, error) {
	s := slot{exists: true}
	err := db.QueryRowContext(ctx, `
		SELECT coalesce(plugin, ''), coalesce(database, ''), coalesce(wal_status, ''), coalesce(confirmed_flush_lsn, '0/0'),
			coalesce(restart_lsn, '0/0'), active_pid
		FROM pg_replication_slots WHERE slot_name = $1`, name).
		Scan(&s.plugin, &s.database, &s.status, &s.confirmed, &s.restarts, &s.holder)
	if errors.Is(err, sql.ErrNoRows) {
		return slot{}, nil
	}
	return s, classify(ctx, err)
}

// usable says what is wrong with a slot that exists.
func (s *slot) usable(name, database string) error {
	switch {
	case s.plugin != plugin:
		return errs.New(errs.Invalid, "slot %q is not one of %s: choose another slot_name, or drop it", name, plugin)
	case s.database != database:
		return errs.New(errs.Invalid, "slot %q belongs to database %q: choose another slot_name", name, s.database)
	case s.status == "lost":
		return errInvalidated(name)
	default:
		return nil
	}
}

// errInvalidated says that the server has removed WAL that the slot needs. No restart cures that.
func errInvalidated(name string) error {
	return errs.New(errs.Invalid, "slot %q is lost: the server has removed WAL that it needs, and the changes in it cannot be had any more; "+
		"type SELECT pg_drop_replication_slot(%s), start the source again, and read a snapshot; "+
		"to keep more WAL, raise max_slot_wal_keep_size", name, literal(name))
}

// createSlot makes the slot on conn, which a temporary one belongs to, and returns the position that it begins at.
func createSlot(ctx context.Context, conn *pgconn.PgConn, version int, config *api.PostgresConfig) (pglogrepl.LSN, error) {
	action := "NOEXPORT_SNAPSHOT"
	if config.Failover {
		if version < 170000 {
			return 0, errs.New(errs.Invalid, "failover: the server is version %d, and slots fail over from version 17 on: remove the field failover", version/10000)
		}
		action = "(SNAPSHOT 'nothing', FAILOVER true)"
	}
	made, err := pglogrepl.CreateReplicationSlot(ctx, conn, quote(config.SlotName), plugin,
		pglogrepl.CreateReplicationSlotOptions{Temporary: config.Temporary, Mode: pglogrepl.LogicalReplication, SnapshotAction: action})
	if err != nil {
		return 0, fmt.Errorf("create slot %q: %w", config.SlotName, classify(ctx, err))
	}
	return pglogrepl.ParseLSN(made.ConsistentPoint)
}

// busy reports whether err says that somebody else uses the slot.
func busy(err error) bool { return sqlstate.Code(err) == "55006" }

// errBusy says who uses a slot.
func errBusy(ctx context.Context, db *sql.DB, name string) error {
	var pid int
	var who string
	err := db.QueryRowContext(ctx, `
		SELECT s.active_pid, coalesce(a.application_name, '') || coalesce(' from ' || a.client_addr::text, '')
		FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
		WHERE s.slot_name = $1 AND s.active_pid IS NOT NULL`, name).Scan(&pid, &who)
	if err != nil {
		return errs.New(errs.Unavailable, "slot %q is in use by somebody else", name)
	}
	return errs.New(errs.Unavailable, "slot %q is in use by process %d of the server (%s): stop it, or choose another slot_name", name, pid, who)
}
