package postgres_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/internal/pgtest"
	cdcpostgres "github.com/wippy-cdc/runtime/service/cdc/postgres"
)

// journal keeps what a source logs.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String returns what was logged.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// logged declares a source and returns it, together with what it will log.
func (h *house) logged(config *api.PostgresConfig) (*subject, *journal) {
	h.t.Helper()
	require.NoError(h.t, config.Validate())
	h.catalog.Declare(cdcpostgres.New(cdcID, config, h.settings()))
	log := new(journal)
	settings := h.settings()
	settings.Logger = slog.New(slog.NewTextHandler(log, nil))
	return h.subject(cdcID, config, settings), log
}

// While the server decodes it answers nothing. It is made to decode for long by a lock that it waits for.
func TestAServerThatWorksInSilenceIsNotTakenForGone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	c.StatusInterval = unit.Duration(time.Hour)
	running := h.serve(h.source(c))
	s := h.subscribe(api.StreamOptions{})
	h.insert(1)
	take(t, s, 1)
	conn, err := h.Pool.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close() //nolint:errcheck // its transaction ends with it
	_, err = conn.ExecContext(t.Context(), "BEGIN; LOCK TABLE pg_publication_rel IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	h.exec("INSERT INTO orders VALUES (1, 'x')")
	waiting := func() string {
		return h.Text(t, `SELECT wait_event_type FROM pg_stat_activity JOIN pg_replication_slots ON pid = active_pid
			WHERE slot_name = $1`, h.Name)
	}
	eventually(t, func() bool { return waiting() == "Lock" }, "the server decodes")
	h.exec("SELECT pg_sleep(9)") // longer than a server may be silent that does nothing
	select {
	case err := <-running.ended:
		require.NoError(t, err)
	default:
	}
	require.Equal(t, "Lock", waiting(), "by the same process")
	_, err = conn.ExecContext(t.Context(), "COMMIT")
	require.NoError(t, err)
	h.insert(2)
	require.Equal(t, []int64{2}, ids(t, s, 1))
}

func TestKeepalivesAreAnsweredWhileTheSourceWaitsForRoom(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	c.LogBytes, c.StandbyInterval = unit.MiB, unit.Duration(time.Hour)
	c.Options = map[string]string{"wal_sender_timeout": "9s"}
	running := h.serve(h.source(c))
	h.exec("ALTER TABLE users ALTER name SET STORAGE PLAIN")
	const transactions = 1000
	h.exec(`CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..1000 LOOP
		INSERT INTO users VALUES (i, repeat('x', 5000)); COMMIT; END LOOP; END $$`)
	h.exec("CALL fill()")
	s := h.subscribe(api.StreamOptions{})
	// More replies than fit into the time-out: one that was due comes for each change that is taken.
	taken, last := 1, ""
	require.Equal(t, int64(1), take(t, s, 1)[0].After[0].Int64())
	for range 5 {
		eventually(t, func() bool {
			reply := h.Text(t, `SELECT reply_time FROM pg_stat_replication JOIN pg_replication_slots ON pid = active_pid
				WHERE slot_name = $1`, h.Name)
			if reply == "" || reply == last {
				return false
			}
			last = reply
			return true
		}, "the server hears of the source while that waits for room")
		taken++
		require.Equal(t, int64(taken), take(t, s, 1)[0].After[0].Int64())
	}
	for taken < transactions {
		taken++
		require.Equal(t, int64(taken), take(t, s, 1)[0].After[0].Int64(), "nothing is repeated")
	}
	require.NoError(t, running.stop())
}

func TestASourceThatCommitsWaitForSaysSo(t *testing.T) {
	t.Parallel()
	h := in(t, pgtest.NewServer(t, nil))
	source, log := h.logged(h.config("users"))
	h.serve(source)
	s := h.subscribe(api.StreamOptions{})
	h.insert(1)
	take(t, s, 1)
	require.NotContains(t, log.String(), "synchronous")
	h.exec("ALTER SYSTEM SET synchronous_standby_names = '*'")
	h.exec("SELECT pg_reload_conf()")
	eventually(t, func() bool { return strings.Contains(log.String(), "for a synchronous standby") }, "it says so")
	require.Contains(t, log.String(), "application_name=wippy")
	h.exec("ALTER SYSTEM RESET synchronous_standby_names")
	h.exec("SELECT pg_reload_conf()")
}
