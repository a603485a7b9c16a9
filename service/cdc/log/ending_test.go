package log_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// ending returns options of a reader, and where it notes why the reader has ended.
func ending(o log.Options) (log.Options, *[]api.EndReason) {
	var reasons []api.EndReason
	o.OnEnd = func(reason api.EndReason) { reasons = append(reasons, reason) }
	return o, &reasons
}

func TestWhatIsLostEndsReadersBehindWhatWasAppendedBefore(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	cause := errs.New(errs.Unavailable, "too large")
	require.False(t, l.Lose(1, cause), "there is no reader")
	w.sequence = 1
	o, reasons := ending(options())
	r := open(t, l, o)
	w.commit(t, insert(users, 1))
	require.True(t, woken(r))
	w.sequence++
	require.True(t, l.Lose(w.sequence, cause))
	require.True(t, woken(r))
	require.Equal(t, cause, r.Err(), "at once")
	require.Equal(t, []api.EndReason{api.EndLost}, *reasons)
	w.commit(t, insert(users, 2))
	late := open(t, l, options())
	w.commit(t, insert(users, 3))
	lines, err := read(t, r)
	require.Equal(t, cause, err)
	require.Equal(t, []string{"2.0 users 1 !"}, lines)
	requireLines(t, late, "5.0 users 3 !")
	r.Close()
	require.Equal(t, []api.EndReason{api.EndLost}, *reasons)
	require.Equal(t, cause, r.Err(), "Close does not change why it has ended")
}

func TestAReaderThatIsClosedBeforeWhatIsLostStillSaysWhy(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	r := open(t, l, options())
	w.commit(t, insert(users, 1))
	require.True(t, l.Lose(2, errOver))
	r.Close()
	require.Equal(t, errOver, r.Err())
	_, err := r.Next()
	require.Error(t, err)
	require.False(t, l.Watched())
}

func TestAGapBehindThePositionIsTold(t *testing.T) {
	cause := errors.New("too large")
	for _, held := range []bool{true, false} {
		l, w := newLog(t, unit.MiB)
		keeps := open(t, l, options())
		if held {
			w.commit(t, insert(users, 1))
			w.commit(t, insert(users, 2))
		}
		w.sequence = 3
		require.True(t, l.Lose(3, cause))
		keeps2 := open(t, l, options())
		w.commit(t, insert(users, 4))
		for _, behind := range []uint64{1, 2} {
			o, reasons := ending(after(options(), api.Behind(behind)))
			r := open(t, l, o)
			require.Equal(t, cause, r.Err(), "as soon as it is known")
			require.True(t, woken(r))
			require.Equal(t, []api.EndReason{api.EndLost}, *reasons)
			lines, err := read(t, r)
			require.Equal(t, cause, err)
			if held && behind == 1 {
				require.Equal(t, []string{"2.0 users 2 !"}, lines)
			} else {
				require.Empty(t, lines)
			}
		}
		r := open(t, l, after(options(), api.Behind(3)))
		require.NoError(t, r.Err())
		requireLines(t, r, "4.0 users 4 !")
		keeps.Close()
		keeps2.Close()
	}
}

func TestAGapIsNotForgottenWithTheRecordsBeforeIt(t *testing.T) {
	for _, leaves := range []string{"the last reader", "the last segment"} {
		t.Run(leaves, func(t *testing.T) {
			l, w := newLog(t, unit.MiB)
			r := open(t, l, options())
			var rows []row
			for i := range 5000 { // so many leave as soon as they were read
				rows = append(rows, insert(users, int64(i)))
			}
			w.commit(t, rows...)
			w.sequence++
			require.True(t, l.Lose(w.sequence, errOver))
			if leaves == "the last segment" {
				open(t, l, options())
			}
			_, err := read(t, r)
			require.Equal(t, errOver, err)
			require.Zero(t, l.Held())
			_, err = l.Open(after(options(), api.Behind(1)))
			require.Equal(t, errs.Unavailable, errs.KindOf(err))
			open(t, l, after(options(), api.Behind(2)))
		})
	}
}

func TestClosingALogEndsReadersBehindWhatWasAppended(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	o, reasons := ending(options())
	busy, idle := open(t, l, o), open(t, l, options("Orders"))
	w.commit(t, insert(users, 1), insert(users, 2))
	record, err := busy.Next()
	require.NoError(t, err)
	l.Close(errOver)
	require.Equal(t, errOver, busy.Err())
	require.Equal(t, errOver, idle.Err())
	require.True(t, woken(idle))
	require.Equal(t, []api.EndReason{api.EndSource}, *reasons)
	e, err := record.Next()
	require.NoError(t, err)
	require.Equal(t, "1.0 users 1", line(record, e))
	require.Zero(t, l.Acked(), "it is being read")
	lines, err := read(t, busy)
	require.Equal(t, errOver, err)
	require.Empty(t, lines)
	_, err = idle.Next()
	require.Equal(t, errOver, err)
}

func TestDroppingALogEndsReadersAtOnce(t *testing.T) {
	lost := errors.New("lost")
	for _, before := range []string{"nothing", "lose", "close"} {
		t.Run(before, func(t *testing.T) {
			l, w := newLog(t, unit.MiB)
			o, reasons := ending(options())
			r := open(t, l, o)
			w.commit(t, insert(users, 1), insert(users, 2))
			w.commit(t, insert(users, 3))
			record, err := r.Next()
			require.NoError(t, err)
			_, err = record.Next()
			require.NoError(t, err)
			switch before {
			case "lose":
				l.Lose(3, lost)
			case "close":
				l.Close(errors.New("closed"))
			}
			woken(r)
			l.Drop(errOver)
			require.Len(t, *reasons, 1)
			if before == "close" {
				return // it has been closed before, and stays readable
			}
			want := errOver
			if before == "lose" {
				want = lost // that stays true
			}
			require.Equal(t, want, r.Err())
			_, err = record.Next()
			require.Equal(t, want, err, "not even the rest of the transaction")
			_, err = r.Next()
			require.Equal(t, want, err)
		})
	}
}

func TestACloseEndsAReaderInTheMiddle(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	o, reasons := ending(options())
	r := open(t, l, o)
	w.commit(t, insert(users, 1), insert(users, 2))
	record, err := r.Next()
	require.NoError(t, err)
	woken(r)
	r.Close()
	require.True(t, woken(r))
	require.NoError(t, r.Err())
	require.Equal(t, []api.EndReason{api.EndClosed}, *reasons)
	_, err = record.Next()
	require.Equal(t, io.EOF, err)
	_, err = r.Next()
	require.Equal(t, io.EOF, err)
}

func TestAnUnreadableRecordEndsItsReader(t *testing.T) {
	l, w := newLog(t, unit.MiB)
	o, reasons := ending(options())
	r := open(t, l, o)
	tx := w.make(insert(users, 1))
	tx.Entries[0] = 3 // shorter than its header
	require.True(t, l.Append(tx))
	_, err := read(t, r)
	require.EqualError(t, err, `cdc: source "app:cdc": read a transaction: the kept records are corrupt; resubscribe`)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.Equal(t, err, r.Err())
	require.Equal(t, []api.EndReason{api.EndLost}, *reasons)
	require.False(t, l.Watched())
}

// One that is done with a record reads the next one, in whatever segment that is.
func TestATransactionBeyondTheLimitEndsNoReaderThatHasYetToBeginIt(t *testing.T) {
	for name, done := range map[string]bool{"between two": true, "at work on another": false} {
		t.Run(name, func(t *testing.T) { testATransactionBeyondTheLimit(t, done) })
	}
}

func testATransactionBeyondTheLimit(t *testing.T, done bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, w := newLog(t, unit.MiB)
		o := options()
		o.Limit = 1000
		r := open(t, l, o)
		w.commit(t, insert(users, 1))
		next(t, r, 1)
		if done {
			r.Done()
		}
		var rows []row
		for i := range 5000 {
			rows = append(rows, insert(users, int64(i)))
		}
		w.commit(t, rows...)
		synctest.Wait()
		require.NoError(t, r.Err())
		lines, err := read(t, r)
		require.NoError(t, err)
		require.Len(t, lines, 5000)
	})
}

func TestALaggardThatIsToEndAnywayKeepsNothingEither(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, w := newLog(t, 64*unit.KiB)
		o, reasons := ending(options())
		o.Limit = 1000
		r := open(t, l, o)
		w.commit(t, insert(users, 1))
		w.sequence++
		require.True(t, l.Lose(w.sequence, errOver))
		late := open(t, l, options())
		for range 100 {
			w.commitLarge(t, 1000, insert(users, 1))
			synctest.Wait()
			_, err := read(t, late)
			require.NoError(t, err)
		}
		require.LessOrEqual(t, l.Held(), int64(8<<10), "the newest segment may stay")
		require.Equal(t, errOver, r.Err())
		require.Equal(t, []api.EndReason{api.EndLost}, *reasons)
		lines, err := read(t, r)
		require.Equal(t, errOver, err)
		require.Empty(t, lines)
	})
}
