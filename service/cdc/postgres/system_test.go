package postgres_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/pgtest"
	cdcpostgres "github.com/wippy-cdc/runtime/service/cdc/postgres"
)

// older skips a test on servers before a version.
func (h *house) older(t *testing.T, than int) bool {
	t.Helper()
	version, err := strconv.Atoi(h.Text(t, "SHOW server_version_num"))
	require.NoError(t, err)
	return version < than*10000
}

// on returns a house on another server with the same tables.
func (h *house) on(db *pgtest.Database) *house {
	other := h.another()
	other.Database = db
	return other
}

// generation is what cursors of the server must have.
func (h *house) generation(timeline int64) string {
	h.t.Helper()
	system, err := strconv.ParseUint(h.Text(h.t, "SELECT system_identifier::text FROM pg_control_system()"), 10, 64)
	require.NoError(h.t, err)
	return strconv.FormatUint(system, 16) + strconv.FormatInt(timeline, 16)
}

// follow waits until the standby has everything that the primary has.
func (h *house) follow(standby *house) {
	h.t.Helper()
	end := h.walEnd()
	eventually(h.t, func() bool {
		return standby.Text(h.t, "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn", end) == "true"
	}, "the standby follows")
}

func TestACheckpointOfAnotherServerIsNotUsed(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ lsn, system string }{
		"beyond the end of the WAL":     {"'50/0'", "(SELECT system_identifier FROM pg_control_system()) || '/1'"},
		"of another system":             {"pg_current_wal_lsn()", "'4711/1'"},
		"of a timeline that never came": {"pg_current_wal_lsn()", "(SELECT system_identifier FROM pg_control_system()) || '/2'"},
		"of no system":                  {"pg_current_wal_lsn()", "NULL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			c := h.config("users")
			c.Snapshot = true
			require.NoError(t, h.serve(h.source(c)).stop())
			h.insert(1, 2, 3)
			h.exec(`CREATE TABLE IF NOT EXISTS wippy_cdc_offsets
				(slot text PRIMARY KEY, lsn pg_lsn NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(), system text)`)
			for _, slot := range []string{h.Name, h.Name + "/snapshot"} {
				h.exec("INSERT INTO wippy_cdc_offsets VALUES ('" + slot + "', " + row.lsn + ", DEFAULT, " + row.system +
					") ON CONFLICT (slot) DO UPDATE SET lsn = excluded.lsn, system = excluded.system")
			}
			h.insert(4)
			source, log := h.logged(c)
			running := h.serve(source)
			require.Contains(t, log.String(), "the checkpoint is not used")
			require.Equal(t, []int64{1, 2, 3, 4}, ids(t, h.subscribe(api.StreamOptions{Start: api.Live()}), 4))
			require.NoError(t, running.stop())
			require.Equal(t, "true", h.Text(t, `SELECT lsn <= pg_current_wal_lsn()
				AND system = (SELECT system_identifier FROM pg_control_system()) || '/1' FROM wippy_cdc_offsets`))

			h.serve(h.source(c))
			s := h.subscribe(api.StreamOptions{})
			require.Equal(t, api.OpSnapshot, take(t, s, 4)[3].Op, "nor was the bootstrap delivered by this server")
		})
	}
}

func TestACheckpointWithoutTheColumnGetsIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec("CREATE TABLE wippy_cdc_offsets (slot text PRIMARY KEY, lsn pg_lsn NOT NULL, updated_at timestamptz NOT NULL DEFAULT now())")
	source := h.source(h.config("users"))
	running := h.serve(source)
	s := h.subscribe(api.StreamOptions{})
	h.insert(1)
	ids(t, s, 1)
	require.NoError(t, running.stop())
	require.Equal(t, "1", h.Text(t, "SELECT count(system) FROM wippy_cdc_offsets"))
}

func TestAPromotedServerHasAnotherGeneration(t *testing.T) {
	t.Parallel()
	primary := in(t, pgtest.NewServer(t, nil))
	standby := primary.on(primary.Standby(t, nil))
	c := primary.config("users")
	running := primary.serve(primary.source(c))
	require.Equal(t, primary.generation(1), primary.info().Generation)
	require.NoError(t, running.stop())
	primary.follow(standby)

	_, c.Port, _, _ = standby.Address()
	if standby.older(t, 16) {
		err := standby.refusal(c)
		require.ErrorContains(t, err, "the server is a standby, and standbys can be read from version 16 on")
		require.True(t, errs.Retryable(err))
	}
	standby.exec("SELECT pg_promote()")
	standby.serve(standby.source(c))
	require.Equal(t, standby.generation(2), standby.info().Generation)
	s := standby.subscribe(api.StreamOptions{})
	standby.insert(2)
	require.Equal(t, standby.generation(2), take(t, s, 1)[0].Transaction.Generation)
}

func TestAStandbyThatIsReadIsPromoted(t *testing.T) {
	t.Parallel()
	primary := in(t, pgtest.NewServer(t, nil))
	if primary.older(t, 16) {
		t.Skip("standbys can be read from version 16 on")
	}
	standby := primary.on(primary.Standby(t, nil))
	c := standby.config("users")
	c.Publication, c.Tables = "mine", nil
	require.False(t, errs.Retryable(standby.refusal(c)), "it does not exist")
	c.Publication, c.Tables = "", []string{"users"}
	err := standby.refusal(c)
	require.ErrorContains(t, err, "the publication can be made and changed on the primary only")
	require.True(t, errs.Retryable(err))

	require.NoError(t, primary.serve(primary.source(primary.config("users"))).stop())
	primary.follow(standby)
	logging, ended := context.WithCancel(t.Context())
	log := make(chan struct{})
	go func() { // a slot on a standby waits for what a primary writes now and then
		defer close(log)
		for logging.Err() == nil {
			_, _ = primary.Pool.ExecContext(logging, "SELECT pg_log_standby_snapshot(), pg_sleep(0.1)")
		}
	}()
	running := standby.serve(standby.source(c))
	ended()
	<-log
	s := standby.subscribe(api.StreamOptions{})
	primary.insert(1)
	require.Equal(t, standby.generation(1), take(t, s, 1)[0].Transaction.Generation)
	standby.exec("SELECT pg_promote()")
	err = standby.faulted(running)
	require.ErrorContains(t, err, "the server was promoted: its timeline is 2, and was 1")
	require.True(t, errs.Retryable(err))
	standby.serve(standby.source(c))
	s = standby.subscribe(api.StreamOptions{})
	standby.insert(2)
	for c := take(t, s, 1)[0]; c.After[0].Int64() != 2; c = take(t, s, 1)[0] { // what was not confirmed comes again
		require.Equal(t, standby.generation(2), c.Transaction.Generation)
	}
}

func TestASourceWaitsForThePromotionOfItsStandby(t *testing.T) {
	t.Parallel()
	primary := in(t, pgtest.NewServer(t, nil))
	if primary.older(t, 17) {
		t.Skip("slots fail over from version 17 on")
	}
	primary.exec("SELECT pg_create_physical_replication_slot('standby')")
	standby := primary.on(primary.Standby(t, map[string]string{"primary_slot_name": "standby", "hot_standby_feedback": "on"}))
	c := primary.config("users")
	c.Failover, c.Snapshot = true, true
	running := primary.serve(primary.source(c))
	s := primary.subscribe(api.StreamOptions{})
	primary.insert(1)
	require.Equal(t, []int64{1}, ids(t, s, 1))
	eventually(t, func() bool {
		primary.exec("SELECT pg_log_standby_snapshot()")
		_, _ = standby.Pool.ExecContext(t.Context(), "SELECT pg_sync_replication_slots()") // it may be too early
		return standby.Text(t, "SELECT count(*) FROM pg_replication_slots WHERE synced AND NOT temporary") == "1"
	}, "the standby has the slot")
	primary.insert(2)
	require.Equal(t, []int64{2}, ids(t, s, 1))
	require.NoError(t, running.stop())
	primary.follow(standby)

	_, c.Port, _, _ = standby.Address()
	for range 2 {
		err := standby.refusal(c)
		require.ErrorContains(t, err, "on which slot \""+c.SlotName+"\" follows that of the primary and cannot be read")
		require.True(t, errs.Retryable(err))
	}
	standby.exec("SELECT pg_promote()")
	standby.serve(standby.source(c))
	s = standby.subscribe(api.StreamOptions{})
	standby.insert(3)
	require.Equal(t, []int64{3}, ids(t, s, 1), "the checkpoint of before the promotion counts")
}

// The state of a server may change between the look and the reading.
func TestAServerThatCannotReadASlotYetIsTriedAgain(t *testing.T) {
	t.Parallel()
	require.True(t, errs.Retryable(cdcpostgres.Refused("55000")))
	require.False(t, errs.Retryable(cdcpostgres.Refused("0A000")))
}
