package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/internal/pgtest"
	"github.com/wippy-cdc/runtime/service/cdc/source"
)

// faulted waits until a source has ended by itself, and returns why.
func (h *house) faulted(running *served) error {
	h.t.Helper()
	select {
	case err := <-running.ended:
		require.Error(h.t, err)
		running.ended <- err
		return err
	case <-time.After(patience):
		require.Fail(h.t, "the source goes on")
		return nil
	}
}

// another returns a house on the same database, for another source.
func (h *house) another() *house {
	return &house{Database: h.Database, t: h.t, catalog: source.NewCatalog(), directory: h.directory}
}

func TestABootstrapIsDueWhenTheSlotWasMadeAnew(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.insert(1)
	c := h.config("users")
	c.Snapshot = true
	source := h.source(c)
	running := h.serve(source)
	s := h.subscribe(api.StreamOptions{})
	h.insert(2)
	take(t, s, 2)
	require.NoError(t, running.stop())
	h.exec("SELECT pg_drop_replication_slot('" + h.Name + "')")
	h.insert(3)
	require.NoError(t, h.serve(source).stop(), "no stream reads it")
	h.serve(source)
	require.Equal(t, []int64{1, 2, 3}, ids(t, h.subscribe(api.StreamOptions{}), 3))
}

func TestABootstrapIsDueWhenItIsAskedForLater(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	running := h.serve(h.source(c))
	s := h.subscribe(api.StreamOptions{})
	h.insert(1)
	take(t, s, 1)
	require.NoError(t, running.stop())
	c.Snapshot = true
	h.serve(h.source(c))
	require.Equal(t, []string{"0 snapshot users -> 1 x !"}, lines(take(t, h.subscribe(api.StreamOptions{}), 1)))
}

func TestWhatWasNotHandedOverByAStoppedSourceComesOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	source := h.source(h.config("users"))
	running := h.serve(source)
	s := h.subscribe(api.StreamOptions{})
	h.insert(1, 2, 3, 4, 5)
	require.Equal(t, []int64{1}, ids(t, s, 1))
	require.NoError(t, running.stop())
	_, err := s.Next(t.Context())
	require.ErrorContains(t, err, "was stopped or replaced")
	h.serve(source)
	require.Equal(t, []int64{2, 3, 4, 5}, ids(t, h.subscribe(api.StreamOptions{}), 4))
}

func TestAPublicationThatIsYoungerThanTheSlot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	require.NoError(t, h.serve(h.source(c)).stop())
	h.insert(1)
	h.exec("CREATE PUBLICATION mine FOR TABLE users")
	c.Tables, c.Publication = nil, "mine"
	running := h.serve(h.source(c))
	s, _ := h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{})
	if h.Text(t, "SHOW server_version_num") >= "180000" { // such servers leave out what the publication did not have then
		_, err := s.Next(t.Context())
		require.ErrorContains(t, err, `changes were lost: publication "mine" did not exist when they were made`)
		require.True(t, errs.Retryable(err))
		s = h.subscribe(api.StreamOptions{})
		h.insert(2)
		require.Equal(t, []int64{2}, ids(t, s, 1))
		return
	}
	err := h.faulted(running)
	require.ErrorContains(t, err, `has yet to read what is older than publication "mine"`)
	require.False(t, errs.Retryable(err))
}

func TestATableThatIsReplacedIsNotLostSilently(t *testing.T) {
	t.Parallel()
	for name, statements := range map[string]string{
		"dropped":  "DROP TABLE users; CREATE TABLE users (id bigint PRIMARY KEY, name text)",
		"renamed":  "ALTER TABLE users RENAME TO former; CREATE TABLE users (LIKE former INCLUDING ALL)",
		"narrowed": "ALTER PUBLICATION %s_pub SET TABLE users (id)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			if name == "narrowed" {
				if h.Text(t, "SHOW server_version_num") < "150000" {
					t.Skip("publications are whole before version 15")
				}
				statements = fmt.Sprintf(statements, h.Name)
			}
			source := h.source(h.config("users"))
			running := h.serve(source)
			s := h.subscribe(api.StreamOptions{})
			h.exec(statements)
			require.Regexp(t, "a table was dropped, renamed or replaced|was dropped or replaced|was renamed to|had left the publication", h.faulted(running))
			_, err := s.Next(t.Context())
			require.True(t, errs.Retryable(err), err)
			h.serve(source)
			s = h.subscribe(api.StreamOptions{})
			h.insert(7)
			require.Equal(t, []string{"0 insert users -> 7 x !"}, lines(take(t, s, 1)))
		})
	}
}

func TestASnapshotDoesNotMissRowsSilently(t *testing.T) {
	t.Parallel()
	for name, statements := range map[string]string{
		"rewritten": "ALTER TABLE orders ALTER id TYPE bigint",
		"truncated": "TRUNCATE orders",
		"swapped":   "ALTER TABLE orders RENAME TO former; CREATE TABLE orders (LIKE former INCLUDING ALL)",
		"dropped":   "DROP TABLE orders",
		"detached":  "ALTER TABLE parts DETACH PARTITION part_1",
		"grown":     "CREATE TABLE part_2 PARTITION OF parts FOR VALUES IN (2)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.exec(`CREATE TABLE aaa (id int PRIMARY KEY); INSERT INTO aaa SELECT n FROM generate_series(1, 1000) n; INSERT INTO orders VALUES (1, 'tea');
				CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE part_1 PARTITION OF parts FOR VALUES IN (1); INSERT INTO parts VALUES (1)`)
			c := h.config("aaa", "orders", "parts")
			c.SnapshotFetchSize, c.StatusInterval = 100, unit.Duration(time.Hour) // the snapshot is to notice it by itself
			h.serve(h.source(c))
			s := h.subscribe(api.StreamOptions{Start: api.Snapshot(), Buffer: 1})
			take(t, s, 1)
			h.exec(statements)
			var err error
			for err == nil {
				_, err = s.Next(t.Context())
			}
			require.ErrorContains(t, err, "before the snapshot came to it")
			require.True(t, errs.Retryable(err))
		})
	}
}

func TestPoliciesDoNotThinSnapshotsSilently(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	role := h.Name + "_w"
	h.Role(t, role, "open-sesame", "REPLICATION")
	c := h.config()
	h.exec("INSERT INTO users VALUES (1, 'a'), (2, 'b'); ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON users USING (id = 1); " +
		"GRANT SELECT ON ALL TABLES IN SCHEMA public TO " + role)
	c.Username, c.Password = role, "open-sesame"
	h.serve(h.source(c))
	s := h.subscribe(api.StreamOptions{Start: api.Snapshot()})
	_, err := s.Next(t.Context())
	require.ErrorContains(t, err, "row-level security")
}

func TestTimeoutsOfTheServerDoNotEndOurConnections(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec("INSERT INTO users SELECT n, 'x' FROM generate_series(1, 3000) n")
	h.exec("ALTER DATABASE " + h.Name + " SET idle_in_transaction_session_timeout = '200ms'; ALTER DATABASE " + h.Name + " SET statement_timeout = '500ms'")
	if h.Text(t, "SHOW server_version_num") >= "140000" {
		h.exec("ALTER DATABASE " + h.Name + " SET idle_session_timeout = '300ms'")
	}
	c := h.config("users")
	c.SnapshotFetchSize, c.StandbyInterval = 100, unit.Duration(10*time.Second)
	h.serve(h.source(c))
	s := h.subscribe(api.StreamOptions{Start: api.Snapshot(), Buffer: 1})
	take(t, s, 1)
	require.Never(t, func() bool { return h.info().State != api.StateRunning }, time.Second, 50*time.Millisecond)
	take(t, s, 2999)
	s.Close()
	require.Never(t, func() bool { return h.info().State != api.StateRunning }, time.Second, 50*time.Millisecond)
}

func TestStoppingASourceDoesNotWaitForASnapshotToBegin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	running := h.serve(h.source(h.config("users")))
	conn, err := h.Pool.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close() //nolint:errcheck // its transaction ends with it
	_, err = conn.ExecContext(t.Context(), "BEGIN; INSERT INTO orders VALUES (1, 'x')")
	require.NoError(t, err)
	subscribed := make(chan error, 1)
	go func() {
		_, err := h.catalog.Subscribe(context.Background(), cdcID, api.StreamOptions{Start: api.Snapshot()})
		subscribed <- err
	}()
	eventually(t, func() bool {
		return h.Text(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'wippy_snapshot_%' AND database = current_database()") == "1"
	}, "it waits for the transaction")
	require.NoError(t, running.stop())
	require.ErrorContains(t, <-subscribed, "was stopped or replaced")
	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
}

func TestOptionsDoNotChangeHowValuesAreWritten(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec("CREATE TABLE v (id int PRIMARY KEY, a timestamptz, b interval)")
	for i := range 4 {
		c := h.config("v")
		c.SlotName += fmt.Sprint("_", i)
		c.Options = map[string]string{"timezone": "Asia/Tokyo", "datestyle": "German", "INTERVALSTYLE": "iso_8601"}
		o := h.another()
		running := o.serve(o.source(c))
		s := o.subscribe(api.StreamOptions{})
		h.exec(fmt.Sprintf("INSERT INTO v VALUES (%d, '2026-01-31 10:11:12+00', '1 day 2 hours')", i))
		require.Equal(t, " 2026-01-31 10:11:12+00 1 day 02:00:00", image(take(t, s, 1)[0].After[1:]))
		require.NoError(t, running.stop())
	}
}

func TestALockedCheckpointHoldsUpNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.serve(h.source(h.config("users")))
	s := h.subscribe(api.StreamOptions{})
	h.insert(1)
	take(t, s, 1)
	eventually(t, func() bool { return h.Text(t, "SELECT to_regclass('wippy_cdc_offsets')") != "" }, "it is there")
	conn, err := h.Pool.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close() //nolint:errcheck // its transaction ends with it
	_, err = conn.ExecContext(t.Context(), "BEGIN; LOCK TABLE wippy_cdc_offsets IN EXCLUSIVE MODE")
	require.NoError(t, err)
	n := 1
	eventually(t, func() bool {
		n++
		h.insert(n)
		take(t, s, 1)
		return h.info().CheckpointErr != nil
	}, "it says so")
	require.Equal(t, api.StateRunning, h.info().State)
	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	eventually(t, func() bool { return h.info().CheckpointErr == nil }, "it is written again")
}

func TestASlotThatGoesWhileTheSourceHolds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	running := h.serve(h.source(h.config("users")))
	h.exec("SELECT pg_drop_replication_slot('" + h.Name + "')")
	require.ErrorContains(t, h.faulted(running), "is gone: it was dropped")

	lost := in(t, pgtest.NewServer(t, map[string]string{"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}))
	running = lost.serve(lost.source(lost.config("users")))
	for range 4 {
		lost.exec("SELECT pg_switch_wal(); CREATE TABLE x AS SELECT 1; DROP TABLE x; CHECKPOINT")
	}
	err := lost.faulted(running)
	require.ErrorContains(t, err, "is lost: the server has removed WAL that it needs")
	require.False(t, errs.Retryable(err))
}

func TestAStreamThatTakesNothingHoldsUpTheBacklogOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	c.LogBytes = unit.MiB
	h.serve(h.source(c))
	h.exec("ALTER TABLE users ALTER name SET STORAGE PLAIN")
	h.exec(`CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..1000 LOOP
		INSERT INTO users VALUES (i, repeat('x', 5000)); COMMIT; END LOOP; END $$`)
	h.exec("CALL fill()")
	stuck, fast := h.subscribe(api.StreamOptions{}), h.subscribe(api.StreamOptions{})
	take(t, fast, 1000)
	var err error
	for err == nil {
		_, err = stuck.Next(t.Context())
	}
	require.ErrorContains(t, err, "stream fell behind")
}

func TestSlotsOfOtherKinds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	require.NoError(t, h.serve(h.source(c)).stop())
	c.Temporary = true
	require.ErrorContains(t, h.refusal(c), "exists, and is not temporary: type SELECT pg_drop_replication_slot('"+h.Name+"')")
	c.Temporary, c.SlotName = false, h.Name+"_two"
	if h.Text(t, "SHOW server_version_num") >= "140000" {
		h.exec("SELECT pg_create_logical_replication_slot('" + c.SlotName + "', 'pgoutput', false, true)")
		require.ErrorContains(t, h.refusal(c), "was made for two-phase commits: choose another slot_name, or drop it")
	}
}
