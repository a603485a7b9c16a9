package cdc_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// measured returns the stats of the only source of a catalog.
func measured(t *testing.T, catalog *cdc.Catalog) api.Stats {
	t.Helper()
	all := api.NewComposite(catalog).Stats()
	require.Len(t, all, 1)
	return all[0]
}

// counted returns a catalog with one source that runs on a log, and a writer to it.
func counted(t *testing.T) (catalog *cdc.Catalog, run *cdc.Run, w *writer) {
	t.Helper()
	catalog = cdc.NewCatalog()
	require.Empty(t, catalog.Stats())
	catalog.Declare(declaration("cdc"))
	require.Empty(t, catalog.Stats(), "it has not run yet")
	run, w = begin(t, catalog)
	return catalog, run, w
}

func begin(t *testing.T, catalog *cdc.Catalog) (*cdc.Run, *writer) {
	t.Helper()
	run, err := catalog.Begin(sourceID)
	require.NoError(t, err)
	log := cdc.NewLog(cdc.LogSettings{Source: sourceID, Bytes: 10_000, Counters: run.Counters()})
	t.Cleanup(func() { log.Close(errOver) })
	run.Ready(testSource{log})
	return run, &writer{log: log}
}

func TestCountersGoOnOverRestarts(t *testing.T) {
	catalog, run, w := counted(t)
	w.commit(10, inserts(1, 1)...)
	require.Zero(t, measured(t, catalog).Transactions, "nobody watches")
	s := subscribe(t, w.log, api.StreamOptions{})
	w.commit(10, inserts(1, 1)...)
	take(t, s, 1)
	run.Counters().Changes(api.OpInsert, 3)
	run.Counters().Changes(api.OpSnapshot, 3)
	run.Counters().Changes(api.OpUpdate, -3)
	run.Counters().Spilled(1000)
	w.log.Close(errors.New("a cause"))
	run.End(nil)
	want := api.Stats{
		Source: sourceID, Transactions: 1, SpilledBytes: 1000,
		Changes: map[api.Op]uint64{api.OpInsert: 3, api.OpUpdate: 0, api.OpDelete: 0, api.OpTruncate: 0, api.OpSchema: 0},
		Ended:   map[api.EndReason]uint64{api.EndClosed: 0, api.EndLag: 0, api.EndLost: 0, api.EndSource: 1},
	}
	require.Equal(t, want, measured(t, catalog))

	run, w = begin(t, catalog)
	s = subscribe(t, w.log, api.StreamOptions{})
	w.commit(10, inserts(1, 1)...)
	take(t, s, 1)
	run.Counters().Changes(api.OpInsert, 4)
	s.Close()
	s.Close()
	run.End(nil)
	want.Transactions, want.Changes[api.OpInsert], want.Ended[api.EndClosed] = 2, 7, 1
	require.Equal(t, want, measured(t, catalog))
	catalog.Declare(declaration("cdc"))
	require.Equal(t, want, measured(t, catalog))
	catalog.Remove(sourceID)
	require.Empty(t, catalog.Stats())
}

func TestStreamsAreCountedByWhyTheyEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		catalog, _, w := counted(t)
		defer w.log.Close(errOver)
		closed := subscribe(t, w.log, api.StreamOptions{})
		stuck := subscribe(t, w.log, api.StreamOptions{Buffer: 1, MaxBytes: 100})
		synctest.Wait()
		for range 3 {
			w.commit(90, inserts(1, 2)...)
			take(t, closed, 2)
			synctest.Wait()
		}
		require.Error(t, stuck.Err())
		broken := w.make(10, inserts(1, 1)...)
		reads := subscribe(t, w.log, api.StreamOptions{})
		closed.Close()
		broken.fault = errors.New("disk on fire")
		w.log.Append(broken)
		_, err := rest(t, reads)
		require.ErrorContains(t, err, "disk on fire")
		gapped := subscribe(t, w.log, api.StreamOptions{})
		w.log.Lose(errors.New("a reason"))
		_, err = rest(t, gapped)
		require.ErrorContains(t, err, "a reason")
		subscribe(t, w.log, api.StreamOptions{})
		w.log.Close(errOver)
		require.Equal(t, map[api.EndReason]uint64{api.EndClosed: 1, api.EndLag: 1, api.EndLost: 2, api.EndSource: 1},
			measured(t, catalog).Ended)
	})
}

func TestGaugesTellWhatTheLogHoldsAndWhoLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		catalog, _, w := counted(t)
		defer w.log.Close(errOver)
		fast, slow := subscribe(t, w.log, api.StreamOptions{}), subscribe(t, w.log, api.StreamOptions{Buffer: 1})
		subscribe(t, w.log, api.StreamOptions{Tables: []string{"orders"}})
		synctest.Wait()
		stats := measured(t, catalog)
		require.Equal(t, []int64{0, 3, 0}, []int64{stats.LogBytes, int64(stats.Streams), stats.LagBytes})
		for range 5 {
			w.commit(1000, inserts(1, 2)...)
			take(t, fast, 2)
			synctest.Wait()
		}
		stats = measured(t, catalog)
		require.Equal(t, []int64{5000, 3, 5000}, []int64{stats.LogBytes, int64(stats.Streams), stats.LagBytes})
		take(t, slow, 4)
		synctest.Wait()
		require.Equal(t, int64(3000), measured(t, catalog).LagBytes)
		slow.Close()
		synctest.Wait()
		stats = measured(t, catalog)
		require.Equal(t, []int64{0, 2, 0}, []int64{stats.LogBytes, int64(stats.Streams), stats.LagBytes})
	})
}
