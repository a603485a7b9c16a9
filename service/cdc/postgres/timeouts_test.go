package postgres_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// hurry sets all time-outs that end what waits or idles to less than anything below takes, whatever this version of the
// server calls them.
func (h *house) hurry() {
	h.t.Helper()
	h.exec(`DO $$ DECLARE name text; BEGIN
		FOR name IN SELECT s.name FROM pg_settings s WHERE s.name LIKE '%timeout%' AND s.context = 'user'
				AND s.name NOT IN ('wal_sender_timeout', 'tcp_user_timeout') LOOP
			EXECUTE format('ALTER DATABASE %I SET %I = ''400ms''', current_database(), name);
		END LOOP; END $$`)
}

// begin begins a transaction that waits for nothing, and returns what ends it.
func (h *house) begin(statements string) (commit func()) {
	h.t.Helper()
	conn, err := h.Pool.Conn(h.t.Context())
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = conn.Close() })
	var noTimeouts sql.NullString
	require.NoError(h.t, conn.QueryRowContext(h.t.Context(), `SELECT count(set_config(name, '0', false)) FROM pg_settings
		WHERE name LIKE '%timeout%' AND context = 'user'`).Scan(&noTimeouts))
	_, err = conn.ExecContext(h.t.Context(), "BEGIN; "+statements)
	require.NoError(h.t, err)
	return func() {
		h.t.Helper()
		_, err := conn.ExecContext(h.t.Context(), "COMMIT")
		require.NoError(h.t, err)
		require.NoError(h.t, conn.Close())
	}
}

// waitForLock waits until a session has waited for a lock for longer than any time-out of hurry lets it.
func (h *house) waitForLock() {
	h.t.Helper()
	conn, err := h.Pool.Conn(h.t.Context())
	require.NoError(h.t, err)
	defer conn.Close() //nolint:errcheck // it is not used again
	_, err = conn.ExecContext(h.t.Context(), "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
	require.NoError(h.t, err)
	eventually(h.t, func() bool {
		var waits bool
		err := conn.QueryRowContext(h.t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > '800ms')`).Scan(&waits)
		return err == nil && waits
	}, "it waits for a lock, and goes on waiting")
}

func TestTimeoutsOfTheServerDoNotEndWhatMustWait(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.hurry()
	c := h.config("users")
	c.StatusInterval = unit.Duration(time.Hour) // which lets the side connection idle
	source := h.source(c)
	publishing, writing := h.begin("LOCK TABLE users IN SHARE UPDATE EXCLUSIVE MODE"), h.begin("INSERT INTO orders VALUES (1, 'x')")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- source.Serve(ctx, func() { close(ready) }) }()
	h.waitForLock() // for the publication
	publishing()
	h.waitForLock() // for the slot
	writing()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		require.NoError(t, err)
	}
	defer func() { cancel(); require.NoError(t, <-ended) }()

	writing = h.begin("INSERT INTO users VALUES (1, 'x')")
	subscribed := make(chan api.Stream, 1)
	go func() {
		defer close(subscribed)
		s, err := h.catalog.Subscribe(ctx, cdcID, api.StreamOptions{Start: api.Snapshot()})
		if err != nil {
			t.Error(err)
			return
		}
		subscribed <- s
	}()
	h.waitForLock() // for the snapshot
	writing()
	s, open := <-subscribed
	require.True(t, open)
	defer s.Close()
	require.Equal(t, []string{"0 snapshot users -> 1 x !"}, lines(take(t, s, 1)))
	h.waitForNothing()
	_, err := h.Pool.ExecContext(t.Context(), "INSERT INTO users VALUES (2, 'x')")
	require.NoError(t, err)
	require.Equal(t, []int64{2}, ids(t, s, 1))
}

// waitForNothing lets sessions idle for longer than any time-out of hurry lets them.
func (h *house) waitForNothing() {
	h.t.Helper()
	eventually(h.t, func() bool {
		var idle bool
		err := h.Pool.QueryRowContext(h.t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND backend_type = 'client backend' AND state = 'idle' AND clock_timestamp() - state_change > '800ms')`).Scan(&idle)
		return err == nil && idle
	}, "a session of the source idles, and goes on")
}
