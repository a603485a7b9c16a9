package log_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// acked returns what is acknowledged when the log's goroutine has nothing to do.
func acked(l *log.Log) uint64 {
	synctest.Wait()
	return l.Acked()
}

// next reads the next record and its first n entries.
func next(t *testing.T, r *log.Reader, n int) *log.Record {
	t.Helper()
	record, err := r.Next()
	for err == nil && record == nil {
		<-r.Ready()
		record, err = r.Next()
	}
	require.NoError(t, err)
	for range n {
		_, err := record.Next()
		require.NoError(t, err)
	}
	return record
}

func TestAckedIsWhatEveryReaderHasComeBackFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLog(t, unit.MiB)
		require.Zero(t, acked(l))
		fast, slow := open(t, l, options()), open(t, l, options())
		quiet := open(t, l, options("Orders"))
		for range 3 {
			w.commit(t, insert(users, 1), insert(users, 2))
		}
		require.Zero(t, acked(l), "nothing was read")
		_, err := read(t, fast)
		require.NoError(t, err)
		next(t, slow, 2)
		next(t, slow, 1)
		require.Equal(t, uint64(1), acked(l), "half a transaction does not count")
		next(t, slow, 2)
		require.Equal(t, uint64(2), acked(l))
		requireLines(t, slow)
		require.Equal(t, uint64(3), acked(l))

		w.commit(t, insert(users, 1))
		fast.Close()
		quiet.Close()
		next(t, slow, 1)
		w.commit(t, insert(users, 1))
		require.Equal(t, uint64(3), acked(l))
		slow.Done()
		require.Equal(t, uint64(4), acked(l), "all of it was handed out")
		slow.Close()
		require.Equal(t, uint64(4), acked(l), "what the last one had acknowledged")
		require.False(t, l.Append(w.make(insert(users, 1))))
		require.Equal(t, uint64(4), acked(l))
		r := open(t, l, options())
		w.commit(t, insert(users, 1))
		require.LessOrEqual(t, acked(l), uint64(6))
		_, err = read(t, r)
		require.NoError(t, err)
		require.Equal(t, uint64(7), acked(l))
	})
}

func TestDoneIsNotForHalfARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLog(t, unit.MiB)
		r := open(t, l, options("users"))
		r.Done()
		w.commit(t, insert(users, 1), insert(users, 2), insert(orders, 3))
		next(t, r, 0)
		r.Done()
		require.Zero(t, acked(l))
		r2 := open(t, l, options("users"))
		w.commit(t, insert(users, 1), insert(users, 2), insert(orders, 3))
		second := next(t, r2, 1)
		r2.Done()
		require.Zero(t, acked(l))
		requireLines(t, r, "2.0 users 1", "2.1 users 2 !")
		require.Equal(t, uint64(1), acked(l))
		_, err := second.Next()
		require.NoError(t, err)
		r2.Done()
		require.Equal(t, uint64(2), acked(l))
	})
}

func TestManualAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLog(t, unit.MiB)
		w.sequence = 100
		other := open(t, l, options())
		w.commit(t, insert(orders, 1)) // 101
		r := open(t, l, options("users"))
		_, err := read(t, other)
		require.NoError(t, err)
		at := func(sequence uint64, index int) api.Position { return api.Position{Sequence: sequence, Index: index} }

		w.commit(t, insert(users, 1), insert(users, 2)) // 102
		other.Close()
		require.Equal(t, uint64(101), acked(l))
		next(t, r, 1)
		r.Hand(at(102, 0))
		require.Equal(t, uint64(101), acked(l), "what came before it did not concern it")
		err = r.Ack(at(102, 1))
		require.EqualError(t, err, "position 102.1 was not delivered yet: the newest is 102.0")
		require.Equal(t, errs.Invalid, errs.KindOf(err))
		require.NoError(t, r.Ack(at(102, 0)))
		require.Equal(t, uint64(101), acked(l), "half a transaction does not count")
		r.Hand(at(102, 1))
		requireLines(t, r)
		require.Equal(t, uint64(101), acked(l), "it has come back, but it acknowledges by hand")
		require.NoError(t, r.Ack(at(102, 1)))
		require.Equal(t, uint64(102), acked(l))
		require.NoError(t, r.Ack(at(102, 0)), "an older one is no news")
		require.Equal(t, uint64(102), acked(l))

		w.commit(t, insert(orders, 1)) // 103
		require.Equal(t, uint64(103), acked(l), "it does not concern it")
		w.commit(t, insert(users, 3)) // 104
		next(t, r, 1)
		r.Hand(at(104, 0))
		require.Equal(t, uint64(103), acked(l), "it does not go back")
		w.commit(t, insert(users, 4)) // 105
		next(t, r, 1)
		r.Hand(at(105, 0))
		require.NoError(t, r.Ack(at(104, 0)))
		require.GreaterOrEqual(t, acked(l), uint64(103))
		require.Less(t, acked(l), uint64(105))
		require.NoError(t, r.Ack(at(105, 0)))
		requireLines(t, r)
		require.Equal(t, uint64(105), acked(l))
		w.commit(t, insert(users, 5)) // 106
		next(t, r, 1)
		r.Hand(at(106, 0))
		requireLines(t, r)
		r.Close()
		require.Equal(t, uint64(105), acked(l), "what the last one had acknowledged")
	})
}
