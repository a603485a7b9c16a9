package cdc_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// testSource is a source that runs.
type testSource struct{ *cdc.Log }

func (s testSource) Subscribe(_ context.Context, opts api.StreamOptions) (api.Stream, error) {
	return s.Log.Subscribe(opts)
}

func (s testSource) Describe(info *api.SourceInfo) {
	s.Log.Describe(info)
	info.LSN = "42"
}

func declaration(name string) cdc.Declaration {
	return cdc.Declaration{
		Info: api.SourceInfo{
			ID:     registry.ID{Namespace: "app", Name: name},
			Kind:   api.KindSQLite,
			Engine: "sqlite",
			Tables: []string{"users"},
		},
		LogBytes: unit.MiB,
	}
}

func TestCatalogFollowsASourceThroughItsLife(t *testing.T) {
	catalog := cdc.NewCatalog()
	catalog.Declare(declaration("cdc"))
	look := func() api.SourceInfo {
		info, ok := catalog.Source(sourceID)
		require.True(t, ok)
		return info
	}
	want := declaration("cdc").Info
	want.State = api.StateStopped
	require.Equal(t, want, look())

	run, err := catalog.Begin(sourceID)
	require.NoError(t, err)
	require.Regexp(t, `^[0-9a-f]{13,}$`, run.Generation())
	want.State, want.Epoch, want.Generation = api.StateStarting, 1, run.Generation()
	require.Equal(t, want, look())

	log, _ := newLog(t, unit.MiB)
	run.Ready(testSource{log})
	s, err := catalog.Subscribe(t.Context(), sourceID, api.StreamOptions{MaxBytes: 1000})
	require.NoError(t, err)
	defer s.Close()
	want.State, want.LSN, want.Admission = api.StateRunning, "42", api.Admission{Active: 1, ReservedBytes: 1000}
	require.Equal(t, want, look())

	cause := errors.New("disk on fire")
	run.End(cause)
	run.End(nil)
	want.State, want.LSN, want.Admission, want.Err = api.StateFaulted, "", api.Admission{}, cause
	require.Equal(t, want, look())

	second, err := catalog.Begin(sourceID)
	require.NoError(t, err)
	require.Greater(t, second.Generation(), run.Generation())
	second.End(nil)
	want.State, want.Epoch, want.Generation, want.Err = api.StateStopped, 2, second.Generation(), nil
	require.Equal(t, want, look())
}

func TestCatalogRefusesASubscriptionAndSaysWhy(t *testing.T) {
	catalog := cdc.NewCatalog()
	subscribe := func() error {
		s, err := catalog.Subscribe(t.Context(), sourceID, api.StreamOptions{})
		require.Nil(t, s)
		return err
	}
	err := subscribe()
	require.EqualError(t, err, `cdc: source "app:cdc": no source has this ID`)
	require.Equal(t, errs.NotFound, errs.KindOf(err))

	catalog.Declare(declaration("cdc"))
	err = subscribe()
	require.EqualError(t, err, `cdc: source "app:cdc" is not running (stopped): name it under lifecycle.requires of what needs it, or give it auto_start`)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.True(t, errs.Retryable(err))

	run, err := catalog.Begin(sourceID)
	require.NoError(t, err)
	require.EqualError(t, subscribe(), `cdc: source "app:cdc" is not running (starting)`)
	run.End(errs.New(errs.Invalid, "disk on fire"))
	err = subscribe()
	require.EqualError(t, err, `cdc: source "app:cdc" is not running (faulted): disk on fire`)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = catalog.Subscribe(cancelled, sourceID, api.StreamOptions{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestCatalogChecksOptionsWhetherTheSourceRunsOrNot(t *testing.T) {
	catalog := cdc.NewCatalog()
	require.Equal(t, errs.NotFound, errs.KindOf(catalog.Check(sourceID, api.StreamOptions{})))
	catalog.Declare(declaration("cdc"))
	require.NoError(t, catalog.Check(sourceID, api.StreamOptions{}))
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
		err := catalog.Check(sourceID, opts)
		require.ErrorContains(t, err, text)
		require.Equal(t, errs.Invalid, errs.KindOf(err))
		_, err = catalog.Subscribe(t.Context(), sourceID, opts)
		require.ErrorContains(t, err, text)
	}
}

func TestSnapshotsOfASourceThatHasNone(t *testing.T) {
	catalog := cdc.NewCatalog()
	catalog.Declare(declaration("cdc"))
	err := catalog.Check(sourceID, api.StreamOptions{Snapshot: api.SnapshotAlways})
	require.EqualError(t, err, `cdc: source "app:cdc": snapshot is true, and db.cdc.sqlite sources have none`)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.NoError(t, catalog.Check(sourceID, api.StreamOptions{Snapshot: api.SnapshotNever}))
	able := declaration("cdc")
	able.Info.Capabilities.Snapshot = true
	catalog.Declare(able)
	require.NoError(t, catalog.Check(sourceID, api.StreamOptions{Snapshot: api.SnapshotAlways}))
}

func TestRunsOfOneSourceMustNotOverlap(t *testing.T) {
	catalog := cdc.NewCatalog()
	_, err := catalog.Begin(sourceID)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	catalog.Declare(declaration("cdc"))
	run, err := catalog.Begin(sourceID)
	require.NoError(t, err)
	_, err = catalog.Begin(sourceID)
	require.EqualError(t, err, `cdc: source "app:cdc": its previous run has not ended`)
	require.Equal(t, errs.Conflict, errs.KindOf(err))
	run.End(nil)
	_, err = catalog.Begin(sourceID)
	require.NoError(t, err)
}

func TestDeclareAgainReplacesWhatIsKnownButNotWhatHappens(t *testing.T) {
	catalog := cdc.NewCatalog()
	catalog.Declare(declaration("cdc"))
	run, err := catalog.Begin(sourceID)
	require.NoError(t, err)
	log, _ := newLog(t, unit.MiB)
	run.Ready(testSource{log})
	changed := declaration("cdc")
	changed.Info.Tables = []string{"orders"}
	catalog.Declare(changed)
	info, _ := catalog.Source(sourceID)
	require.Equal(t, []string{"orders"}, info.Tables)
	require.Equal(t, api.StateRunning, info.State)
	require.Equal(t, 1, info.Epoch)
	require.Equal(t, run.Generation(), info.Generation)
	info.Tables[0] = "scribble"
	again, _ := catalog.Source(sourceID)
	require.Equal(t, []string{"orders"}, again.Tables)
}

func TestRemovedSourceIsForgottenThoughItsRunGoesOn(t *testing.T) {
	catalog := cdc.NewCatalog()
	catalog.Declare(declaration("cdc"))
	run, err := catalog.Begin(sourceID)
	require.NoError(t, err)
	catalog.Remove(sourceID)
	catalog.Remove(sourceID)
	_, ok := catalog.Source(sourceID)
	require.False(t, ok)
	require.Empty(t, catalog.Sources())
	run.End(errors.New("late"))
	catalog.Declare(declaration("cdc"))
	info, ok := catalog.Source(sourceID)
	require.True(t, ok)
	require.Equal(t, api.StateStopped, info.State)
	require.NoError(t, info.Err)
}

func TestSourcesAreOrderedByID(t *testing.T) {
	catalog := cdc.NewCatalog()
	for _, name := range []string{"c", "a", "b"} {
		catalog.Declare(declaration(name))
	}
	var names []string
	for _, info := range api.NewComposite(catalog).Sources() {
		names = append(names, info.ID.Name)
	}
	require.Equal(t, []string{"a", "b", "c"}, names)
	require.Len(t, catalog.Sources(), 3)
	require.Equal(t, "a", catalog.Sources()[0].ID.Name)
}
