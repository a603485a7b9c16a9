package postgres

import (
	"context"
	"database/sql"

	"github.com/wippy-cdc/runtime/api/errs"
)

// server is what a source has to know of its server.
type server struct {
	// version is that of the server, for instance 150003.
	version int
	// standby is whether it follows a primary, and was not promoted.
	standby bool
}

// inspect finds out whether the server can do what a source needs.
func inspect(ctx context.Context, db *sql.DB) (server, error) {
	var s server
	var level, user string
	var allowed bool
	err := db.QueryRowContext(ctx, `
		SELECT current_setting('server_version_num')::int, current_setting('wal_level'), current_user,
			(SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)
				OR pg_has_role(current_user, (SELECT oid FROM pg_roles WHERE rolname = 'rds_replication'), 'member') IS TRUE,
			pg_is_in_recovery()`,
	).Scan(&s.version, &level, &user, &allowed, &s.standby)
	switch {
	case err != nil:
		return s, classify(ctx, err)
	case s.version < 130000:
		return s, errs.New(errs.Invalid, "the server is version %d, and 13 is the oldest that is supported", s.version/10000)
	case level != "logical":
		return s, errs.New(errs.Invalid, "wal_level is %s: set wal_level = logical in postgresql.conf (or by ALTER SYSTEM) and restart the server", level)
	case !allowed:
		return s, errs.New(errs.PermissionDenied, "role %q may not replicate: type ALTER ROLE %s REPLICATION as a superuser", user, quote(user))
	}
	return s, nil
}

// checkRoom finds out whether another slot, if one is needed, and another sender fit.
func checkRoom(ctx context.Context, db *sql.DB, needsSlot bool) error {
	for _, limit := range []struct {
		setting, used string
		needed        bool
	}{
		{"max_replication_slots", "SELECT count(*) FROM pg_replication_slots", needsSlot},
		{"max_wal_senders", "SELECT count(*) FROM pg_stat_replication", true},
	} {
		var most, used int
		err := db.QueryRowContext(ctx, "SELECT current_setting($1)::int, ("+limit.used+")", limit.setting).Scan(&most, &used)
		if err != nil {
			return classify(ctx, err)
		}
		if limit.needed && used >= most {
			return errs.New(errs.Unavailable, "%s is %d, and all are in use: raise it and restart the server, or free one", limit.setting, most)
		}
	}
	return nil
}
