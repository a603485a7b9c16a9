//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	cdcsqlite "github.com/wippy-cdc/runtime/service/cdc/sqlite"
)

// offsets is a row of the table of checkpoints.
type offsets struct {
	lastSeq int64
	done    int64
	updated string
}

func (h *house) offsets(id registry.ID) (o offsets, ok bool) {
	h.t.Helper()
	err := h.db.Pool().QueryRowContext(h.t.Context(),
		"SELECT last_seq, snapshot_done, updated_at FROM wippy_cdc_offsets WHERE source = ?", id.String()).Scan(&o.lastSeq, &o.done, &o.updated)
	if err != nil {
		require.ErrorIs(h.t, err, sql.ErrNoRows)
	}
	return o, err == nil
}

func (h *house) info() api.SourceInfo {
	h.t.Helper()
	info, ok := h.catalog.Source(cdcID)
	require.True(h.t, ok)
	return info
}

func (h *house) user(name string) { h.exec("INSERT INTO users(name) VALUES (?)", name) }

// bootstrapping returns the configuration of a source whose streams begin with a snapshot by default.
func bootstrapping() *api.SQLiteConfig {
	c := config()
	c.Snapshot = true
	return c
}

func TestSequenceGoesOnAfterARestart(t *testing.T) {
	h := newHouse(t)
	source := h.source(cdcID, config())
	run := h.serve(source)
	require.Empty(t, h.info().LSN)
	for range 3 {
		h.user("x")
	}
	require.NoError(t, run.stop())
	row, ok := h.offsets(cdcID)
	require.True(t, ok)
	require.Equal(t, int64(3), row.lastSeq)
	require.Zero(t, row.done)
	at, err := time.Parse(time.RFC3339, row.updated)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), at, time.Minute)

	h.reopenDB()
	run = h.serve(source)
	require.Equal(t, "3", h.info().LSN)
	s := h.subscribe(cdcID, api.StreamOptions{})
	h.user("y")
	require.Equal(t, "4", take(t, s, 1)[0].Transaction.LSN)
	require.NoError(t, run.stop())
	row, _ = h.offsets(cdcID)
	require.Equal(t, int64(4), row.lastSeq)
}

func TestNumbersAreNotUsedAgainAfterACrash(t *testing.T) {
	h := newHouse(t)
	source := h.source(cdcID, config())
	run := h.serve(source)
	h.user("x")
	require.NoError(t, run.stop())
	for _, crash := range []struct {
		ago   time.Duration
		least uint64
	}{{10 * time.Second, 10_000_000}, {0, 1_000_000}, {-time.Hour, 1_000_000}} {
		before, _ := h.offsets(cdcID)
		h.exec("UPDATE wippy_cdc_offsets SET updated_at = ?", time.Now().Add(-crash.ago).UTC().Format("2006-01-02T15:04:05.000000Z"))
		run = h.serve(source)
		s := h.subscribe(cdcID, api.StreamOptions{})
		h.user("y")
		sequence := take(t, s, 1)[0].Transaction.Sequence
		require.Greater(t, sequence, uint64(before.lastSeq)+crash.least)
		require.Less(t, sequence, uint64(before.lastSeq)+crash.least+100_000_000)
		require.NoError(t, run.stop())
		after, _ := h.offsets(cdcID)
		require.Equal(t, int64(sequence), after.lastSeq)
	}
}

func TestCheckpointIsWrittenWhileTheSourceRuns(t *testing.T) {
	h := newHouse(t)
	c := config()
	c.StatusInterval = unit.Duration(100 * time.Millisecond)
	h.serve(h.source(cdcID, c))
	s := h.subscribe(cdcID, api.StreamOptions{Schema: true})
	begun, ok := h.offsets(cdcID)
	require.True(t, ok, "from the beginning")
	h.user("x")
	require.Eventually(t, func() bool {
		row, _ := h.offsets(cdcID)
		return row.lastSeq == 1
	}, 10*time.Second, 20*time.Millisecond)
	after, _ := h.offsets(cdcID)
	require.Greater(t, after.updated, begun.updated)
	h.user("y")
	require.Equal(t, []string{"1.0 insert users -> 1 x <nil> !", "2.0 insert users -> 2 y <nil> !"}, lines(take(t, s, 2)),
		"checkpoints are no changes")
}

func TestSourceBootstrapsOnce(t *testing.T) {
	h := newHouse(t)
	h.user("first")
	h.user("second")
	source := h.source(cdcID, bootstrapping())
	run := h.serve(source)
	require.True(t, h.info().Snapshot)
	byDefault := func() string { return h.firstOp(api.StreamOptions{}, 1) }

	require.Equal(t, "snapshot", byDefault(), "but it was not read to its end")
	require.NoError(t, run.stop())
	row, _ := h.offsets(cdcID)
	require.Zero(t, row.done)
	run = h.serve(source)
	require.Equal(t, "snapshot", byDefault())
	require.Equal(t, "insert", h.firstOp(api.StreamOptions{Start: api.Live()}, 1))
	require.Equal(t, "snapshot", h.firstOp(always, 6), "read to its end, but not by default")
	require.Equal(t, "snapshot", h.firstOp(api.StreamOptions{}, 7))
	require.Eventually(t, func() bool {
		row, _ := h.offsets(cdcID)
		return row.done == 1
	}, 10*time.Second, 10*time.Millisecond, "at once, not with the next status")
	require.Equal(t, "insert", byDefault())
	require.Equal(t, "snapshot", h.firstOp(always, 1))
	require.NoError(t, run.stop())
	h.reopenDB()
	run = h.serve(source)
	require.Equal(t, "insert", byDefault())
	require.Equal(t, "snapshot", h.firstOp(always, 1))
	require.NoError(t, run.stop())

	require.NoError(t, cdcsqlite.New(cdcID, bootstrapping(), h.directory).External().Release(t.Context()))
	_, ok := h.offsets(cdcID)
	require.False(t, ok)
	h.serve(source)
	require.Equal(t, "snapshot", byDefault())
	require.Equal(t, "1", h.info().LSN)
}

// firstOp opens a stream, inserts a row, reads n changes, closes the stream and returns the first change's operation.
func (h *house) firstOp(opts api.StreamOptions, n int) string {
	h.t.Helper()
	s := h.subscribe(cdcID, opts)
	defer s.Close()
	h.user("x")
	return string(take(h.t, s, n)[0].Op)
}

func TestBootstrapOfAnEmptySource(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, bootstrapping()))
	s := h.subscribe(cdcID, api.StreamOptions{})
	_, err := s.Poll()
	require.NoError(t, err)
	h.user("x")
	require.Equal(t, []string{"1.0 insert users -> 1 x <nil> !"}, lines(take(t, s, 1)))
	s = h.subscribe(cdcID, api.StreamOptions{})
	h.user("y")
	require.Equal(t, []string{"2.0 insert users -> 2 y <nil> !"}, lines(take(t, s, 1)), "it has been bootstrapped")
}

func TestSourceGoesOnWithoutACheckpoint(t *testing.T) {
	h := newHouse(t)
	h.exec("CREATE TABLE wippy_cdc_offsets (something, odd)")
	h.user("first")
	run := h.serve(h.source(cdcID, bootstrapping()))
	require.ErrorContains(t, h.info().CheckpointErr, `cdc: source "app:cdc": read wippy_cdc_offsets: `)
	require.Equal(t, "snapshot", h.firstOp(api.StreamOptions{}, 1))
	require.Equal(t, api.StateRunning, h.info().State)
	require.NoError(t, h.info().Err)
	require.Positive(t, h.catalog.Stats()[0].CheckpointFailures)
	require.NoError(t, run.stop())

	readOnly := newHouse(t)
	readOnly.config.Options = map[string]string{"query_only": "1"}
	readOnly.reopenDB()
	run = readOnly.serve(readOnly.source(cdcID, bootstrapping()))
	s := readOnly.subscribe(cdcID, api.StreamOptions{})
	require.ErrorContains(t, readOnly.info().CheckpointErr, "attempt to write a readonly database")
	s.Close()
	require.NoError(t, run.stop())
}

func TestCheckpointIsWrittenWhenTheLockIsFreeAgain(t *testing.T) {
	h := newHouse(t)
	other, err := sql.Open("sqlite3", "file:"+h.dir+"/app.db")
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close()) }()
	locker, err := other.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, locker.Close()) }()
	_, err = locker.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	c := config()
	c.StatusInterval = unit.Duration(100 * time.Millisecond)
	h.serve(h.source(cdcID, c))
	require.ErrorContains(t, h.info().CheckpointErr, "locked")
	_, err = locker.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return h.info().CheckpointErr == nil }, 10*time.Second, 20*time.Millisecond)
	_, ok := h.offsets(cdcID)
	require.True(t, ok)
}

func TestStopDoesNotWaitForAnOpenTransaction(t *testing.T) {
	h := newHouse(t)
	run := h.serve(h.source(cdcID, config()))
	tx, err := h.db.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	begun := time.Now()
	require.NoError(t, run.stop())
	require.Less(t, time.Since(begun), 5*time.Second)
	require.NoError(t, tx.Rollback())
	row, ok := h.offsets(cdcID)
	require.True(t, ok)
	require.Contains(t, row.updated, ".", "it does not look stopped in good order")
}

func TestSourceOfADatabaseInMemoryHasNoCheckpoint(t *testing.T) {
	h := newHouse(t, inMemory)
	h.user("first")
	source := h.source(cdcID, bootstrapping())
	for n := range 2 {
		run := h.serve(source)
		require.NoError(t, h.info().CheckpointErr)
		require.Equal(t, "snapshot", h.firstOp(api.StreamOptions{}, n+1), "each run bootstraps")
		require.Equal(t, "insert", h.firstOp(api.StreamOptions{}, 1))
		h.exec("DELETE FROM users WHERE id > ?", n+2)
		require.NoError(t, run.stop())
	}
	tables, err := query(t.Context(), h.db.Pool(), "SELECT * FROM sqlite_schema WHERE name = 'wippy_cdc_offsets'")
	require.NoError(t, err)
	require.Empty(t, tables)
	require.NoError(t, cdcsqlite.New(cdcID, config(), h.directory).External().Release(t.Context()))
}

func TestReleaseWhatIsNotThere(t *testing.T) {
	h := newHouse(t)
	require.NoError(t, cdcsqlite.New(cdcID, config(), h.directory).External().Release(t.Context()), "there is no table")
	other := registry.ID{Namespace: "app", Name: "other"}
	require.NoError(t, h.serve(h.source(other, config())).stop())
	require.NoError(t, cdcsqlite.New(cdcID, config(), h.directory).External().Release(t.Context()))
	_, ok := h.offsets(other)
	require.True(t, ok)
	h.withdraw()
	err := cdcsqlite.New(cdcID, config(), h.directory).External().Release(t.Context())
	require.ErrorContains(t, err, `cdc: source "app:cdc": release: db_resource: `)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
}
