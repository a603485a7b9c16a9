package cdc_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// brief is a transaction that tells whom it concerns.
type brief struct {
	*transaction
	asked, passed atomic.Int64
}

func (b *brief) Concerns(selection *cdc.Selection) bool {
	b.asked.Add(1)
	for _, row := range b.rows {
		if selection.Accepts(row.table, row.op) {
			return true
		}
	}
	return false
}

func (b *brief) Passed() { b.passed.Add(1) }

// commitBrief appends a transaction of the given size that tells whom it concerns.
func (w *writer) commitBrief(size int64, rows ...row) *brief {
	tx := &brief{transaction: w.make(size, rows...)}
	w.log.Append(tx)
	return tx
}

func TestNobodyIsWokenForWhatConcernsNobody(t *testing.T) {
	for _, streams := range []int{1, 2, 100} {
		synctest.Test(t, func(t *testing.T) {
			log, w := newLog(t, 64*unit.MiB)
			var all []api.Stream
			for range streams {
				all = append(all, subscribe(t, log, api.StreamOptions{Tables: []string{"orders"}}))
			}
			w.commitBrief(1000, inserts(0, 1)...) // makes the keeper look when it must look again
			synctest.Wait()
			for i := range int64(200) {
				tx := w.commitBrief(1000, inserts(i, 2)...)
				require.Equal(t, int64(1), tx.asked.Load(), "once for all that select the same")
				require.Equal(t, int64(1), tx.passed.Load())
				requireHeld(t, log, 0, 0)
				synctest.Wait()
				require.Zero(t, tx.opened.Load())
			}
			require.Equal(t, uint64(201), log.Progress().Passed)
			for i := range int64(3) {
				tx := w.commitBrief(1000, row{users, api.OpInsert, 1}, row{orders, api.OpInsert, i})
				require.Zero(t, tx.passed.Load())
				w.commitBrief(1000, inserts(i, 1)...)
				for _, s := range all {
					require.Equal(t, []string{fmt.Sprintf("%d.1 insert Orders %d !", tx.header.Sequence, i)}, lines(take(t, s, 1)))
				}
				synctest.Wait()
				require.GreaterOrEqual(t, tx.opened.Load(), int64(streams))
			}
			requireHeld(t, log, 0, 0)
		})
	}
}

func TestWhatConcernsOneGroupIsReadByThatAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		onUsers, onOrders := subscribe(t, log, api.StreamOptions{Tables: []string{"users"}}), subscribe(t, log, api.StreamOptions{Tables: []string{"orders"}})
		stuck := subscribe(t, log, api.StreamOptions{Tables: []string{"users"}, Buffer: 1})
		synctest.Wait()
		for i := range int64(100) {
			first, second := w.commitBrief(10, row{users, api.OpInsert, i}), w.commitBrief(10, row{orders, api.OpDelete, i})
			w.commitBrief(10, row{users, api.OpTruncate, i})
			require.Equal(t, i, take(t, onUsers, 1)[0].After[0].Int64())
			require.Equal(t, api.OpTruncate, take(t, onUsers, 1)[0].Op)
			require.Equal(t, i, take(t, onOrders, 1)[0].Before[0].Int64())
			synctest.Wait()
			require.Zero(t, first.passed.Load()+second.passed.Load())
		}
		for i := range int64(100) {
			require.Equal(t, i, take(t, stuck, 2)[0].After[0].Int64())
		}
		synctest.Wait()
		requireHeld(t, log, 0, 0)
	})
}

// What streams were moved past may never be read by those that were busy.
func TestWhatSomeHavePassedIsToldThoughOthersAreBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		subscribe(t, log, api.StreamOptions{Tables: []string{"orders"}})
		stuck := subscribe(t, log, api.StreamOptions{Tables: []string{"users"}, Buffer: 1})
		w.commit(10, inserts(1, 3)...)
		synctest.Wait()
		tx := w.commitBrief(10, inserts(4, 1)...)
		require.Equal(t, int64(1), tx.passed.Load())
		requireHeld(t, log, 2, 20)
		stuck.Close()
		require.Zero(t, tx.opened.Load())
		requireHeld(t, log, 0, 0)
	})
}

// What would keep the writer from its work is left to the keeper.
func TestManyGroupsAndManyTablesAreLeftToTheKeeper(t *testing.T) {
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprintf("t%d", i)
	}
	groups := make([]api.StreamOptions, 9)
	for i := range groups {
		groups[i].Tables = many[i : i+1]
	}
	for name, subscriptions := range map[string][]api.StreamOptions{
		"groups": groups, "tables": {{Tables: many}, {Tables: many}}, "tables together": {{Tables: many[:40]}, {Tables: many[39:]}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, w := newLog(t, unit.MiB)
				for _, opts := range subscriptions {
					subscribe(t, log, opts)
				}
				w.commit(10, inserts(1, 1)...) // makes the keeper look when it must look again
				synctest.Wait()
				tx := w.commitBrief(10, inserts(1, 1)...)
				require.LessOrEqual(t, tx.asked.Load(), int64(1))
				synctest.Wait()
				require.Zero(t, tx.passed.Load())
				require.Positive(t, tx.opened.Load())
				requireHeld(t, log, 0, 0)
			})
		})
	}
}

// What the keeper has yet to look through comes first.
func TestNothingIsPassedOverBehindSomethingThatIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		var all []api.Stream
		for range 3 {
			all = append(all, subscribe(t, log, api.StreamOptions{Tables: []string{"orders"}}))
		}
		synctest.Wait()
		first := w.make(10, row{users, api.OpInsert, 1}, row{orders, api.OpInsert, 2})
		first.gate = make(chan struct{}) // holds up the keeper, too
		log.Append(&brief{transaction: first})
		synctest.Wait()
		second := w.commitBrief(10, inserts(3, 1)...)
		third := w.commitBrief(10, row{orders, api.OpInsert, 4})
		require.Zero(t, second.passed.Load()+third.passed.Load())
		close(first.gate)
		for _, s := range all {
			require.Equal(t, []string{"1.1 insert Orders 2 !", "3.0 insert Orders 4 !"}, lines(take(t, s, 2)))
		}
		synctest.Wait()
		requireHeld(t, log, 0, 0)
	})
}
