package log_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// What is unread is what the reader would have been given, and counting it acknowledges nothing.
func TestWhatAReaderHasLeft(t *testing.T) {
	for name, c := range map[string]struct {
		// read is how many entries are read of each transaction that is begun.
		read  []int
		want  log.Unread
		acked uint64
	}{
		"nothing was read":   {nil, log.Unread{Transactions: 3, Changes: 4}, 0},
		"one in part":        {[]int{1}, log.Unread{Transactions: 3, Changes: 3}, 0},
		"one as a whole":     {[]int{2}, log.Unread{Transactions: 2, Changes: 2}, 1},
		"all but the newest": {[]int{2, 1}, log.Unread{Transactions: 1, Changes: 1}, 3},
		"all":                {[]int{2, 1, 1}, log.Unread{}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, w := newLog(t, unit.MiB)
				r := open(t, l, options("users"))
				open(t, l, options("users")) // it keeps the log
				w.commit(t, insert(users, 1), insert(orders, 1), insert(users, 2))
				w.commit(t, insert(orders, 2))
				w.commit(t, insert(users, 3))
				w.commit(t, insert(users, 4))
				for _, n := range c.read {
					next(t, r, n)
					r.Done()
				}
				require.Equal(t, c.want, r.Unread(100))
				r.Close()
			})
			synctest.Test(t, func(t *testing.T) {
				l, w := newLog(t, unit.MiB)
				r := open(t, l, options("users"))
				w.commit(t, insert(users, 1), insert(orders, 1), insert(users, 2))
				w.commit(t, insert(orders, 2))
				w.commit(t, insert(users, 3))
				w.commit(t, insert(users, 4))
				for _, n := range c.read {
					next(t, r, n)
					r.Done()
				}
				before := acked(l)
				r.Unread(100)
				require.Equal(t, before, acked(l))
				r.Close()
				require.Equal(t, before, acked(l), "the next reader gets it")
			})
		})
	}
}

func TestWhatAReaderHasLeftIsCountedUpToABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLog(t, unit.MiB)
		r := open(t, l, options())
		for range 10 {
			w.commit(t, insert(users, 1), insert(users, 2))
		}
		require.Equal(t, log.Unread{Transactions: 3, Changes: 5, More: true}, r.Unread(5))
	})
}

// Of a log that is closed the rest is counted, of one that was dropped nothing: it comes again.
func TestWhatIsLeftOfALogThatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, drop := range []bool{false, true} {
			l, w := newLog(t, unit.MiB)
			r := open(t, l, options())
			w.commit(t, insert(users, 1), insert(users, 2))
			next(t, r, 1)
			want := log.Unread{Ended: api.EndSource}
			if drop {
				l.Drop(errOver)
			} else {
				l.Close(errOver)
				want.Transactions, want.Changes = 1, 1
			}
			require.Equal(t, want, r.Unread(100))
		}
	})
}

// A reader that waits is counted for as well while its list is being called and it was not woken yet.
func TestWhatReadersHaveLeftThatAreBeingWoken(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	readers := make([]*log.Reader, 100)
	for round := range 50 {
		for i := range readers {
			readers[i] = open(t, l, options())
		}
		w.commit(t, insert(users, int64(round)))
		for _, r := range readers {
			require.Equal(t, log.Unread{Transactions: 1, Changes: 1}, r.Unread(100))
			r.Close()
		}
	}
}
