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
	// retained is how much WAL the server keeps for the slot, -1 if that is not known.
	retained            int64
	temporary, twoPhase bool
	// failover and reason, why the slot is lost, are told by version 17 and newer.
	failover bool
	reason   string
	// synced is whether a standby keeps it in step with that of its primary.
	synced bool
}

// lookSlot looks a slot up.
func lookSlot(ctx context.Context, db *sql.DB, name string) (slot, error) {
	s := slot{exists: true}
	err := db.QueryRowContext(ctx, `
		SELECT coalesce(plugin, ''), coalesce(database, ''), coalesce(wal_status, ''), coalesce(confirmed_flush_lsn, '0/0'),
			coalesce(restart_lsn, '0/0'), active_pid,
			coalesce(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END,
				restart_lsn), -1)::bigint,
			temporary, coalesce((to_jsonb(s)->>'two_phase')::bool, false),
			coalesce((to_jsonb(s)->>'failover')::bool, false), coalesce(to_jsonb(s)->>'invalidation_reason', ''),
			pg_is_in_recovery() AND coalesce((to_jsonb(s)->>'synced')::bool, false)
		FROM pg_replication_slots s WHERE slot_name = $1`, name).
		Scan(&s.plugin, &s.database, &s.status, &s.confirmed, &s.restarts, &s.holder,
			&s.retained, &s.temporary, &s.twoPhase, &s.failover, &s.reason, &s.synced)
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
	case s.twoPhase:
		return errs.New(errs.Invalid, "slot %q was made for two-phase commits: choose another slot_name, or drop it", name)
	case s.database != database:
		return errs.New(errs.Invalid, "slot %q belongs to database %q: choose another slot_name", name, s.database)
	case s.status == "lost":
		return errInvalidated(name, s.reason)
	default:
		return nil
	}
}

// notTemporary says why a slot that exists is not the temporary one of a source.
func (s *slot) notTemporary(ctx context.Context, db *sql.DB, name string) error {
	if s.temporary {
		return errBusy(ctx, db, name)
	}
	return errs.New(errs.Invalid, "temporary: slot %q exists, and is not temporary: type SELECT pg_drop_replication_slot(%s), "+
		"or choose another slot_name", name, literal(name))
}

// errInvalidated says that the server has given a slot up, mostly because it has removed WAL that the slot needs. No
// restart cures that. The reasons are those of https://www.postgresql.org/docs/current/view-pg-replication-slots.html.
func errInvalidated(name, reason string) error {
	why, cure := "the server has removed WAL that it needs", "to keep more WAL, raise max_slot_wal_keep_size"
	switch reason {
	case "", "wal_removed":
	case "idle_timeout":
		why, cure = "it was not read for as long as idle_replication_slot_timeout allows", "to keep slots that are not read, set that to 0"
	default:
		why, cure = "the server has given it up ("+reason+")", "see pg_replication_slots in the manual of the server"
	}
	return errs.New(errs.Invalid, "slot %q is lost: %s, and the changes in it cannot be had any more; "+
		"type SELECT pg_drop_replication_slot(%s), start the source again, and read a snapshot; %s", name, why, literal(name), cure)
}

// checkFailover says whether slots of the server can fail over, if one is to.
func checkFailover(version int, config *api.PostgresConfig) error {
	if config.Failover && version < 170000 {
		return errs.New(errs.Invalid, "failover: the server is version %d, and slots fail over from version 17 on: remove the field failover", version/10000)
	}
	return nil
}

// letFailOver marks a slot that exists, see https://www.postgresql.org/docs/current/protocol-replication.html.
func letFailOver(ctx context.Context, conn *pgconn.PgConn, db *sql.DB, name string) error {
	_, err := conn.Exec(ctx, "ALTER_REPLICATION_SLOT "+quote(name)+" (FAILOVER true)").ReadAll()
	if busy(err) {
		return errBusy(ctx, db, name)
	}
	if err != nil {
		return fmt.Errorf("let slot %q fail over: %w", name, classify(ctx, err))
	}
	return nil
}

// createSlot makes the slot on conn, which a temporary one belongs to, and returns the position that it begins at.
func createSlot(ctx context.Context, conn *pgconn.PgConn, config *api.PostgresConfig) (pglogrepl.LSN, error) {
	action := "NOEXPORT_SNAPSHOT"
	if config.Failover {
		action = "(SNAPSHOT 'nothing', FAILOVER true)"
	}
	made, err := pglogrepl.CreateReplicationSlot(ctx, conn, quote(config.SlotName), plugin,
		pglogrepl.CreateReplicationSlotOptions{Temporary: config.Temporary, Mode: pglogrepl.LogicalReplication, SnapshotAction: action})
	if err != nil {
		return 0, fmt.Errorf("create slot %q: %w", config.SlotName, classify(ctx, err))
	}
	return pglogrepl.ParseLSN(made.ConsistentPoint)
}

// busy reports whether err says that another connection uses the slot.
func busy(err error) bool { return sqlstate.Code(err) == "55006" }

// errBusy says which connection uses a slot.
func errBusy(ctx context.Context, db *sql.DB, name string) error {
	var pid int
	var client string
	err := db.QueryRowContext(ctx, `
		SELECT s.active_pid, coalesce(a.application_name, '') || coalesce(' from ' || a.client_addr::text, '')
		FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
		WHERE s.slot_name = $1 AND s.active_pid IS NOT NULL`, name).Scan(&pid, &client)
	if err != nil {
		return errs.New(errs.Unavailable, "slot %q is in use by another connection", name)
	}
	return errs.New(errs.Unavailable, "slot %q is in use by process %d of the server (%s): stop it, or choose another slot_name", name, pid, client)
}
