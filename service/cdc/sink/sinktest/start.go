package sinktest

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

func snapshot(c *api.SinkConfig) { c.Snapshot = new(true) }

// testSnapshot: a sink begins with what is there, and goes on with what commits.
func testSnapshot(t *testing.T, h *House, p Properties) {
	t.Helper()
	h.Insert(700, 50)
	s := h.Sink(snapshot)
	h.Insert(2)
	h.arrived(p)
	require.NoError(t, s.Stop())
	h.Insert(1)
	h.Sink(snapshot)
	h.arrived(p)
	rows, ends := 0, 0
	for _, text := range h.destination.Received(t) {
		if strings.Contains(text, `"COMPLETED"`) {
			ends++
		}
	}
	require.Equal(t, 1, ends, "the snapshot is complete, once")
	for _, e := range h.events() {
		if e.Op == "r" {
			rows++
		}
	}
	require.GreaterOrEqual(t, rows, 750)
	require.LessOrEqual(t, rows, 752, "the second run has begun with no snapshot")
}

// testGap: a gap ends a sink that does not begin anew by itself, and says what to do.
func testGap(t *testing.T, h *House, p Properties) {
	t.Helper()
	s := h.Sink()
	h.Insert(2)
	h.arrived(p)
	h.outsider("INSERT INTO users VALUES (1000, 'of another connection')")
	h.Insert(1)
	err := h.wait(s)
	require.Equal(t, errs.Invalid, errs.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "(external_write: another process")
	require.ErrorContains(t, err, "snapshot: true")
	require.ErrorContains(t, err, "with --to live, everything that was committed until then is passed over, too")
	require.ErrorContains(t, err, fmt.Sprintf("`kill -HUP %d`", os.Getpid()))
	typed := regexp.MustCompile("`wippy consumers reset app:outlet --source app:cdc --to ([^`]+)`").FindStringSubmatch(err.Error())
	require.Len(t, typed, 2, "%v", err)
	require.NotContains(t, err.Error(), "cdc.reset", "that is for scripts")
	require.Zero(t, h.log.count("is opened again"), "a gap would be met again")
	require.Equal(t, []int{1, 2}, h.rows(p))
	require.Equal(t, api.StateFaulted, h.info().State)
	require.Equal(t, errs.Invalid, errs.KindOf(h.wait(h.Sink())), "it is told again")
	behind, err := api.AfterCursor(typed[1])
	require.NoError(t, err)
	require.NoError(t, h.engine.Reset(t.Context(), cdcID, sinkID.String(), behind))
	s = h.Sink()
	h.Insert(1)
	h.arrived(p)
	require.NoError(t, s.Stop())
}

// testGapAhead: a sink that has read a gap ahead of what it delivers keeps its consumer until it has ended.
func testGapAhead(t *testing.T, h *House, p Properties) {
	t.Helper()
	s := h.Sink()
	h.Insert(1)
	h.arrived(p)
	h.destination.Down(t)
	h.Insert(1)
	h.eventually(func() bool { return h.info().Attempts > 0 }, "it has something to deliver")
	h.outsider("INSERT INTO users VALUES (1000, 'of another connection')")
	h.Insert(1)
	gone := func() bool {
		stats := h.engine.Stats()
		return len(stats) == 1 && stats[0].Ended[api.EndLost] > 0
	}
	h.eventually(gone, "the stream ends")
	refused := func() {
		t.Helper()
		for _, err := range []error{
			h.engine.Reset(t.Context(), cdcID, sinkID.String(), api.Live()), h.engine.Forget(t.Context(), cdcID, sinkID.String()),
		} {
			require.Equal(t, errs.Conflict, errs.KindOf(err), "%v", err)
			require.ErrorContains(t, err, "sink app:outlet")
		}
	}
	for attempts := h.info().Attempts; h.info().Attempts < attempts+5; <-time.After(time.Millisecond) { // its reader knows by then
		refused()
	}
	h.destination.Up(t)
	require.Equal(t, errs.Invalid, errs.KindOf(h.wait(s)))
	require.Equal(t, []int{1, 2}, h.rows(p), "what lies before the gap is delivered")
	require.NoError(t, h.engine.Reset(t.Context(), cdcID, sinkID.String(), api.Live()), "it has ended")
}

// testGapAnew: behind a gap, a sink with a snapshot begins anew.
func testGapAnew(t *testing.T, h *House, p Properties) {
	t.Helper()
	h.Sink(snapshot)
	h.Insert(2)
	h.arrived(p)
	h.outsider("INSERT INTO users VALUES (1000, 'of another connection')")
	h.Insert(1)
	h.eventually(func() bool { return h.log.count("begins anew") > 0 && h.arrivals() == 4 }, "it is told")
	h.drained()
	seen := make(map[int]int)
	for _, e := range h.events() {
		if e.After != nil {
			seen[e.After.ID]++
		}
	}
	require.Positive(t, seen[1000])
	require.Positive(t, seen[3])
	require.GreaterOrEqual(t, seen[1], 2, "once when it was inserted, once in the snapshot")
}

// testSchema: changes of tables are delivered to sinks that ask for them.
func testSchema(t *testing.T, h *House, p Properties) {
	t.Helper()
	h.Sink(func(c *api.SinkConfig) { c.Schema = true })
	h.Insert(1)
	before := h.info().Stats.Published
	h.Exec("ALTER TABLE users ADD COLUMN more")
	h.drained()
	h.eventually(func() bool { return h.info().Stats.Published > before }, "it is delivered")
	require.Len(t, h.events(), 2)
	require.Equal(t, []int{1}, h.rows(p))
}
