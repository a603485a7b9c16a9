package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// gap requires that an error tells of something that no change tells.
func gap(t *testing.T, err error) *api.GapError {
	t.Helper()
	told, isGap := errors.AsType[*api.GapError](err)
	require.True(t, isGap, "%v", err)
	require.Equal(t, api.GapCaptureLost, told.Cause)
	require.ErrorContains(t, err, `a column with a default was added to table "public"."users"`)
	require.Equal(t, 1, strings.Count(err.Error(), `cdc: source "app:cdc"`), "%v", err)
	require.True(t, errs.Retryable(err))
	require.Negative(t, told.After.Compare(told.Before))
	return told
}

const addDefault = "ALTER TABLE users ADD y int DEFAULT 7"

func TestAConsumerIsToldOfWhatNoChangeTells(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	source := h.source(h.config("users"))
	running := h.serve(source)
	s := h.consume("one", api.StreamOptions{})
	h.insert(1)
	require.NoError(t, s.Ack(take(t, s, 1)[0].Position()))
	h.exec(addDefault)
	gap(t, h.faulted(running))
	_, err := until(t, s)
	gap(t, err)
	s.Close()

	running = h.serve(source)
	s = h.consume("one", api.StreamOptions{Start: api.Snapshot()})
	row := take(t, s, 1)[0]
	require.Equal(t, []string{"0 snapshot users -> 1 x 7 !"}, lines([]*api.Change{row}), "it was told, and begins anew")
	require.NoError(t, s.Ack(row.Position()))
	require.NoError(t, running.stop())
	h.serve(source)
	s = h.consume("one", api.StreamOptions{})
	h.exec("INSERT INTO users VALUES (2, 'x', 8)")
	require.Equal(t, []int64{2}, ids(t, s, 1), "and goes on")
}

func TestReadersThatAreAwayAreToldOfWhatNoChangeTells(t *testing.T) {
	t.Parallel()
	for _, onIdle := range []string{"hold", "discard"} {
		h := newHouse(t)
		c := h.config("users")
		c.OnIdle = onIdle
		source, said := h.logging(c)
		running := h.serve(source)
		var kept []api.Position
		for _, name := range []string{"one", "two", "three"} {
			s := h.consume(name, api.StreamOptions{})
			h.insert(len(kept))
			change := take(t, s, 1)[0]
			require.NoError(t, s.Ack(change.Position()))
			s.Close()
			kept = append(kept, change.Position())
		}
		h.exec(addDefault)
		eventually(t, func() bool { return said.has("no stream is open, the next one will be told") }, "it is noticed")
		h.exec("INSERT INTO users VALUES (10, 'x', 8)")
		_, err := h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{})
		gap(t, err)
		require.NoError(t, running.stop())
		h.serve(h.source(c)) // as after a restart of the app

		for range 2 {
			_, err = h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{Consumer: "one"})
			require.LessOrEqual(t, gap(t, err).After.Compare(kept[0]), 0)
		}
		one := h.consume("one", api.StreamOptions{Start: api.Snapshot()})
		require.Len(t, take(t, one, 4), 4)
		_, err = h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{Consumer: "two", Start: api.Snapshot()})
		behind := gap(t, err).Before
		resuming, err := api.AfterCursor(behind.Cursor(h.info().Generation))
		require.NoError(t, err)
		require.NoError(t, h.catalog.Reset(t.Context(), cdcID, "two", resuming))
		two := h.consume("two", api.StreamOptions{})
		for range 2 {
			_, err = h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{Start: api.After(kept[2])})
			gap(t, err)
		}
		after := h.subscribe(api.StreamOptions{Start: api.After(behind)})
		h.exec("INSERT INTO users VALUES (11, 'x', 8)")
		for _, s := range []api.Stream{one, two, after} {
			all := []int64{0}
			for all[len(all)-1] != 11 {
				all = append(all, ids(t, s, 1)...)
			}
			require.LessOrEqual(t, len(all), 3, "%v", all)
		}
	}
}

func TestWhatIsMissedOutlivesATableThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	source, said := h.logging(h.config("users"))
	h.serve(source)
	s := h.consume("one", api.StreamOptions{})
	h.insert(1)
	require.NoError(t, s.Ack(take(t, s, 1)[0].Position()))
	s.Close()
	h.exec("ALTER TABLE wippy_cdc_offsets ADD CONSTRAINT shut CHECK (missed IS NULL)")
	h.exec(addDefault)
	eventually(t, func() bool { return said.has("what consumers have missed cannot be written yet") }, "it says so")
	_, err := h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{Consumer: "one"})
	gap(t, err)
	h.exec("ALTER TABLE wippy_cdc_offsets DROP CONSTRAINT shut")
	eventually(t, func() bool {
		return h.Text(t, "SELECT max(to_jsonb(o)->>'missed') FROM wippy_cdc_offsets o WHERE slot = $1", h.Name+"/missed") != ""
	}, "it is written now")
}
