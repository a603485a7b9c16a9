package log_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

func TestLogKeepsNothingWithoutReaders(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	require.False(t, l.Watched())
	require.False(t, l.Append(w.make(insert(users, 1))))
	require.Zero(t, l.Held())
	r := open(t, l, options())
	require.True(t, l.Watched())
	w.commit(t, insert(users, 2))
	require.Equal(t, int64(frontOfOne+entrySize), l.Held())
	r.Close()
	r.Close()
	require.False(t, l.Watched())
	require.False(t, l.Append(w.make(insert(users, 3))))
	require.Zero(t, l.Held())
	require.Equal(t, uint64(1), l.Stats().Transactions)
	require.Equal(t, uint64(1), l.Stats().Changes[log.Insert])
}

func TestReaderReadsWhatIsAppendedAfterItWasOpened(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	first := open(t, l, options())
	w.commit(t, insert(users, 1), insert(orders, 2))
	second := open(t, l, options("Orders"))
	w.commit(t, insert(users, 3), insert(orders, 4), insert(users, 5))
	w.commit(t, insert(users, 6))
	requireLines(t, first, "1.0 users 1", "1.1 Orders 2 !", "2.0 users 3", "2.1 Orders 4", "2.2 users 5 !", "3.0 users 6 !")
	requireLines(t, second, "2.1 Orders 4 !")
	requireLines(t, first)
}

func TestVoidEntriesDoNotCount(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	r := open(t, l, options())
	tx := w.make(insert(users, 1), insert(users, 2))
	tx.Entries = append(append(entry(2, insert(users, 7)), tx.Entries...), entry(2, insert(users, 8))...)
	tx.Voids = true
	require.True(t, l.Append(tx))
	requireLines(t, r, "1.0 users 1", "1.1 users 2 !")
}

func TestTheTransactionMayBeUsedAgain(t *testing.T) {
	for _, rows := range []int{1, 5000} {
		l, w := newLog(t, unit.MiB)
		r := open(t, l, options())
		var all []row
		for range rows {
			all = append(all, insert(users, 7))
		}
		tx := w.make(all...)
		tx.Head = []byte("head")
		require.True(t, l.Append(tx))
		clear(tx.Entries)
		clear(tx.Head)
		record, err := r.Next()
		require.NoError(t, err)
		require.Equal(t, "head", string(record.Head))
		require.True(t, tx.At.Equal(record.At))
		lines, err := read(t, r)
		require.NoError(t, err)
		require.Empty(t, lines, "asking for the next record is to be done with the one before")
		require.Equal(t, uint64(1), l.Acked())
	}
}

func TestAnIDThatChangesItsMeaningBeginsASegment(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	r := open(t, l, options("users", "people"))
	w.commit(t, insert(users, 1))
	renamed := &shape{id: users.id}
	renamed.table.Name = "people"
	tx := w.make(insert(users, 2))
	tx.Touched[0].Shape = renamed
	require.True(t, l.Append(tx))
	w.commit(t, insert(users, 3))
	requireLines(t, r, "1.0 users 1 !", "2.0 people 2 !", "3.0 users 3 !")
}

func TestSegmentsLeaveWhenAllHaveReadThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const memory = 16 * 64 << 10
		l, w := newLog(t, memory)
		fast, slow := open(t, l, options()), open(t, l, options())
		for range 1000 {
			w.commitLarge(t, 1000, insert(users, 1))
			synctest.Wait()
			_, err := read(t, fast)
			require.NoError(t, err)
		}
		all := l.Held()
		require.Equal(t, int64(1000*(frontOfOne+entrySize+1000)), all)
		_, lag := l.Slowest()
		require.Equal(t, all, lag)
		lines, err := read(t, slow)
		require.NoError(t, err)
		require.Len(t, lines, 1000)
		require.LessOrEqual(t, l.Held(), int64(memory/16), "the newest segment may stay")
		synctest.Wait()
		slowest, lag := l.Slowest()
		require.Nil(t, slowest)
		require.Zero(t, lag)
	})
}

func TestLogLetsGoOfWhatAClosedReaderHadYetToRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLog(t, 16*64<<10)
		fast, slow := open(t, l, options()), open(t, l, options())
		for range 1000 {
			w.commitLarge(t, 1000, insert(users, 1))
			synctest.Wait()
			_, err := read(t, fast)
			require.NoError(t, err)
		}
		slow.Close()
		require.LessOrEqual(t, l.Held(), int64(64<<10))
		fast.Close()
		require.Zero(t, l.Held())
	})
}

func TestLargeTransactionsLeaveAsSoonAsAllHaveReadThem(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	r := open(t, l, options())
	var rows []row
	for i := range 5000 {
		rows = append(rows, insert(users, int64(i)))
	}
	w.commit(t, rows...)
	require.Equal(t, int64(frontOfOne+5000*entrySize), l.Held())
	lines, err := read(t, r)
	require.NoError(t, err)
	require.Len(t, lines, 5000)
	require.Zero(t, l.Held())
}

func TestNextGivesItsCallerATurnAmongMuchThatIsNotForIt(t *testing.T) {
	l, w := newLog(t, 64*unit.MiB)
	r := open(t, l, options("Orders"))
	w.commit(t, insert(orders, 1))
	for i := range 10_000 {
		w.commit(t, insert(users, int64(i)))
	}
	var rows []row
	for i := range 10_000 {
		rows = append(rows, insert(users, int64(i)))
	}
	w.commit(t, append(rows, insert(orders, 2))...)
	require.True(t, woken(r))
	turns := 0
	for !r.Waits() {
		record, err := r.Next()
		require.NoError(t, err)
		for record != nil {
			e, err := record.Next()
			if err != nil {
				break
			}
			if e == nil {
				turns++
				require.True(t, woken(r), "it is worth asking again")
			}
		}
		if record == nil && !r.Waits() {
			turns++
			require.True(t, woken(r))
		}
	}
	require.GreaterOrEqual(t, turns, 4)
}

func TestReaderBeginsBehindAPosition(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	keeps := open(t, l, options())
	w.commit(t, insert(users, 1), insert(orders, 2), insert(users, 3))
	w.commit(t, insert(orders, 4), insert(users, 5))
	w.commit(t, insert(users, 6))
	for _, test := range []struct {
		after api.Position
		want  []string
	}{
		{api.Position{Sequence: 1, Index: 0}, []string{"1.2 users 3 !", "2.1 users 5 !", "3.0 users 6 !"}},
		{api.Position{Sequence: 1, Index: 1}, []string{"1.2 users 3 !", "2.1 users 5 !", "3.0 users 6 !"}},
		{api.Position{Sequence: 1, Index: 2}, []string{"2.1 users 5 !", "3.0 users 6 !"}},
		{api.Behind(1), []string{"2.1 users 5 !", "3.0 users 6 !"}},
		{api.Position{Sequence: 2, Index: 1}, []string{"3.0 users 6 !"}},
		{api.Behind(2), []string{"3.0 users 6 !"}},
		{api.Position{Sequence: 3, Index: 0}, nil},
		{api.Behind(3), nil},
		{api.Behind(9), nil},
	} {
		r := open(t, l, after(options("users"), test.after))
		requireLines(t, r, test.want...)
		r.Close()
	}
	behind := open(t, l, after(options(), api.Behind(4)))
	w.commit(t, insert(users, 7))
	w.commit(t, insert(users, 8))
	requireLines(t, behind, "5.0 users 8 !")
	lines, err := read(t, keeps)
	require.NoError(t, err)
	require.Len(t, lines, 8)
}

func TestAPositionThatHasLeftTheLogIsUnavailable(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	refused := func(position api.Position) {
		t.Helper()
		_, err := l.Open(after(options(), position))
		require.EqualError(t, err, "the position has left the log: begin anew with a snapshot")
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
	}
	l.BeginAt(5)
	refused(api.Behind(4))
	open(t, l, after(options(), api.Behind(5))).Close()
	w.sequence = 5
	require.False(t, l.Append(w.make(insert(users, 1))))
	refused(api.Behind(5))
	refused(api.Position{Sequence: 6})

	r := open(t, l, after(options(), api.Behind(6)))
	large := []row{insert(users, 1)}
	for range 3000 {
		large = append(large, insert(users, 1))
	}
	w.commit(t, large...)
	_, err := read(t, r)
	require.NoError(t, err)
	require.Zero(t, l.Held())
	refused(api.Behind(6))
	refused(api.Position{Sequence: 7, Index: 2999})
	open(t, l, after(options(), api.Position{Sequence: 7, Index: 3000}))
	w.commit(t, insert(users, 1), insert(users, 2))
	r2 := open(t, l, after(options(), api.Position{Sequence: 8, Index: 0}))
	requireLines(t, r2, "8.1 users 2 !")
}

func TestWhatTheLastReaderHasLeftBehindIsNotThereForTheNext(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	r := open(t, l, options())
	w.commit(t, insert(users, 1), insert(users, 2))
	r.Close()
	for _, position := range []api.Position{{}, {Sequence: 1, Index: 0}} {
		_, err := l.Open(after(options(), position))
		require.Equal(t, errs.Unavailable, errs.KindOf(err), position)
	}
	open(t, l, after(options(), api.Position{Sequence: 1, Index: 1}))
}

func TestEpochCountsHowOftenTheLastReaderHasLeft(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	require.Zero(t, l.Epoch())
	require.False(t, l.AppendIn(0, w.make(insert(users, 1))), "there is no reader")
	first, second := open(t, l, options()), open(t, l, options())
	require.True(t, l.AppendIn(0, w.make(insert(users, 2))))
	first.Close()
	require.Zero(t, l.Epoch())
	second.Close()
	require.Equal(t, uint64(1), l.Epoch())
	third := open(t, l, options())
	require.False(t, l.AppendIn(0, w.make(insert(users, 3))), "there was no reader in between")
	require.True(t, l.AppendIn(1, w.make(insert(users, 4))))
	requireLines(t, third, "4.0 users 4 !")
	_, err := l.Open(after(options(), api.Behind(2)))
	require.Equal(t, errs.Unavailable, errs.KindOf(err), "what was not kept is missing")
}

func TestALogThatIsClosedKeepsNothing(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	cause := errors.New("stopped")
	require.NoError(t, l.Closed())
	r := open(t, l, options())
	w.commit(t, insert(users, 1))
	l.Close(cause)
	l.Close(errors.New("again"))
	require.Equal(t, cause, l.Closed())
	require.False(t, l.Append(w.make(insert(users, 2))))
	_, err := l.Open(options())
	require.Equal(t, cause, err)
	lines, err := read(t, r)
	require.Equal(t, []string{"1.0 users 1 !"}, lines)
	require.Equal(t, cause, err)
	require.Zero(t, l.Held())
	require.False(t, l.Watched())
}

// Each change of the schema gives IDs another meaning, and so begins a segment: those must not be as large as if they were filled.
func TestSegmentsThatEndEarlyStaySmall(t *testing.T) {
	l, w := newLog(t, 64*unit.MiB)
	r := open(t, l, options())
	const changes = 100
	for i := range changes {
		tx := w.make()
		meaning := &shape{1, sqlapi.Table{Schema: "main", Name: "users"}}
		tx.Entries = entries(insert(meaning, int64(i)))
		tx.Touched = []log.Touched{{ID: 1, Shape: meaning, Codes: 1 << log.Insert}}
		tx.Counts[log.Insert]++
		require.True(t, l.Append(tx))
	}
	require.LessOrEqual(t, l.InUse(), int64(changes*(8<<10)))
	lines, err := read(t, r)
	require.NoError(t, err)
	require.Len(t, lines, changes)
}
