package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// confirmed returns what the server knows to be confirmed.
func (h *house) confirmed() string {
	h.t.Helper()
	return h.Text(h.t, "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1", h.Name)
}

// reached reports whether everything before lsn is confirmed.
func (h *house) reached(lsn string) bool {
	h.t.Helper()
	return h.Text(h.t, "SELECT confirmed_flush_lsn >= $2::pg_lsn FROM pg_replication_slots WHERE slot_name = $1", h.Name, lsn) == "true"
}

func (h *house) walEnd() string { h.t.Helper(); return h.Text(h.t, "SELECT pg_current_wal_lsn()") }

func (h *house) insert(ids ...int) {
	h.t.Helper()
	for _, id := range ids {
		h.exec(fmt.Sprintf("INSERT INTO users VALUES (%d, 'x')", id))
	}
}

// ids takes changes and returns the IDs of their rows.
func ids(t *testing.T, s api.Stream, n int) []int64 {
	t.Helper()
	all := make([]int64, n)
	for i, c := range take(t, s, n) {
		all[i] = c.After[0].Int64()
	}
	return all
}

func TestNothingIsConfirmedBeforeItWasTaken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.serve(h.source(h.config("users")))
	fast, slow := h.subscribe(api.StreamOptions{}), h.subscribe(api.StreamOptions{})
	h.insert(1, 2, 3)
	one := take(t, fast, 3)[0].Transaction
	ids(t, slow, 1)
	eventually(t, func() bool { return h.reached(one.LSN) }, "the first was taken by both")
	two := h.confirmed()
	h.insert(4) // time for several statuses
	ids(t, fast, 1)
	for range 3 {
		h.insert(5)
		h.exec("DELETE FROM users WHERE id = 5")
		take(t, fast, 2)
	}
	require.Equal(t, two, h.confirmed(), "the slow one has not taken the second")
	end := h.walEnd()
	slow.Close()
	eventually(t, func() bool { return h.reached(end) }, "the fast one has taken everything")
}

func TestACleanRestartRepeatsNothingAndMissesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	source := h.source(h.config("users"))
	running := h.serve(source)
	s := h.subscribe(api.StreamOptions{})
	h.insert(1, 2, 3)
	require.Equal(t, []int64{1, 2, 3}, ids(t, s, 3))
	first := h.info().Generation
	require.NoError(t, running.stop())
	_, err := s.Next(t.Context())
	require.EqualError(t, err, `cdc: source "app:cdc" was stopped or replaced; resubscribe once it runs`)
	require.Equal(t, "1", h.Text(t, "SELECT count(*) FROM wippy_cdc_offsets WHERE slot = $1", h.Name))
	h.insert(4)

	running = h.serve(source)
	h.insert(5)
	s = h.subscribe(api.StreamOptions{})
	h.insert(6)
	require.Equal(t, []int64{4, 5, 6}, ids(t, s, 3))
	require.Equal(t, first, h.info().Generation, "cursors can be compared")
	s.Close()
	require.NoError(t, running.stop())
	running = h.serve(source)
	s = h.subscribe(api.StreamOptions{})
	h.insert(7)
	require.Equal(t, []int64{7}, ids(t, s, 1))
	require.NoError(t, running.stop())
}

func TestWhatWasNotTakenComesAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.serve(h.source(h.config("users")))
	h.insert(1)
	s := h.subscribe(api.StreamOptions{})
	h.insert(2, 3)
	before := take(t, s, 3)
	s.Close()
	h.insert(4, 5)
	for range 3 {
		s = h.subscribe(api.StreamOptions{})
		eventually(t, func() bool { c, err := s.Poll(); require.NoError(t, err); return c != nil }, "4 comes")
		s.Close() // 4 was taken, 5 was not
		h.exec("UPDATE users SET name = 'y' WHERE id = 5")
		s = h.subscribe(api.StreamOptions{})
		again := take(t, s, 2)
		require.Equal(t, int64(5), again[0].After[0].Int64())
		require.Equal(t, api.OpUpdate, again[1].Op)
		require.Less(t, before[2].Cursor(), again[0].Cursor())
		s.Close()
		h.exec("DELETE FROM users WHERE id IN (4, 5)")
		s = h.subscribe(api.StreamOptions{})
		take(t, s, 2)
		s.Close()
		h.insert(4, 5)
	}
}

func TestWhileNoStreamIsOpenTheSlotHolds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.serve(h.source(h.config("users")))
	start := h.confirmed()
	h.exec("INSERT INTO users SELECT n, repeat('x', 1000) FROM generate_series(1, 2000) n")
	eventually(t, func() bool {
		stats := h.catalog.Stats()
		return len(stats) == 1 && stats[0].RetainedWALBytes != nil && *stats[0].RetainedWALBytes > int64(unit.MiB)
	}, "the figures tell what the server keeps")
	require.Equal(t, start, h.confirmed())
	s := h.subscribe(api.StreamOptions{})
	require.Len(t, take(t, s, 2000), 2000)
}

func TestDiscardReadsOnWithoutStreams(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	c.OnIdle = "discard"
	h.serve(h.source(c))
	h.insert(1, 2)
	end := h.walEnd()
	eventually(t, func() bool { return h.reached(end) }, "it is confirmed although no stream took it")
	s := h.subscribe(api.StreamOptions{})
	h.insert(3)
	require.Equal(t, []int64{3}, ids(t, s, 1))
}

func TestIdleDatabasesAndOtherTablesAdvanceTheSlot(t *testing.T) {
	t.Parallel()
	for _, streaming := range []bool{false, true} {
		h := newHouse(t)
		c := h.config("users")
		c.Streaming = streaming
		h.serve(h.source(c))
		s := h.subscribe(api.StreamOptions{Tables: []string{"users"}})
		h.exec("INSERT INTO orders SELECT n, 'x' FROM generate_series(1, 5000) n")
		end := h.walEnd()
		eventually(t, func() bool { return h.reached(end) }, "changes of other tables are passed")
		h.insert(1)
		undelivered := h.walEnd()
		h.exec("INSERT INTO orders SELECT n, 'x' FROM generate_series(5001, 10000) n")
		require.Never(t, func() bool { return h.reached(undelivered) }, 500e6, 50e6, "not past what was not taken")
		ids(t, s, 1)
		eventually(t, func() bool { return h.reached(undelivered) }, "it was taken")
	}
}

func TestABacklogLargerThanAllLimitsIsReadWhole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	c.LogBytes = unit.MiB
	h.serve(h.source(c))
	h.exec("ALTER TABLE users ALTER name SET STORAGE PLAIN")
	const transactions = 1000
	h.exec(fmt.Sprintf(`CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..%d LOOP
		INSERT INTO users VALUES (i, repeat('x', 5000)); COMMIT; END LOOP; END $$`, transactions))
	h.exec("CALL fill()")
	s := h.subscribe(api.StreamOptions{})
	for i, c := range take(t, s, transactions) {
		require.Equal(t, int64(i+1), c.After[0].Int64())
		require.True(t, c.Last)
	}
}

func TestATemporarySlotLivesAsLongAsItsSource(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	c.Temporary = true
	running := h.serve(h.source(c))
	require.Equal(t, "true", h.Text(t, "SELECT temporary FROM pg_replication_slots WHERE slot_name = $1", h.Name))
	for i := range 3 {
		s := h.subscribe(api.StreamOptions{})
		h.insert(i)
		require.Equal(t, []int64{int64(i)}, ids(t, s, 1))
		s.Close()
	}
	require.NoError(t, running.stop())
	eventually(t, func() bool {
		return h.Text(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", h.Name) == "0"
	}, "it has gone with its connection")
}

func TestTheSourceGoesOnWithoutItsCheckpoint(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec("CREATE VIEW wippy_cdc_offsets AS SELECT 1 AS slot")
	running := h.serve(h.source(h.config()))
	_ = running
	s := h.subscribe(api.StreamOptions{})
	h.insert(1)
	ids(t, s, 1)
	eventually(t, func() bool { return h.info().CheckpointErr != nil }, "it says so")
	h.exec("DROP VIEW wippy_cdc_offsets")
	eventually(t, func() bool { return h.info().CheckpointErr == nil }, "it is written now")
	h.insert(2)
	require.Equal(t, []int64{2}, ids(t, s, 1), "the checkpoint is no change")
}

// A checkpoint that only has to wait is no reason to let the server forget what it does not say yet.
func TestNothingIsConfirmedWhileTheCheckpointHasToWait(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	c.StatusInterval = unit.Duration(time.Hour)
	h.serve(h.source(c))
	s := h.subscribe(api.StreamOptions{})
	h.insert(1)
	first := take(t, s, 1)[0].Transaction.LSN
	eventually(t, func() bool { return h.reached(first) }, "it is written, and confirmed")
	tx, err := h.Pool.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer tx.Rollback() //nolint:errcheck // it has written nothing
	_, err = tx.ExecContext(t.Context(), "LOCK TABLE wippy_cdc_offsets IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	h.insert(2)
	second := take(t, s, 1)[0].Transaction.LSN
	eventually(t, func() bool { return h.info().CheckpointErr != nil }, "it cannot be written")
	for range 3 {
		replied := func() string {
			return h.Text(t, "SELECT reply_time::text FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE s.slot_name = $1", h.Name)
		}
		before := replied()
		eventually(t, func() bool { return replied() != before }, "there is another status")
	}
	require.False(t, h.reached(second), "the checkpoint does not say it")
	require.NoError(t, tx.Rollback())
	eventually(t, func() bool { return h.reached(second) }, "it is written now")
	eventually(t, func() bool { return h.info().CheckpointErr == nil }, "and says so")
}
