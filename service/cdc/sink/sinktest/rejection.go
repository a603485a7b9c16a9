package sinktest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// poison is a name that a destination with a limit rejects.
func poison() string { return strings.Repeat("p", 40_000) }

// insert makes a transaction of one row.
func (h *House) insert(name string) {
	h.t.Helper()
	h.Exec("INSERT INTO users VALUES ($1, $2)", h.next, name)
	h.next++
}

// testRejects: a change that the destination does not take ends the sink; nothing is skipped.
func testRejects(t *testing.T, h *House, p Properties) {
	t.Helper()
	h.destination.Limit(t, true)
	h.Insert(1) // before the sink begins, so that it does not arrive
	s := h.Sink(func(c *api.SinkConfig) { c.Snapshot = new(true) })
	h.Insert(4)
	h.insert(poison())
	h.Insert(3)
	err := h.wait(s)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.False(t, errs.Retryable(err))
	require.ErrorContains(t, err, `cdc: sink "app:outlet": the destination rejects the change with the cursor `)
	require.ErrorContains(t, err, "(insert of main.users)")
	require.ErrorContains(t, err, "on_reject: park")
	require.ErrorContains(t, err, fmt.Sprintf("mend the cause and reload the app: `kill -HUP %d`", os.Getpid()))
	require.Equal(t, api.StateFaulted, h.info().State)
	require.Equal(t, upTo(5), h.rows(p), "what lies before it was delivered, what lies behind it was not")

	again := h.Sink()
	require.Equal(t, errs.Invalid, errs.KindOf(h.wait(again)))
	h.destination.Limit(t, false)
	h.Sink()
	h.arrived(p)
}

// testRejectsInSnapshot: how much a sink has to deliver that has ended within its snapshot is not known; it is not nothing.
func testRejectsInSnapshot(t *testing.T, h *House, _ Properties) {
	t.Helper()
	h.destination.Limit(t, true)
	h.Insert(2)
	h.insert(poison())
	require.Equal(t, errs.Invalid, errs.KindOf(h.wait(h.Sink(snapshot))))
	stats := h.info().Stats
	require.Equal(t, []int64{-1, -1}, []int64{stats.LagBytes, stats.LagTransactions})
	h.destination.Limit(t, false)
	h.Sink(snapshot)
	h.drained()
	require.Equal(t, 3, h.arrivals())
}

// testParks: a change that the destination does not take is put aside, and everything else is delivered.
func testParks(t *testing.T, h *House, p Properties) {
	t.Helper()
	h.destination.Limit(t, true)
	park := func(c *api.SinkConfig) { c.OnReject = api.OnRejectPark }
	s := h.Sink(park)
	var want []int
	for i := range 40 {
		if i%13 == 5 {
			h.insert(poison())
			continue
		}
		want = append(want, h.next)
		h.Insert(1)
	}
	h.drained()
	require.ElementsMatch(t, want, h.rows(p))
	require.EqualValues(t, 3, h.info().Stats.Parked)
	require.EqualValues(t, 37, h.info().Stats.Published)
	require.Equal(t, 3, h.log.count("a change is parked"))
	require.Equal(t, 1, h.log.count(`key="main.users {\"id\":6}"`), "the log says which row it is of")
	require.Equal(t, []string{`main.users {"id":6}`, `main.users {"id":19}`, `main.users {"id":32}`},
		h.query("SELECT key FROM wippy_cdc_parked WHERE sink = 'app:outlet' ORDER BY cursor"))
	require.Equal(t, []string{"3"}, h.query("SELECT count(*) FROM wippy_cdc_parked WHERE error <> '' AND at <> '' AND json_extract(change, '$.op') = 'c'"))
	for _, e := range h.events() {
		require.Equal(t, "users", e.Source.Table, "what is parked is not captured itself")
	}
	require.NoError(t, s.Stop())
}

// testParkedByKey: later changes of a key go where an earlier one was parked, until that is gone from the table.
func testParkedByKey(t *testing.T, h *House, p Properties) {
	t.Helper()
	h.destination.Limit(t, true)
	park := func(c *api.SinkConfig) { c.OnReject = api.OnRejectPark }
	s := h.Sink(park)
	parked := func() []string {
		return h.query("SELECT json_extract(change, '$.op') FROM wippy_cdc_parked ORDER BY cursor")
	}
	h.insert(poison())
	h.Insert(1)
	h.Exec("UPDATE users SET name = 'short' WHERE id = 1")
	h.Exec("UPDATE users SET id = 100 WHERE id = 1")
	h.drained()
	require.NoError(t, s.Stop())
	h.Sink(park) // it knows from the table
	h.Exec("UPDATE users SET name = 'moved' WHERE id = 100; INSERT INTO users VALUES (1, 'again'); UPDATE users SET name = 'free' WHERE id = 2")
	h.drained()
	require.Equal(t, []string{"c", "u", "u", "u", "c"}, parked())
	require.Equal(t, 1, h.log.count("a change is parked"), "the log tells of the first of a key")
	require.EqualValues(t, 5, h.info().Stats.Parked)
	require.Equal(t, 1, h.log.count("changes of the sink are parked"))
	require.Equal(t, 1, h.log.count(" parked=3"), "it says how many")
	require.Equal(t, []int{2}, h.rows(p))
	require.Contains(t, h.query("SELECT DISTINCT error FROM wippy_cdc_parked"), "an earlier change of the same key is parked")

	h.Exec("DELETE FROM wippy_cdc_parked")
	h.Exec("UPDATE users SET name = 'then' WHERE id = 100; DELETE FROM users WHERE id = 1")
	h.drained()
	require.Empty(t, parked())
	require.Zero(t, h.info().Stats.Parked, "it has seen that they are gone")
	var names []string
	for _, e := range h.events() {
		names = append(names, fmt.Sprint(e.Op, " ", e.Before != nil, e.After != nil))
	}
	require.ElementsMatch(t, []string{"c false true", "u true true", "u true true", "d true false"}, names)
}

// testParkedOddNames: names of tables may have any characters in them.
func testParkedOddNames(t *testing.T, h *House, _ Properties) {
	t.Helper()
	h.destination.Limit(t, true)
	h.Exec("CREATE TABLE \"odd\n\"\"{}\" (id INTEGER PRIMARY KEY, name TEXT)")
	park := func(c *api.SinkConfig) { c.OnReject = api.OnRejectPark }
	first := h.Sink(park)
	h.Exec("INSERT INTO \"odd\n\"\"{}\" VALUES (1, $1)", poison())
	h.drained()
	require.NoError(t, first.Stop())
	h.Sink(park) // it knows from the table
	h.Exec("UPDATE \"odd\n\"\"{}\" SET name = 'short'")
	h.drained()
	key := `main."odd\n\"{}" {"id":1}`
	require.Equal(t, []string{key, key}, h.query("SELECT key FROM wippy_cdc_parked"))
	require.Empty(t, h.events())
}

// testParkedAnew: a row of a snapshot that begins anew replaces the one that was parked at its place.
func testParkedAnew(t *testing.T, h *House, _ Properties) {
	t.Helper()
	h.destination.Limit(t, true)
	h.insert(poison())
	anew := func(c *api.SinkConfig) { c.OnReject, c.Snapshot = api.OnRejectPark, new(true) }
	first := h.Sink(anew)
	h.eventually(func() bool { return h.info().Stats.Parked == 1 }, "it is parked")
	require.NoError(t, first.Stop())
	cursors := h.query("SELECT cursor FROM wippy_cdc_parked")
	h.Exec(`UPDATE wippy_cdc_parked SET key = 'main.users {"id":7}', change = '{}', error = 'other', at = ''`)
	require.NoError(t, h.engine.Forget(t.Context(), cdcID, sinkID.String()))
	h.Sink(anew)
	again := `SELECT cursor FROM wippy_cdc_parked WHERE key = 'main.users {"id":1}' AND json_extract(change, '$.op') = 'r' AND error <> 'other' AND at <> ''`
	h.eventually(func() bool { return len(h.query(again)) == 1 }, "it is parked again")
	require.EqualValues(t, 1, h.info().Stats.Parked)
	require.Equal(t, cursors, h.query("SELECT cursor FROM wippy_cdc_parked"))
}

// testStopsBehindParked: a sink that parks no more does not let later changes of a key overtake those that were parked.
func testStopsBehindParked(t *testing.T, h *House, p Properties) {
	t.Helper()
	h.destination.Limit(t, true)
	require.NoError(t, h.Sink().Stop(), "there is no table")
	park := func(c *api.SinkConfig) { c.OnReject = api.OnRejectPark }
	s := h.Sink(park)
	h.insert(poison())
	h.drained()
	require.NoError(t, s.Stop())
	h.Exec("INSERT INTO wippy_cdc_parked VALUES ('app:other', 'c', 'k', '{}', 'e', 'at'); UPDATE users SET name = 'short'")
	err := h.wait(h.Sink())
	require.Equal(t, errs.Invalid, errs.KindOf(err), "%v", err)
	require.ErrorContains(t, err, `the table wippy_cdc_parked of the database "app:db" has changes of the sink (1)`)
	require.ErrorContains(t, err, "give the sink on_reject: park until they are delivered or deleted, as docs/sinks.md says")
	require.ErrorContains(t, err, fmt.Sprintf("`kill -HUP %d`", os.Getpid()))
	require.EqualValues(t, 1, h.info().Stats.Parked)
	require.Empty(t, h.events())
	h.Exec("DELETE FROM wippy_cdc_parked WHERE sink = 'app:outlet'")
	h.destination.Limit(t, false)
	h.Sink()
	h.drained()
	require.Len(t, h.events(), 1)
	require.Zero(t, h.info().Stats.Parked)
}

// testUnparks: what is deleted from the table and touched in one transaction is delivered as it is then.
func testUnparks(t *testing.T, h *House, _ Properties) {
	t.Helper()
	h.destination.Limit(t, true)
	h.Sink(func(c *api.SinkConfig) { c.OnReject = api.OnRejectPark })
	h.insert(poison())
	h.Exec("UPDATE users SET name = 'short'")
	h.drained()
	require.Empty(t, h.events())
	h.Exec("BEGIN; DELETE FROM wippy_cdc_parked WHERE sink = 'app:outlet'; UPDATE users SET id = id WHERE id = 1; COMMIT")
	h.drained()
	events := h.events()
	require.Len(t, events, 1)
	require.Equal(t, "u", events[0].Op)
	require.Equal(t, "short", events[0].After.Name)
}

// testGivesUp: a sink whose attempts are bounded fails, and nothing is parked for that.
func testGivesUp(t *testing.T, h *House, p Properties) {
	t.Helper()
	h.destination.Down(t)
	bounded := func(c *api.SinkConfig) { c.OnReject, c.Retry.MaxAttempts = api.OnRejectPark, 3 }
	s := h.Sink(bounded)
	h.Insert(2)
	err := h.wait(s)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.ErrorContains(t, err, "3 attempts to deliver have failed (retry.max_attempts): ")
	require.ErrorContains(t, err, fmt.Sprintf("; mend the cause and reload the app: `kill -HUP %d`", os.Getpid()))
	require.EqualValues(t, 3, h.info().Stats.Failed)
	require.Equal(t, []string{"0"}, h.query("SELECT count(*) FROM wippy_cdc_parked"))
	h.destination.Up(t)
	h.Sink(bounded)
	h.arrived(p)
}
