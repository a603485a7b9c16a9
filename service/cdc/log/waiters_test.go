package log_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// only returns the options of a reader that is woken for and accepts some operations.
func only(o log.Options, codes ...log.Code) log.Options {
	var set log.Codes
	for _, c := range codes {
		set |= 1 << c
	}
	accept := o.Accept
	o.Interest.Codes = set
	o.Accept = func(s log.Shape) log.Codes { return accept(s) & set }
	return o
}

func TestReadersAreNotWokenForWhatDoesNotConcernThem(t *testing.T) {
	for _, readers := range []int{1, 2, 200} {
		synctest.Test(t, func(t *testing.T) {
			l, w := newLog(t, unit.MiB)
			var quiet []*log.Reader
			for range readers {
				quiet = append(quiet,
					open(t, l, options("Orders")), open(t, l, only(options("users"), log.Delete)), open(t, l, only(options(), log.Delete)))
			}
			for i := range 300 {
				w.commitLarge(t, 1000, insert(users, int64(i)))
				synctest.Wait()
			}
			for _, r := range quiet {
				require.False(t, woken(r))
				require.True(t, r.Waits())
			}
			require.Equal(t, uint64(300), l.Acked(), "there was nothing for any of them")
			require.LessOrEqual(t, l.Held(), int64(64<<10), "none of them keeps a segment")

			w.commit(t, insert(users, 1), insert(orders, 2))
			w.commit(t, insert(users, 3))
			w.commit(t, row{users, log.Delete, 4})
			synctest.Wait()
			for i, r := range quiet {
				require.True(t, woken(r))
				if i%3 == 0 {
					requireLines(t, r, "301.1 Orders 2 !")
				} else {
					requireLines(t, r, "303.0 users 4 !")
				}
			}
		})
	}
}

func TestTheWriterWakesTheOnlyReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLog(t, unit.MiB)
		onUsers, onOrders := open(t, l, options("users")), open(t, l, options("Orders"))
		both := open(t, l, options("users", "Orders"))
		both.Close()
		w.commit(t, insert(users, 1))
		require.True(t, woken(onUsers), "without the log's goroutine")
		require.False(t, woken(onOrders))
		w.commit(t, insert(orders, 2))
		require.True(t, woken(onOrders))
		requireLines(t, onUsers, "1.0 users 1 !")
		requireLines(t, onOrders, "2.0 Orders 2 !")
		both = open(t, l, options("users", "Orders"))
		onUsers.Close()
		onOrders.Close()
		w.commit(t, insert(users, 3), insert(orders, 4))
		require.True(t, woken(both), "it is in both lists, and alone in them")
		requireLines(t, both, "3.0 users 3", "3.1 Orders 4 !")
	})
}

func TestTheLogWakesSeveralReaders(t *testing.T) {
	for _, readers := range []int{2, 63, 64, 65, 1000} {
		synctest.Test(t, func(t *testing.T) {
			l, w := newLog(t, unit.MiB)
			var all []*log.Reader
			for i := range readers {
				all = append(all, open(t, l, options([][]string{nil, {"users"}, {"users", "Orders"}}[i%3]...)))
			}
			for i := range 3 {
				w.commit(t, insert(users, int64(i)))
				synctest.Wait()
				for _, r := range all {
					require.True(t, woken(r))
					requireLines(t, r, fmt.Sprintf("%d.0 users %d !", i+1, i))
				}
			}
		})
	}
}

// What is appended while lists are called, and readers that park meanwhile.
func TestReadersInSeveralListsMissNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLog(t, unit.MiB)
		onUsers, onOrders := open(t, l, options("users")), open(t, l, options("Orders"))
		both, all := open(t, l, options("users", "Orders")), open(t, l, options())
		want := map[*log.Reader][]string{}
		for i := range 100 {
			// The log's goroutine does not run before the end: this one does not wait.
			w.commit(t, insert(users, int64(i)))
			w.commit(t, insert(orders, int64(i)))
			onUser, onOrder := fmt.Sprintf("%d.0 users %d !", 2*i+1, i), fmt.Sprintf("%d.0 Orders %d !", 2*i+2, i)
			want[onUsers] = append(want[onUsers], onUser)
			want[onOrders] = append(want[onOrders], onOrder)
			want[both] = append(want[both], onUser, onOrder)
			want[all] = append(want[all], onUser, onOrder)
			if i%7 != 0 {
				continue
			}
			if i%2 == 0 {
				synctest.Wait()
			}
			for r, lines := range want {
				got, err := read(t, r)
				require.NoError(t, err)
				if i%2 == 0 {
					require.Equal(t, fmt.Sprint(lines), fmt.Sprint(got))
				} else {
					require.Equal(t, fmt.Sprint(lines[:len(got)]), fmt.Sprint(got))
				}
				want[r] = lines[len(got):]
			}
		}
		synctest.Wait()
		for r, lines := range want {
			got, err := read(t, r)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(lines), fmt.Sprint(got))
		}
	})
}

func TestAReaderThatIsCalledKeepsWhatItIsCalledFor(t *testing.T) {
	for _, ends := range []string{"close", "lose", "leave"} {
		t.Run(ends, func(t *testing.T) {
			// Sooner or later the log's goroutine has not looked yet.
			for range 100 {
				l, w := newLog(t, unit.MiB)
				readers := []*log.Reader{open(t, l, options()), open(t, l, options("users")), open(t, l, options("users"))}
				w.commit(t, insert(users, 1))
				w.commit(t, insert(orders, 2))
				switch ends {
				case "close":
					l.Close(errOver)
				case "lose":
					w.sequence++
					require.True(t, l.Lose(w.sequence, errOver))
				case "leave":
					readers[0].Close()
					readers = readers[1:]
				}
				for i, r := range readers {
					lines, err := read(t, r)
					for ends == "leave" && len(lines) == 0 {
						<-r.Ready()
						lines, err = read(t, r)
					}
					if i == 0 && ends != "leave" {
						require.Equal(t, []string{"1.0 users 1 !", "2.0 Orders 2 !"}, lines)
					} else {
						require.Equal(t, []string{"1.0 users 1 !"}, lines)
					}
					if ends == "leave" {
						require.NoError(t, err)
					} else {
						require.Equal(t, errOver, err)
					}
				}
				l.Close(errOver)
				require.Equal(t, w.sequence, l.Acked(), "everything was read")
			}
		})
	}
}

func TestReadersParkAndAreWokenWhileAWriterAppends(t *testing.T) {
	const transactions, readers = 3000, 12
	l, w := newLog(t, 256*unit.KiB)
	var work sync.WaitGroup
	failures := make(chan error, readers)
	for i := range readers {
		tables := [][]string{nil, {"users"}, {"Orders"}, {"users", "Orders"}}[i%4]
		r := open(t, l, options(tables...))
		want := transactions
		if len(tables) == 1 {
			want /= 2
		}
		work.Go(func() {
			count, last := 0, uint64(0)
			for count < want {
				record, err := r.Next()
				if err != nil {
					failures <- err
					return
				}
				if record == nil {
					<-r.Ready()
					continue
				}
				if record.Sequence <= last {
					failures <- fmt.Errorf("%d came after %d", record.Sequence, last)
					return
				}
				last = record.Sequence
				count++
			}
		})
	}
	for i := range transactions {
		w.commit(t, insert([]*shape{users, orders}[i%2], int64(i)))
	}
	work.Wait()
	require.Empty(t, failures)
}

// A reader that begins behind the newest transaction reads the next one or is told that it was not kept.
func TestNoTransactionFallsBetweenTheLastReaderAndTheNext(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	var newest atomic.Uint64
	var stop atomic.Bool
	var work sync.WaitGroup
	work.Go(func() {
		for !stop.Load() {
			tx := w.make(insert(users, 1))
			l.Append(tx)
			newest.Store(tx.Sequence)
		}
	})
	defer work.Wait()
	defer stop.Store(true)
	for range 5000 {
		seen := newest.Load()
		r, err := l.Open(after(options(), api.Behind(seen)))
		if err != nil {
			require.Equal(t, errs.Unavailable, errs.KindOf(err))
			continue
		}
		record, err := r.Next()
		for err == nil && record == nil {
			<-r.Ready()
			record, err = r.Next()
		}
		require.NoError(t, err)
		require.Equal(t, seen+1, record.Sequence)
		r.Close()
	}
}

func TestManyTablesThatNoReaderWaitsForAreForgotten(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	r := open(t, l, options("users"))
	for i := range 5000 {
		s := &shape{id: uint32(i + 10)}
		s.table.Name = fmt.Sprintf("t%d", i)
		w.sequence++
		tx := &log.Transaction{
			Sequence: w.sequence, Entries: entries(insert(s, 1)), Head: make([]byte, 1000),
			Touched: []log.Touched{{ID: s.id, Shape: s, Codes: 1 << log.Insert}},
		}
		require.True(t, l.Append(tx))
		if i%100 == 0 {
			late := open(t, l, options(s.table.Name))
			defer late.Close()
		}
	}
	w.commit(t, insert(users, 1))
	<-r.Ready()
	requireLines(t, r, "5001.0 users 1 !")
}
