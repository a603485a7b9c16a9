package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
)

// system is the history that positions belong to: a server, and its timeline, which changes when it is promoted.
type system struct {
	id       string
	timeline int32
}

// identify asks the server of a replication connection which system it is, and how far its WAL reaches. The functions of
// SQL know the timeline of the last checkpoint only, which a server that was just promoted has yet to make.
func identify(ctx context.Context, conn *pgconn.PgConn) (system, pglogrepl.LSN, error) {
	now, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return system{}, 0, classify(ctx, err)
	}
	return system{now.SystemID, now.Timeline}, now.XLogPos, nil
}

// generation names the system in cursors.
func (s system) generation() string {
	id, err := strconv.ParseUint(s.id, 10, 64)
	if err != nil {
		return s.id + "-" + strconv.FormatInt(int64(s.timeline), 16)
	}
	return strconv.FormatUint(id, 16) + strconv.FormatInt(int64(s.timeline), 16)
}

// String writes the system as the checkpoint has it.
func (s system) String() string { return fmt.Sprintf("%s/%d", s.id, s.timeline) }

// parseSystem reads what String has written, and the zero system from anything else.
func parseSystem(text string) system {
	id, number, _ := strings.Cut(text, "/")
	timeline, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return system{}
	}
	return system{id, int32(timeline)}
}

// recognise returns how far the WAL of the server reaches. It fails if the server is not the one that the run began with:
// positions and generation are not those of another, or of one that was promoted.
func (r *run) recognise(ctx context.Context, conn *pgconn.PgConn) (pglogrepl.LSN, error) {
	now, end, err := identify(ctx, conn)
	switch {
	case err != nil:
		return 0, err
	case now.id != r.system.id:
		return 0, errs.New(errs.Unavailable, "another server answers: its system identifier is %s, and was %s", now.id, r.system.id)
	case now.timeline != r.system.timeline:
		return 0, errs.New(errs.Unavailable, "the server was promoted: its timeline is %d, and was %d", now.timeline, r.system.timeline)
	}
	return end, nil
}

// checkPromotion finds out whether a standby that is being read was promoted. The connection that reads cannot be asked.
func (r *run) checkPromotion(ctx context.Context) error {
	if !r.server.standby {
		return nil
	}
	conn, err := r.endpoint.replication(ctx)
	if err == nil {
		defer hangUp(ctx, conn)
		_, err = r.recognise(ctx, conn)
		return err
	}
	return nil // it is looked at again
}

// checkStandby says what a standby cannot do for the source yet. When it is promoted, or when the address leads to the
// primary again, that changes by itself.
func (r *run) checkStandby(ctx context.Context) error {
	if !r.server.standby {
		return nil
	}
	config := r.source.config
	now, err := lookSlot(ctx, r.db, config.SlotName)
	if err != nil {
		return err
	}
	const cure = "let the address of the source lead to the primary, or promote this server: SELECT pg_promote()"
	switch {
	case now.synced || config.Failover:
		return errs.New(errs.Unavailable, "the server is a standby, on which slot %q follows that of the primary and cannot be read: "+cure, config.SlotName)
	case r.server.version < 160000:
		return errs.New(errs.Unavailable, "the server is a standby, and standbys can be read from version 16 on: "+cure)
	}
	return nil
}

// onStandby says of an error of a standby, if it is that the standby does not do what a primary does, that it may not last.
func (r *run) onStandby(err error) error {
	if err == nil || !r.server.standby {
		return err
	}
	switch sqlstate.Code(err) {
	case readOnlyTransaction:
		return errs.New(errs.Unavailable, "the server is a standby, and the publication can be made and changed on the primary only: "+
			"start the source there once, or name a publication that exists: %w", err)
	case "55000": // object_not_in_prerequisite_state
		return errs.New(errs.Unavailable, "the server is a standby: %w", err)
	default:
		return err
	}
}

// within reports whether a position of an earlier timeline belongs to the history of this server, and where that has left
// the timeline, 0 if it never was on it.
func (s system) within(ctx context.Context, conn *pgconn.PgConn, of system, lsn pglogrepl.LSN) (belongs bool, left pglogrepl.LSN, err error) {
	if of.timeline == s.timeline {
		return true, 0, nil
	}
	if of.timeline > s.timeline {
		return false, 0, nil
	}
	history, err := pglogrepl.TimelineHistory(ctx, conn, s.timeline)
	if err != nil {
		if sqlstate.Code(err) != "" {
			return false, 0, nil // the server does not have the file any more
		}
		return false, 0, classify(ctx, err)
	}
	for line := range strings.Lines(string(history.Content)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != strconv.Itoa(int(of.timeline)) {
			continue
		}
		if left, err = pglogrepl.ParseLSN(fields[1]); err == nil {
			return lsn <= left, left, nil
		}
	}
	return false, 0, nil
}
