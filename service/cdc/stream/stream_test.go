package stream_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

func TestStreamDeliversTransactionsInOrderAndMarksTheLastChange(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	s := open(t, streams, api.StreamOptions{})
	w.commit(100, row{users, log.Insert, 1}, row{users, log.Update, 2}, row{orders, log.Delete, 3})
	w.commit(100, row{orders, log.Insert, 4})
	changes := take(t, s, 4)
	require.Equal(t, []string{
		"1.0 insert users 1", "1.1 update users 2", "1.2 delete Orders 3 !", "2.0 insert Orders 4 !",
	}, lines(changes))
	require.Nil(t, changes[0].Before)
	require.Len(t, changes[1].Before, 2)
	require.Nil(t, changes[2].After)
}

func TestStreamSeesWhatIsCommittedAfterOpenAndNothingElse(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	w.commit(10, inserts(1, 1)...)
	first := open(t, streams, api.StreamOptions{})
	w.commit(10, inserts(2, 1)...)
	second := open(t, streams, api.StreamOptions{})
	w.commit(10, inserts(3, 1)...)
	require.Equal(t, []string{"2.0 insert users 2 !", "3.0 insert users 3 !"}, lines(take(t, first, 2)))
	require.Equal(t, []string{"3.0 insert users 3 !"}, lines(take(t, second, 1)))
}

func TestStreamBeginsBehindAPosition(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	first := open(t, streams, api.StreamOptions{})
	w.commit(10, inserts(1, 3)...)
	w.commit(10, inserts(4, 1)...)
	position := take(t, first, 2)[1].Position()
	second := open(t, streams, api.StreamOptions{Start: api.After(position)})
	require.Equal(t, []string{"1.2 insert users 3 !", "2.0 insert users 4 !"}, lines(take(t, second, 2)))
	first.Close()
	second.Close()
	_, err := streams.Open(api.StreamOptions{Start: api.After(position)})
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.ErrorContains(t, err, "the position has left the log")
	require.Zero(t, streams.Admission().Active)
}

func TestPollAndReadyNeverWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, w := newStreams(t, unit.MiB)
		s := open(t, streams, api.StreamOptions{})
		c, err := s.Poll()
		require.NoError(t, err)
		require.Nil(t, c)
		w.commit(10, inserts(1, 3)...)
		<-s.Ready()
		var polled []*api.Change
		for {
			c, err := s.Poll()
			require.NoError(t, err)
			if c == nil {
				break
			}
			polled = append(polled, c)
		}
		require.Equal(t, []string{"1.0 insert users 1", "1.1 insert users 2", "1.2 insert users 3 !"}, lines(polled))
	})
}

func TestNextReturnsTheErrorOfItsContextAndTheStreamGoesOn(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	s := open(t, streams, api.StreamOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, s.Err())
	w.commit(10, inserts(7, 1)...)
	require.Equal(t, []string{"1.0 insert users 7 !"}, lines(take(t, s, 1)))
}

func TestNothingIsDecodedAheadOfTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := new(engine)
		streams, w := with(t, unit.MiB, e)
		s := open(t, streams, api.StreamOptions{})
		open(t, streams, api.StreamOptions{})
		w.commit(10, inserts(0, 5000)...)
		synctest.Wait()
		require.Zero(t, e.decoded.Load())
		for i, c := range take(t, s, 5000) {
			require.Equal(t, int64(i), c.After[0].Int64())
			require.Equal(t, i == 4999, c.Last)
		}
		require.Equal(t, int64(5000), e.decoded.Load())
	})
}

func TestChangesBelongToTheReceiver(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	s, other := open(t, streams, api.StreamOptions{}), open(t, streams, api.StreamOptions{})
	w.commit(10, inserts(0, 500)...)
	changes := take(t, s, 500)
	for _, c := range changes {
		_ = append(c.After, sqlapi.TextValue("mine"))
		c.After[1] = sqlapi.TextValue("scribble")
		c.Op = "scribble"
	}
	for i, c := range changes {
		require.Equal(t, []sqlapi.Value{sqlapi.IntegerValue(int64(i)), sqlapi.TextValue("scribble")}, c.After)
	}
	for i, c := range take(t, other, 500) {
		require.Equal(t, api.OpInsert, c.Op)
		require.Equal(t, []sqlapi.Value{sqlapi.IntegerValue(int64(i)), sqlapi.IntegerValue(int64(i))}, c.After)
	}
}

func TestTablesOfDifferentWidthKeepTheirValues(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	s := open(t, streams, api.StreamOptions{})
	wide := &shape{sqlapi.Table{Schema: "main", Name: "wide", Columns: make([]sqlapi.Column, 1500)}}
	var rows []row
	for i := range int64(300) {
		rows = append(rows, row{orders, log.Insert, i}, row{wide, log.Update, i}, row{users, log.Delete, i})
	}
	w.commit(10, rows...)
	for i, c := range take(t, s, len(rows)) {
		for _, image := range [][]sqlapi.Value{c.Before, c.After} {
			if image != nil {
				require.Len(t, image, len(c.Table.Columns))
				require.Equal(t, int64(i/3), image[0].Int64())
				require.Equal(t, int64(i/3), image[len(image)-1].Int64())
			}
		}
	}
}

func TestCloseEndsAStreamForGood(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	s := open(t, streams, api.StreamOptions{})
	w.commit(10, inserts(1, 200)...)
	take(t, s, 1)
	s.Close()
	s.Close()
	_, err := s.Next(t.Context())
	require.ErrorIs(t, err, io.EOF)
	_, err = s.Poll()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, s.Err())
	<-s.Ready()
	require.Zero(t, streams.Admission().Active)
	require.Zero(t, streams.Admission().ReservedBytes)
	require.False(t, streams.Watched())
}

func TestCloseWakesAReaderThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		streams, _ := newStreams(t, unit.MiB)
		s := open(t, streams, api.StreamOptions{})
		ended := make(chan error)
		go func() {
			_, err := s.Next(t.Context())
			ended <- err
		}()
		synctest.Wait()
		s.Close()
		require.ErrorIs(t, <-ended, io.EOF)
	})
}

// What cannot be decoded never will be: a reader that goes on behind the gap misses the rest of the transaction, and a consumer is not
// held up for ever.
func TestUnreadableTransactionEndsTheStreamAfterWhatWasRead(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	s := open(t, streams, api.StreamOptions{})
	w.commit(10, inserts(1, 2)...)
	tx := w.make(10, inserts(3, 4)...)
	whole := len(tx.Entries) / 4
	tx.Entries[2*whole+5] = 1
	streams.Append(tx)
	changes, err := rest(t, s)
	require.Equal(t, []string{"1.0 insert users 1", "1.1 insert users 2 !", "2.0 insert users 3", "2.1 insert users 4"}, lines(changes))
	gap, isGap := errors.AsType[*api.GapError](err)
	require.True(t, isGap, "%v", err)
	require.EqualError(t, gap.Err, "disk on fire")
	require.Equal(t, api.GapCaptureLost, gap.Cause)
	require.Equal(t, sourceID, gap.Source)
	require.Equal(t, changes[3].Position(), gap.After)
	require.Equal(t, api.Behind(2), gap.Before)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.Equal(t, err, s.Err())
	_, again := s.Next(t.Context())
	require.Equal(t, err, again, "the change after it is readable, but it is not delivered")
	s.Close()
	require.Equal(t, err, s.Err(), "Close does not change why a stream has ended")
	require.Equal(t, uint64(1), streams.Acked(), "it was not read in full")
}

func TestLostChangesEndStreamsAfterEverythingBefore(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	s := open(t, streams, api.StreamOptions{})
	w.commit(10, inserts(1, 2)...)
	w.sequence++
	cause := errs.New(errs.Unavailable, "transaction of 9 GiB exceeds max_transaction_bytes")
	require.True(t, streams.Lose(w.sequence, cause))
	w.commit(10, inserts(3, 1)...)
	late := open(t, streams, api.StreamOptions{})
	w.commit(10, inserts(4, 1)...)
	gap := &api.GapError{
		Cause: api.GapCaptureLost, After: api.Behind(1), Before: api.Behind(2), Source: sourceID, Generation: "g", Err: cause,
	}
	require.Equal(t, gap, s.Err())
	changes, err := rest(t, s)
	require.Equal(t, []string{"1.0 insert users 1", "1.1 insert users 2 !"}, lines(changes))
	require.Equal(t, gap, err)
	require.Equal(t, []string{"4.0 insert users 4 !"}, lines(take(t, late, 1)))
}

func TestWhatAnEngineKnowsOfAGapStays(t *testing.T) {
	streams, _ := newStreams(t, unit.MiB)
	s := open(t, streams, api.StreamOptions{})
	known := &api.GapError{Cause: api.GapExternalWrite, After: api.Behind(3), Before: api.Behind(5), Err: errors.New("two commits")}
	require.True(t, streams.Lose(5, known))
	gap, isGap := errors.AsType[*api.GapError](s.Err())
	require.True(t, isGap)
	require.Equal(t, &api.GapError{
		Cause: api.GapExternalWrite, After: api.Behind(3), Before: api.Behind(5), Source: sourceID, Generation: "g", Err: known.Err,
	}, gap)
	require.True(t, errs.Is(s.Err(), errs.Unavailable))
}

func TestClosingEndsStreamsAfterEverythingBefore(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	idle, busy := open(t, streams, api.StreamOptions{}), open(t, streams, api.StreamOptions{})
	w.commit(10, inserts(1, 3)...)
	all := []string{"1.0 insert users 1", "1.1 insert users 2", "1.2 insert users 3 !"}
	require.Equal(t, all, lines(take(t, idle, 3)))
	cause := errs.New(errs.Unavailable, "source stopped")
	streams.Close(cause)
	require.Equal(t, cause, idle.Err())
	require.Equal(t, cause, busy.Err())
	changes, err := rest(t, busy)
	require.Equal(t, cause, err)
	require.Equal(t, all, lines(changes))
	w.commit(10, inserts(4, 1)...)
	_, err = streams.Open(api.StreamOptions{})
	require.Equal(t, cause, err)
	require.Zero(t, streams.Admission().Active)
	streams.Close(errors.New("again"))
	_, err = idle.Next(t.Context())
	require.Equal(t, cause, err)
}

func TestDroppingEndsStreamsAtOnce(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	fresh, busy := open(t, streams, api.StreamOptions{}), open(t, streams, api.StreamOptions{})
	w.commit(10, inserts(1, 3)...)
	take(t, busy, 1)
	streams.Drop(errOver)
	for _, s := range []api.Stream{fresh, busy} {
		require.Equal(t, errOver, s.Err())
		changes, err := rest(t, s)
		require.Equal(t, errOver, err)
		require.Empty(t, changes)
	}
}

func TestStreamAcknowledgesByItselfOrByHand(t *testing.T) {
	streams, w := newStreams(t, unit.MiB)
	s := open(t, streams, api.StreamOptions{})
	require.EqualError(t, s.Ack(api.Position{}),
		`cdc: source "app:cdc": the stream acknowledges by itself: open it with ManualAck`)
	w.commit(10, inserts(1, 2)...)
	take(t, s, 1)
	require.Zero(t, streams.Acked(), "there is another change")
	take(t, s, 1)
	require.Equal(t, uint64(1), streams.Acked())
	s.Close()
	require.Equal(t, uint64(1), streams.Acked())

	opened := open(t, streams, api.StreamOptions{ManualAck: true})
	by := opened
	w.commit(10, inserts(3, 2)...)
	changes := take(t, opened, 2)
	err := by.Ack(api.Position{Sequence: 3})
	require.EqualError(t, err, `cdc: source "app:cdc": ack: position 3.0 was not delivered yet: the newest is 2.1`)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	_, err = opened.Poll()
	require.NoError(t, err)
	require.Equal(t, uint64(1), streams.Acked())
	require.NoError(t, by.Ack(changes[1].Position()))
	require.Equal(t, uint64(2), streams.Acked())
}
