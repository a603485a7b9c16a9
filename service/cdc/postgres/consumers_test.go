package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// written returns what the table says of a consumer, "" if it says nothing.
func (h *house) written(name string) string {
	h.t.Helper()
	if h.Text(h.t, "SELECT to_regclass('wippy_cdc_offsets')::text") == "" {
		return ""
	}
	return h.Text(h.t, "SELECT max(lsn)::text || ' ' || max(change) FROM wippy_cdc_offsets WHERE slot = $1", h.Name+"/consumer/"+name)
}

func (h *house) consume(name string, opts api.StreamOptions) api.Stream {
	h.t.Helper()
	opts.Consumer = name
	return h.subscribe(opts)
}

func TestTheSlotConfirmsWhatTheSlowestConsumerHasAcknowledged(t *testing.T) {
	t.Parallel()
	for _, onIdle := range []string{"hold", "discard"} {
		h := newHouse(t)
		c := h.config("users")
		c.AckInterval, c.OnIdle = unit.Duration(100*time.Millisecond), onIdle
		source := h.source(c)
		running := h.serve(source)
		fast, slow := h.consume("fast", api.StreamOptions{}), h.consume("slow", api.StreamOptions{})
		h.insert(1, 2, 3)
		changes := take(t, fast, 3)
		require.NoError(t, fast.Ack(changes[2].Position()))
		require.NoError(t, slow.Ack(take(t, slow, 3)[1].Position()))
		eventually(t, func() bool { return h.reached(changes[0].Transaction.LSN) }, "both have acknowledged the first")
		slow.Close()
		plain := h.subscribe(api.StreamOptions{})
		for n := 10; n < 15; n++ { // time for several statuses
			h.insert(n)
			require.NoError(t, fast.Ack(take(t, fast, 1)[0].Position()))
			require.Equal(t, []int64{int64(n)}, ids(t, plain, 1))
		}
		require.False(t, h.reached(changes[2].Transaction.LSN), "the slow one may come back")
		require.NoError(t, running.stop())
		running = h.serve(source)
		slow = h.consume("slow", api.StreamOptions{})
		require.Equal(t, []int64{3, 10, 11, 12, 13, 14}, ids(t, slow, 6))
		end := h.walEnd()
		require.NoError(t, h.catalog.Forget(t.Context(), cdcID, "slow"))
		fast = h.consume("fast", api.StreamOptions{})
		h.insert(20)
		require.NoError(t, fast.Ack(take(t, fast, 1)[0].Position()))
		eventually(t, func() bool {
			c, err := fast.Poll() // it comes back
			require.NoError(t, err)
			require.Nil(t, c)
			return h.reached(end)
		}, "it is forgotten")
		require.NoError(t, running.stop())
	}
}

func TestAConsumerWithNothingToDoDoesNotHoldTheSlot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config()
	c.AckInterval = unit.Duration(100 * time.Millisecond)
	running := h.serve(h.source(c))
	s := h.consume("one", api.StreamOptions{Tables: []string{"users"}})
	h.exec("INSERT INTO orders SELECT n, 'x' FROM generate_series(1, 100) n")
	end := h.walEnd()
	eventually(t, func() bool { return h.reached(end) }, "changes of other tables are passed")
	s.Close()
	h.exec("CREATE UNLOGGED TABLE elsewhere (id int); DROP TABLE elsewhere")
	require.NoError(t, running.stop())
	running = h.serve(h.source(c))
	s = h.consume("one", api.StreamOptions{Tables: []string{"users"}})
	h.insert(1)
	require.Equal(t, []int64{1}, ids(t, s, 1))
	require.NoError(t, running.stop())
}

func TestAcknowledgedPositionsAreWrittenTogether(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	c.AckInterval = unit.Duration(time.Hour)
	source := h.source(c)
	running := h.serve(source)
	one, two := h.consume("one", api.StreamOptions{}), h.consume("two", api.StreamOptions{})
	began := h.written("one")
	require.NotEmpty(t, began, "where it begins is written at once")
	h.insert(1, 2)
	changes := take(t, one, 2)
	take(t, two, 2)
	require.NoError(t, one.Ack(changes[0].Position()))
	require.NoError(t, two.Ack(changes[0].Position()))
	require.Equal(t, began, h.written("one"))
	two.Close()
	first := changes[0].Transaction.LSN
	eventually(t, func() bool { return h.written("two") == first+" 0" }, "a stream that is closed has them written")
	eventually(t, func() bool { return h.written("one") == first+" 0" }, "those of others as well")
	require.NoError(t, one.Ack(changes[1].Position()))
	require.NoError(t, running.stop())
	require.Equal(t, changes[1].Transaction.LSN+" 0", h.written("one"), "so has a source that stops")
	c.AckInterval = unit.Duration(100 * time.Millisecond)
	h.serve(h.source(c))
	one = h.consume("one", api.StreamOptions{})
	h.insert(3)
	change := take(t, one, 1)[0]
	require.NoError(t, one.Ack(change.Position()))
	eventually(t, func() bool { return h.written("one") > first }, "and the interval")
}

func TestPositionsThatCannotBeWrittenAreTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	c.AckInterval, c.StatusInterval = unit.Duration(100*time.Millisecond), unit.Duration(time.Hour)
	h.serve(h.source(c))
	s := h.consume("one", api.StreamOptions{})
	h.insert(1)
	change := take(t, s, 1)[0]
	h.exec("ALTER TABLE wippy_cdc_offsets ADD CONSTRAINT shut CHECK (change IS NULL) NOT VALID")
	require.NoError(t, s.Ack(change.Position()))
	eventually(t, func() bool { return h.info().CheckpointErr != nil }, "it says so")
	_, err := h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{Consumer: "two"})
	require.ErrorContains(t, err, `consumer "two": write where it begins`)
	h.exec("ALTER TABLE wippy_cdc_offsets DROP CONSTRAINT shut")
	eventually(t, func() bool { return h.info().CheckpointErr == nil }, "it is written now")
	h.consume("two", api.StreamOptions{})
}

func TestAConsumerOfASlotThatWasMadeAnewIsTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	source := h.source(h.config("users"))
	running := h.serve(source)
	s := h.consume("one", api.StreamOptions{})
	h.insert(1)
	require.NoError(t, s.Ack(take(t, s, 1)[0].Position()))
	require.NoError(t, running.stop())
	h.insert(2)
	h.exec("SELECT pg_drop_replication_slot('" + h.Name + "')")
	h.serve(source)
	for range 2 {
		_, err := h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{Consumer: "one"})
		_, gap := errors.AsType[*api.GapError](err)
		require.True(t, gap, err)
	}
	s = h.consume("one", api.StreamOptions{Start: api.Snapshot()})
	require.Equal(t, []int64{1, 2}, ids(t, s, 2))
}

func TestAPositionThatTheSlotHasLeftBehind(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.serve(h.source(h.config("users")))
	s := h.subscribe(api.StreamOptions{})
	h.insert(1, 2, 3)
	changes := take(t, s, 3)
	eventually(t, func() bool { return h.reached(changes[2].Transaction.LSN) }, "it was confirmed")
	s.Close()
	p := changes[0].Position()
	_, err := h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{Start: api.After(p)})
	gap, isGap := errors.AsType[*api.GapError](err)
	require.True(t, isGap, err)
	require.Equal(t, api.GapRetention, gap.Cause)
	h.insert(4)
	s = h.subscribe(api.StreamOptions{Start: api.After(gap.Before)})
	require.Equal(t, []int64{4}, ids(t, s, 1))
}

func TestATemporarySlotHasNoConsumers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	c.Temporary = true
	h.serve(h.source(c))
	resuming, err := api.AfterCursor(api.Behind(1).Cursor(h.info().Generation))
	require.NoError(t, err)
	for _, opts := range []api.StreamOptions{{Consumer: "one"}, {Start: resuming}} {
		_, err := h.catalog.Subscribe(t.Context(), cdcID, opts)
		require.ErrorContains(t, err, "remove temporary: true")
		require.Equal(t, errs.Invalid, errs.KindOf(err))
	}
}

// See docs/guarantees.md: what a consumer holds back comes again to streams without a name.
func TestWhatAConsumerHoldsBackComesAgainToOthers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	source := h.source(h.config("users"))
	running := h.serve(source)
	plain, one := h.subscribe(api.StreamOptions{}), h.consume("one", api.StreamOptions{})
	h.insert(1, 2, 3)
	require.NoError(t, one.Ack(take(t, one, 1)[0].Position()))
	one.Close()
	before := take(t, plain, 3)
	require.NoError(t, running.stop())
	h.serve(source)
	plain = h.subscribe(api.StreamOptions{})
	again := take(t, plain, 2)
	require.Equal(t, before[1].Cursor(), again[0].Cursor(), "with the same cursor")
	require.Equal(t, before[2].Cursor(), again[1].Cursor())
}
