package postgres

import (
	"context"
	"database/sql"
	"strings"
	"time"
)

const (
	// A source that waits for this long for transactions to end says for which, and says it again each waitingAgain.
	waitingFirst = 2 * time.Second
	waitingAgain = 30 * time.Second
)

// openTransactions describes the transactions that the server waits for before it makes a slot: all that have written
// and not ended, also in other databases, the oldest first, and those that were prepared. Every role may see which
// process holds the lock of a transaction, though not since when.
func openTransactions(ctx context.Context, db *sql.DB) (string, error) {
	rows, err := db.QueryContext(ctx, `
		SELECT CASE WHEN l.pid IS NULL THEN 'prepared ' || coalesce(quote_literal(p.gid), '') || coalesce(' of ' || p.owner, '') ||
				coalesce(' in ' || p.database, '') || coalesce(' since ' || date_trunc('second', p.prepared), '')
			ELSE 'process ' || l.pid || coalesce(' of ' || a.usename, '') || coalesce(' in ' || a.datname, '') ||
				coalesce(' (' || nullif(a.application_name, '') || ')', '') || coalesce(' since ' || date_trunc('second', a.xact_start), '')
			END
		FROM (SELECT pid, min(transactionid::text::bigint) AS xid FROM pg_locks
				WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid()
				GROUP BY pid, CASE WHEN pid IS NULL THEN transactionid::text END) l
			LEFT JOIN pg_stat_activity a ON a.pid = l.pid
			LEFT JOIN pg_prepared_xacts p ON l.pid IS NULL AND p.transaction::text::bigint = l.xid
		ORDER BY l.xid LIMIT 10`)
	if err != nil {
		return "", err
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return "", err
		}
		all = append(all, one)
	}
	return strings.Join(all, ", "), rows.Err()
}

// tellWaiting logs what the making of a slot waits for, until stop is called.
func (r *run) tellWaiting(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		timer := time.NewTimer(waitingFirst)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			timer.Reset(waitingAgain)
			if open, err := openTransactions(ctx, r.db); err == nil && open != "" {
				r.source.logger().WarnContext(ctx, "the server makes the slot when the transactions that are open have ended: "+
					"end them, or COMMIT PREPARED or ROLLBACK PREPARED those that are prepared",
					"slot", r.source.config.SlotName, "open", open)
			}
		}
	}()
	return func() { cancel(); <-done }
}
