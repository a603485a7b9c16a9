package sinktest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// testDelivers: what commits arrives, in order, and the figures say so.
func testDelivers(t *testing.T, h *House, p Properties) {
	t.Helper()
	s := h.Sink()
	h.Insert(1, 1, 7, 1300, 1)
	h.Exec("UPDATE users SET name = 'other' WHERE id = 2; DELETE FROM users WHERE id = 3")
	h.arrived(p)
	var ops strings.Builder
	for _, e := range h.events() {
		ops.WriteString(e.Op)
	}
	require.Equal(t, 1, strings.Count(ops.String(), "u"))
	require.Equal(t, 1, strings.Count(ops.String(), "d"))
	info := h.info()
	require.Equal(t, api.StateRunning, info.State)
	require.NoError(t, info.Err)
	require.EqualValues(t, 1312, info.Stats.Published)
	require.Zero(t, info.Stats.Failed)
	require.Zero(t, info.Stats.LagTransactions)
	counted := uint64(0)
	for _, n := range info.Stats.Delay.Counts {
		counted += n
	}
	require.EqualValues(t, 1312, counted)
	require.NoError(t, s.Stop())
	require.Equal(t, api.StateStopped, h.info().State)
}

// testRestart: a sink goes on where it was, and what commits while it does not run is there later.
func testRestart(t *testing.T, h *House, p Properties) {
	t.Helper()
	for range 3 {
		s := h.Sink()
		h.Insert(2, 1)
		h.arrived(p)
		require.NoError(t, s.Stop())
		h.Insert(1, 3)
	}
	h.Sink()
	h.arrived(p)
	require.Len(t, h.rows(Properties{Ordered: p.Ordered, Once: true}), h.next-1, "a stop in good order repeats nothing")
}

// testAwayAtStart: a destination that is away keeps the app from nothing. The log holds, the figures tell, and there is one
// message, not one for each attempt.
func testAwayAtStart(t *testing.T, h *House, p Properties) {
	t.Helper()
	h.destination.Down(t)
	h.Sink()
	h.Insert(3, 1)
	h.eventually(func() bool { return h.info().Attempts >= 5 }, "it is tried again")
	info := h.info()
	require.Equal(t, api.StateRunning, info.State)
	require.Error(t, info.Err)
	require.NotContains(t, info.Err.Error(), "secret")
	require.Positive(t, info.Stats.LagBytes)
	require.GreaterOrEqual(t, info.Stats.Failed, uint64(5))
	require.GreaterOrEqual(t, info.Stats.Retried, uint64(4))
	require.Zero(t, info.Stats.Published)
	require.Empty(t, info.Cursor)
	require.Equal(t, 1, h.log.count("does not take changes"))

	h.destination.Up(t)
	h.arrived(p)
	require.Equal(t, 1, h.log.count("takes changes again"))
	require.Equal(t, 1, h.log.count("does not take changes"))
	require.NoError(t, h.info().Err)
}

// testAwayUnderLoad: a destination that is killed again and again gets everything, in order.
func testAwayUnderLoad(t *testing.T, h *House, p Properties) {
	t.Helper()
	h.Sink(func(c *api.SinkConfig) { c.Batch.MaxChanges = 20 })
	for range 4 {
		h.Insert(1, 50, 3)
		h.eventually(func() bool { return h.info().Stats.Published > 0 }, "something is delivered")
		h.Insert(30, 1, 1)
		h.destination.Down(t)
		h.Insert(5, 1)
		h.eventually(func() bool { return h.info().Attempts > 1 }, "it is noticed")
		h.destination.Up(t)
	}
	h.arrived(p)
}

// testHangs: nothing is acknowledged before the destination has confirmed it.
func testHangs(t *testing.T, h *House, p Properties) {
	t.Helper()
	s := h.Sink()
	h.Insert(1)
	h.arrived(p)
	position := func() string {
		all, err := h.engine.Consumers(cdcID)
		require.NoError(t, err)
		require.Len(t, all, 1)
		return all[0].Cursor
	}
	before := position()
	h.destination.Hold(t)
	h.Insert(1, 2)
	h.eventually(func() bool { return h.info().Stats.LagBytes > 0 }, "it is behind")
	require.NoError(t, s.Stop(), "it does not wait for the destination for ever")
	require.Equal(t, before, position())
	h.destination.Release(t)
	h.Sink()
	h.arrived(p)
}

// testStopsUnderWay: a sink that is stopped at any moment loses nothing.
func testStopsUnderWay(t *testing.T, h *House, p Properties) {
	t.Helper()
	published := uint64(0)
	for i := range uint64(15) {
		s := h.Sink(func(c *api.SinkConfig) {
			c.Batch = api.BatchConfig{MaxChanges: 7, MaxBytes: unit.MiB, MaxWait: unit.Duration(time.Millisecond)}
		})
		h.Insert(1, 20, 3, 1)
		h.eventually(func() bool { return h.info().Stats.Published >= published+i }, "something is delivered")
		require.NoError(t, s.Stop())
		published = h.info().Stats.Published
	}
	h.Sink()
	h.arrived(p)
}

// testSelection: tables and operations are as those of a stream.
func testSelection(t *testing.T, h *House, _ Properties) {
	t.Helper()
	h.Exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, name TEXT)")
	h.Sink(func(c *api.SinkConfig) { c.Tables, c.Ops = []string{"orders"}, []api.Op{api.OpDelete} })
	h.Insert(1)
	h.Exec("INSERT INTO orders VALUES (1, 'a'); DELETE FROM orders; DELETE FROM users")
	h.drained()
	events := h.events()
	require.Len(t, events, 1)
	require.Equal(t, "d", events[0].Op)
	require.Equal(t, "orders", events[0].Source.Table)
}

// testLarge: a change that is larger than a batch is a batch.
func testLarge(t *testing.T, h *House, p Properties) {
	t.Helper()
	h.Sink(func(c *api.SinkConfig) { c.Batch.MaxBytes = 4 * unit.KiB })
	h.Insert(1)
	h.Exec("UPDATE users SET name = $1", strings.Repeat("long ", 20_000))
	h.Insert(2)
	h.arrived(p)
}
