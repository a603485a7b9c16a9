package source_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/source"
)

func TestACatalogFollowsASourceThroughItsLife(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	opening, capturing, goOn := make(chan struct{}), make(chan struct{}), make(chan struct{})
	stop := func(at chan<- struct{}) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			at <- struct{}{}
			select {
			case <-goOn:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	h.opening = stop(opening)
	h.prepared = func(s *session) { s.capturing = stop(capturing) }
	want := h.info
	want.State = api.StateStopped
	require.Equal(t, want, h.sourceInfo())

	run := h.begin()
	<-opening
	first := h.sourceInfo().Generation
	require.Regexp(t, `^[0-9a-f]{13,}$`, first)
	want.State, want.Epoch, want.Generation = api.StateStarting, 1, first
	require.Equal(t, want, h.sourceInfo())
	goOn <- struct{}{}
	<-capturing
	require.Equal(t, want, h.sourceInfo(), "until it captures")
	goOn <- struct{}{}
	<-run.ready
	h.subscribe(api.StreamOptions{MaxBytes: 1000})
	want.State, want.LSN, want.Admission = api.StateRunning, "42", api.Admission{Active: 1, ReservedBytes: 1000}
	want.Cursor = api.Behind(0).Cursor(first)
	require.Equal(t, want, h.sourceInfo())
	require.Equal(t, h.session().run.Generation(), first)

	cause := errs.New(errs.Unavailable, "disk on fire")
	h.session().failing <- cause
	require.EqualError(t, <-run.ended, `cdc: source "app:cdc": disk on fire`)
	want.State, want.LSN, want.Cursor, want.Admission, want.Err = api.StateFaulted, "", "", api.Admission{}, cause
	require.Equal(t, want, h.sourceInfo())

	run = h.begin()
	<-opening
	want.State, want.Epoch, want.Err, want.Generation = api.StateStarting, 2, nil, h.sourceInfo().Generation
	require.Greater(t, want.Generation, first)
	require.Equal(t, want, h.sourceInfo(), "why it was faulted is over")
	goOn <- struct{}{}
	<-capturing
	goOn <- struct{}{}
	require.NoError(t, run.stop())
	want.State = api.StateStopped
	require.Equal(t, want, h.sourceInfo())
}

func TestASubscriptionIsRefusedWithItsReason(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	subscribe := func(id registry.ID) error {
		s, err := h.catalog.Subscribe(t.Context(), id, api.StreamOptions{})
		require.Nil(t, s)
		return err
	}
	err := subscribe(registry.ID{Namespace: "app", Name: "other"})
	require.EqualError(t, err, `cdc: source "app:other": no entry of kind db.cdc.sqlite or db.cdc.postgres has this ID; the sources are app:cdc`)
	require.Equal(t, errs.NotFound, errs.KindOf(err))

	err = subscribe(sourceID)
	require.EqualError(t, err, `cdc: source "app:cdc" is not running (stopped): name it under lifecycle.requires of what needs it, or give it auto_start`)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.True(t, errs.Retryable(err))

	opening := make(chan error)
	h.opening = func(context.Context) error { opening <- nil; return <-opening }
	run := h.begin()
	<-opening
	err = subscribe(sourceID)
	require.EqualError(t, err, `cdc: source "app:cdc" is not running (starting)`)
	require.True(t, errs.Retryable(err))
	opening <- errs.New(errs.Invalid, "disk on fire")
	require.Error(t, <-run.ended)
	err = subscribe(sourceID)
	require.EqualError(t, err, `cdc: source "app:cdc" is not running (faulted): disk on fire`)
	require.Equal(t, errs.Unavailable, errs.KindOf(err), "it may run later, whatever the fault was")

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = h.catalog.Subscribe(cancelled, sourceID, api.StreamOptions{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestOptionsAreCheckedWhetherTheSourceRunsOrNot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	require.Equal(t, errs.NotFound, errs.KindOf(h.catalog.Check(registry.ID{Namespace: "app", Name: "other"}, api.StreamOptions{})))
	for _, runs := range []bool{false, true} {
		if runs {
			h.serve()
		}
		require.NoError(t, h.catalog.Check(sourceID, api.StreamOptions{}))
		for text, opts := range map[string]api.StreamOptions{
			"buffer is 65537":                     {Buffer: 65537},
			"max_bytes is 1048577":                {MaxBytes: unit.MiB + 1},
			`ops has "upsert"`:                    {Ops: []api.Op{"upsert"}},
			`tables has "orders"`:                 {Tables: []string{"orders"}},
			"tables is empty: name a table":       {Tables: []string{}},
			"ops is empty: name an operation":     {Ops: []api.Op{}},
			"tables has an empty name":            {Tables: []string{""}},
			"which the source does not capture: ": {Tables: []string{"users", "x"}},
		} {
			err := h.catalog.Check(sourceID, opts)
			require.ErrorContains(t, err, text)
			require.ErrorContains(t, err, `cdc: source "app:cdc": `)
			require.Equal(t, errs.Invalid, errs.KindOf(err), text)
			_, err = h.catalog.Subscribe(t.Context(), sourceID, opts)
			require.ErrorContains(t, err, text)
		}
	}
}

func TestASnapshotOfASourceThatHasNone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.info.Capabilities.Snapshot = false
	h.catalog.Declare(h.engine)
	err := h.catalog.Check(sourceID, api.StreamOptions{Start: api.Snapshot()})
	require.EqualError(t, err, `cdc: source "app:cdc": snapshot is true, and db.cdc.sqlite sources have none`)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.NoError(t, h.catalog.Check(sourceID, api.StreamOptions{Start: api.Live()}))
}

func TestRunsOfOneSourceDoNotOverlap(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	run := h.serve()
	s := h.subscribe(api.StreamOptions{})
	err := h.fault()
	require.EqualError(t, err, `cdc: source "app:cdc": its previous run has not ended`)
	require.Equal(t, errs.Conflict, errs.KindOf(err))
	require.True(t, errs.Retryable(err))
	require.Equal(t, api.StateRunning, h.sourceInfo().State)
	require.Equal(t, 1, h.sourceInfo().Epoch)
	h.session().commit(1)
	require.Equal(t, []string{"insert 1 !"}, take(t, s, 1), "the run goes on")
	require.NoError(t, run.stop())
	h.serve()
	require.Equal(t, 2, h.sourceInfo().Epoch)
}

func TestASourceThatIsNotDeclaredDoesNotRun(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.catalog.Remove(sourceID)
	err := h.fault()
	require.EqualError(t, err, `cdc: source "app:cdc": no entry of kind db.cdc.sqlite or db.cdc.postgres has this ID; there are no sources`)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
}

func TestASourceThatIsDeclaredAgainGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	run := h.serve()
	before := h.sourceInfo()
	changed := newEngine("cdc")
	changed.info.Tables, changed.limits.LogBytes = []string{"orders"}, 128*unit.KiB
	h.catalog.Declare(changed)
	want := before
	want.Tables = []string{"orders"}
	require.Equal(t, want, h.sourceInfo(), "state, epoch and generation are those of the run")
	require.ErrorContains(t, h.catalog.Check(sourceID, api.StreamOptions{Tables: []string{"users"}}), `tables has "users"`)
	require.ErrorContains(t, h.catalog.Check(sourceID, api.StreamOptions{MaxBytes: unit.MiB}), "log_bytes (131072)")
	s := h.subscribe(api.StreamOptions{})
	h.session().commit(1)
	require.Equal(t, []string{"insert 1 !"}, take(t, s, 1), "until the run ends its streams deliver what it captures")
	require.NoError(t, run.stop())

	next := source.New(changed, h.catalog, slog.New(slog.DiscardHandler))
	h.engine, h.source = changed, next
	h.serve()
	h.subscribe(api.StreamOptions{})
	require.Equal(t, int64(128*unit.KiB), h.sourceInfo().Admission.ReservedBytes)
}

func TestWhatACatalogTellsMayBeChanged(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.sourceInfo().Tables[0] = "scribble"
	h.catalog.Sources()[0].Tables[0] = "scribble"
	require.Equal(t, []string{"users"}, h.sourceInfo().Tables)
}

func TestASourceIsForgottenThoughItsRunGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	run := h.serve()
	s := h.subscribe(api.StreamOptions{})
	h.catalog.Remove(sourceID)
	h.catalog.Remove(sourceID)
	_, known := h.catalog.Source(sourceID)
	require.False(t, known)
	require.Empty(t, h.catalog.Sources())
	require.Empty(t, h.catalog.Stats())
	h.session().commit(1)
	require.Equal(t, []string{"insert 1 !"}, take(t, s, 1))

	h.catalog.Declare(h.engine)
	require.Equal(t, api.StateStopped, h.sourceInfo().State, "the run is that of another")
	h.session().failing <- errors.New("late")
	require.Error(t, <-run.ended)
	require.Equal(t, api.StateStopped, h.sourceInfo().State)
	require.NoError(t, h.sourceInfo().Err)
	require.Zero(t, h.sourceInfo().Epoch)
}

func TestSourcesAreOrderedByID(t *testing.T) {
	t.Parallel()
	catalog := source.NewCatalog()
	names := func() (infos, stats []string) {
		for _, info := range catalog.Sources() {
			infos = append(infos, info.ID.Name)
		}
		for _, s := range catalog.Stats() {
			stats = append(stats, s.Source.Name)
		}
		return infos, stats
	}
	for _, name := range []string{"c", "a", "e", "b", "d"} {
		e := newEngine(name)
		catalog.Declare(e)
		if name == "b" {
			continue
		}
		e.opening = func(context.Context) error { return errors.New("disk on fire") }
		require.Error(t, source.New(e, catalog, slog.New(slog.DiscardHandler)).Serve(t.Context(), func() {}))
	}
	infos, stats := names()
	require.Equal(t, []string{"a", "b", "c", "d", "e"}, infos)
	require.Equal(t, []string{"a", "c", "d", "e"}, stats, "those that have run")
}

func TestFiguresGoOnOverRuns(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	require.Empty(t, h.catalog.Stats(), "it has not run")
	run := h.serve()
	s := h.subscribe(api.StreamOptions{})
	h.session().commit(1, 2)
	wal := int64(7)
	now := h.stats()
	require.Equal(t, &wal, now.WALBytes)
	require.Equal(t, []int64{1, now.LogBytes}, []int64{int64(now.Streams), now.LagBytes})
	require.Positive(t, now.LogBytes)
	take(t, s, 2)
	require.NoError(t, run.stop())
	want := api.Stats{
		Source: sourceID, Transactions: 1,
		Changes: map[api.Op]uint64{api.OpInsert: 2, api.OpUpdate: 0, api.OpDelete: 0, api.OpTruncate: 0, api.OpSchema: 0},
		Ended:   map[api.EndReason]uint64{api.EndClosed: 0, api.EndLag: 0, api.EndLost: 0, api.EndSource: 1},
	}
	require.Equal(t, want, h.stats(), "gauges are those of a run")

	h.prepared = func(s *session) { s.rows = []int64{1, 2, 3} }
	run = h.serve()
	s = h.subscribe(api.StreamOptions{Start: api.Snapshot()})
	h.session().commit(3)
	take(t, s, 4)
	s.Close()
	require.NoError(t, run.stop())
	want.Transactions, want.SnapshotRows = 2, 3
	want.Changes[api.OpInsert], want.Ended[api.EndClosed] = 3, 1
	require.Equal(t, want, h.stats())
	h.catalog.Declare(h.engine)
	require.Equal(t, want, h.stats(), "and when it is declared again")
}
