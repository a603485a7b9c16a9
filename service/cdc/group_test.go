package cdc_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

func TestTransactionsAreLookedThroughOnceForAllStreamsThatWaitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, 64*unit.MiB)
		var streams []api.Stream
		for range 100 {
			streams = append(streams, subscribe(t, log, api.StreamOptions{Tables: []string{"orders"}}))
		}
		synctest.Wait()
		for i := range int64(200) {
			tx := w.commit(1000, inserts(i, 1)...)
			synctest.Wait()
			require.Equal(t, int64(1), tx.opened.Load())
			requireHeld(t, log, 0, 0)
		}
		w.commit(1000, inserts(0, 1)...)
		w.commit(1000, row{orders, api.OpInsert, 7}, row{users, api.OpInsert, 8})
		w.commit(1000, inserts(0, 1)...)
		for _, s := range streams {
			require.Equal(t, []string{"202.0 insert Orders 7 !"}, lines(take(t, s, 1)))
		}
		synctest.Wait()
		requireHeld(t, log, 0, 0)
	})
}

func TestTheOnlyStreamMayBeLookedThroughForToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		s := subscribe(t, log, api.StreamOptions{Tables: []string{"orders"}})
		other := subscribe(t, log, api.StreamOptions{Tables: []string{"orders"}})
		for range 3 {
			w.commit(10, inserts(1, 1)...)
			synctest.Wait()
		}
		other.Close()
		w.commit(10, row{orders, api.OpInsert, 4})
		w.commit(10, inserts(5, 1)...)
		require.Equal(t, []string{"4.0 insert Orders 4 !"}, lines(take(t, s, 1)))
		synctest.Wait()
		for i := range int64(3) {
			w.commit(10, row{orders, api.OpInsert, i})
			require.Equal(t, i, take(t, s, 1)[0].After[0].Int64())
			w.commit(10, inserts(5, 1)...)
			synctest.Wait()
		}
		requireHeld(t, log, 0, 0)
	})
}

func TestLargeTransactionsAreLeftToTheStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, 64*unit.MiB)
		for range 5 {
			subscribe(t, log, api.StreamOptions{Tables: []string{"orders"}})
		}
		synctest.Wait()
		tx := w.commit(int64(unit.MiB), inserts(0, 10)...)
		synctest.Wait()
		require.Equal(t, int64(5), tx.opened.Load())
		require.Zero(t, tx.decoded.Load())
		requireHeld(t, log, 0, 0)
	})
}

func TestGroupsDoNotDisturbEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		onUsers, onOrders := subscribe(t, log, api.StreamOptions{Tables: []string{"users"}}), subscribe(t, log, api.StreamOptions{Tables: []string{"orders"}})
		deletes := subscribe(t, log, api.StreamOptions{Ops: []api.Op{api.OpDelete}})
		stuck := subscribe(t, log, api.StreamOptions{Tables: []string{"users"}, Buffer: 1, MaxBytes: 5000})
		for i := range int64(100) {
			w.commit(100, row{users, api.OpInsert, i})
			w.commit(100, row{orders, api.OpInsert, i})
			require.Equal(t, i, take(t, onUsers, 1)[0].After[0].Int64())
			require.Equal(t, i, take(t, onOrders, 1)[0].After[0].Int64())
			synctest.Wait()
		}
		require.ErrorContains(t, stuck.Err(), "stream fell behind: ")
		w.commit(100, row{users, api.OpDelete, 1})
		require.Equal(t, []string{"201.0 delete users 1 !"}, lines(take(t, deletes, 1)))
		deletes.Close()
		w.commit(100, row{orders, api.OpInsert, 5})
		require.Equal(t, []string{"202.0 insert Orders 5 !"}, lines(take(t, onOrders, 1)))
		require.Equal(t, []string{"201.0 delete users 1 !"}, lines(take(t, onUsers, 1)))
		synctest.Wait()
		requireHeld(t, log, 0, 0)
	})
}

func TestStreamsThatWaitWhileTheLogIsFloodedHearOfIt(t *testing.T) {
	log, w := newLog(t, 1000)
	var streams []api.Stream
	for range 10 {
		streams = append(streams, subscribe(t, log, api.StreamOptions{Tables: []string{"orders"}, MaxBytes: 1000}))
	}
	for i := range int64(10_000) {
		w.commit(100, inserts(i, 1)...)
	}
	w.commit(100, row{orders, api.OpInsert, 1})
	for _, s := range streams {
		c, err := s.Next(t.Context())
		if err == nil {
			require.Equal(t, []string{"10001.0 insert Orders 1 !"}, lines([]*api.Change{c}))
			continue
		}
		require.ErrorContains(t, err, "stream fell behind: ")
	}
}

// secret is a transaction that holds nothing for the stream with one selection, as engines know it by its pointer.
type secret struct {
	*transaction
	from *cdc.Selection
}

func (s secret) Open(selection *cdc.Selection) cdc.Reader {
	if selection == s.from {
		return &reader{tx: &transaction{}, selection: selection}
	}
	return s.transaction.Open(selection)
}

func TestWhatAnEngineKnowsOfOneStreamIsNotTrueOfItsGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		defer log.Close(errOver)
		opts := api.StreamOptions{Tables: []string{"users"}}
		var from *cdc.Selection
		snap := &snapshot{}
		p := cdc.Prelude{Begin: func(_ context.Context, selection *cdc.Selection, join func() error) (cdc.Snapshot, error) {
			from = selection
			return snap, join()
		}}
		first := subscribeSnapshot(t, w, opts, p)
		second := subscribe(t, log, opts)
		synctest.Wait() // both wait, and the first has founded their group
		log.Append(secret{w.make(10, inserts(1, 1)...), from})
		require.Equal(t, int64(1), take(t, second, 1)[0].After[0].Int64())
		w.commit(10, inserts(2, 1)...)
		require.Equal(t, int64(2), take(t, first, 1)[0].After[0].Int64())
	})
}

func TestClosingALogEndsTheBeginningOfASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _ := newLog(t, unit.MiB)
		ended := make(chan error, 1)
		go func() {
			_, err := log.SubscribeSnapshot(context.Background(), api.StreamOptions{}, cdc.Prelude{
				Begin: func(ctx context.Context, _ *cdc.Selection, join func() error) (cdc.Snapshot, error) {
					err := join()
					<-ctx.Done()
					return nil, errors.Join(err, ctx.Err())
				},
			})
			ended <- err
		}()
		synctest.Wait()
		log.Close(errOver)
		require.Equal(t, errOver, <-ended)
	})
}
