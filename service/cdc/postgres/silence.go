package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/internal/sqlstate"
)

const (
	// After so many standby intervals without a message, but not before this time, the source asks what keeps the server.
	silentIntervals = 6
	leastSilence    = 5 * time.Second
	// The server gives a receiver up that says nothing for wal_sender_timeout. A status is sent so many times in it.
	statusesPerTimeout = 3
)

// silence tells a server that works, and therefore says nothing, from one that is gone.
type silence struct {
	// lasted is for how long reading, or a look-up, has waited in vain since the last message. What else the source has
	// done meanwhile does not count: a message may have been there.
	lasted time.Duration
	// suspected says that the server did not answer, or did not seem to work, when it was asked last.
	suspected bool
}

func (s *silence) heard() { *s = silence{} }

// senderTimeout asks for the wal_sender_timeout of the replication connection, 0 if there is none.
func (r *run) senderTimeout(ctx context.Context) (time.Duration, error) {
	results, err := r.conn.Exec(ctx, "SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'").ReadAll()
	if err != nil {
		return 0, classify(ctx, err)
	}
	milliseconds, err := strconv.ParseInt(string(results[0].Rows[0][0]), 10, 64)
	return time.Duration(milliseconds) * time.Millisecond, err
}

// statusInterval is how often the server is told what was confirmed: often enough for its wal_sender_timeout.
func (rx *receiver) statusInterval() time.Duration {
	interval := rx.source.config.StandbyInterval.Std()
	if rx.timeout > 0 {
		interval = min(interval, rx.timeout/statusesPerTimeout)
	}
	return interval
}

// bear finds out whether a server that has been silent for long is at work. While its process for this slot decodes a
// large transaction of which nothing is sent, it answers nothing. A process that waits for messages would have answered.
// Only what is found twice, with a request in between, counts: the process may have ended its work just now.
func (rx *receiver) bear(ctx context.Context) error {
	if rx.silence.lasted <= max(leastSilence, silentIntervals*rx.source.config.StandbyInterval.Std()) {
		return nil
	}
	working, err := rx.senderWorks(ctx)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case working:
		rx.silence.suspected = false
		return nil
	case sqlstate.Code(err) != "" && (rx.timeout == 0 || rx.silence.lasted <= rx.timeout):
		return nil // the server is there, and does not tell
	case !rx.silence.suspected:
		rx.silence.suspected = true
		return nil
	}
	return errs.New(errs.Unavailable, "the server has not answered for %s", rx.silence.lasted.Round(time.Second))
}

// senderWorks reports whether the server's process that reads the slot does something else than wait for messages.
func (r *run) senderWorks(ctx context.Context) (works bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	err = r.db.QueryRowContext(ctx, `
		SELECT EXISTS (SELECT FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
			WHERE s.slot_name = $1 AND coalesce(a.wait_event_type, '') NOT IN ('Activity', 'Client'))`,
		r.source.config.SlotName).Scan(&works)
	return works, err
}

// warnOfSynchrony says, once, that the server's commits wait for this source.
func (rx *receiver) warnOfSynchrony(ctx context.Context) {
	if rx.synchronous.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var name, names string
	err := rx.db.QueryRowContext(ctx, `
		SELECT r.application_name, current_setting('synchronous_standby_names')
		FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
		WHERE s.slot_name = $1 AND r.sync_state IN ('sync', 'quorum')`, rx.source.config.SlotName).Scan(&name, &names)
	if err != nil {
		return // it is no synchronous standby, or it is looked at again
	}
	rx.synchronous.Store(true)
	rx.positions.forgo() // a checkpoint would wait for what is confirmed
	rx.source.logger().WarnContext(ctx, "the server takes this source for a synchronous standby: every commit waits until "+
		"the streams have taken it and that is confirmed, for a standby_interval or longer; name the real standbys in "+
		"synchronous_standby_names, neither * nor the application_name of the source",
		"slot", rx.source.config.SlotName, "application_name", name, "synchronous_standby_names", names)
}
