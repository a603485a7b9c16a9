package cdc_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

func TestStreamDeliversTransactionsInOrderAndMarksTheLastChange(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	s := subscribe(t, log, api.StreamOptions{})
	w.commit(100, row{users, api.OpInsert, 1}, row{users, api.OpUpdate, 2}, row{orders, api.OpDelete, 3})
	w.commit(100, row{orders, api.OpInsert, 4})
	changes := take(t, s, 4)
	require.Equal(t, []string{
		"1.0 insert users 1", "1.1 update users 2", "1.2 delete Orders 3 !", "2.0 insert Orders 4 !",
	}, lines(changes))
	require.Nil(t, changes[0].Before)
	require.Len(t, changes[1].Before, 2)
	require.Nil(t, changes[2].After)
}

func TestStreamSeesWhatIsCommittedAfterSubscribeAndNothingElse(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	w.commit(10, inserts(1, 1)...)
	first := subscribe(t, log, api.StreamOptions{})
	w.commit(10, inserts(2, 1)...)
	second := subscribe(t, log, api.StreamOptions{})
	w.commit(10, inserts(3, 1)...)
	require.Equal(t, []string{"2.0 insert users 2 !", "3.0 insert users 3 !"}, lines(take(t, first, 2)))
	require.Equal(t, []string{"3.0 insert users 3 !"}, lines(take(t, second, 1)))
}

func TestPollAndReadyNeverWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		s := subscribe(t, log, api.StreamOptions{})
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
	log, w := newLog(t, unit.MiB)
	s := subscribe(t, log, api.StreamOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, s.Err())
	w.commit(10, inserts(7, 1)...)
	require.Equal(t, []string{"1.0 insert users 7 !"}, lines(take(t, s, 1)))
}

func TestStreamDecodesAheadOfItsReaderNoMoreThanItsBuffer(t *testing.T) {
	for _, buffer := range []int{1, 2, 7, 64, 100, 1000} {
		synctest.Test(t, func(t *testing.T) {
			log, w := newLog(t, unit.MiB)
			s := subscribe(t, log, api.StreamOptions{Buffer: buffer})
			tx := w.commit(10, inserts(0, 5000)...)
			synctest.Wait()
			// Two more are in hand: the one that waits for room and the one that says it is not the last.
			require.Equal(t, int64(buffer+2), tx.decoded.Load(), "buffer %d", buffer)
			for i, c := range take(t, s, 5000) {
				require.Equal(t, int64(i), c.After[0].Int64())
				require.Equal(t, i == 4999, c.Last)
			}
		})
	}
}

func TestSmallTransactionsShareTheBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		s := subscribe(t, log, api.StreamOptions{Buffer: 100})
		var all []*transaction
		for i := range int64(300) {
			all = append(all, w.commit(10, inserts(i, 1)...))
			synctest.Wait()
		}
		decoded := int64(0)
		for _, tx := range all {
			decoded += tx.decoded.Load()
		}
		require.Equal(t, int64(101), decoded)
		for i, c := range take(t, s, 300) {
			require.Equal(t, int64(i), c.After[0].Int64())
		}
	})
}

func TestChangesBelongToTheReceiver(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	s, other := subscribe(t, log, api.StreamOptions{}), subscribe(t, log, api.StreamOptions{})
	w.commit(10, inserts(0, 500)...)
	changes := take(t, s, 500)
	for _, c := range changes {
		_ = append(c.After, sql.TextValue("mine"))
		c.After[1] = sql.TextValue("scribble")
		c.Op = "scribble"
	}
	for i, c := range changes {
		require.Equal(t, []sql.Value{sql.IntegerValue(int64(i)), sql.TextValue("scribble")}, c.After)
	}
	for i, c := range take(t, other, 500) {
		require.Equal(t, api.OpInsert, c.Op)
		require.Equal(t, []sql.Value{sql.IntegerValue(int64(i)), sql.IntegerValue(int64(i))}, c.After)
	}
}

func TestTablesOfDifferentWidthKeepTheirValues(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	s := subscribe(t, log, api.StreamOptions{})
	wide := &sql.Table{Schema: "main", Name: "wide", Columns: make([]sql.Column, 1500)}
	var rows []row
	for i := range int64(300) {
		rows = append(rows, row{orders, api.OpInsert, i}, row{wide, api.OpUpdate, i}, row{users, api.OpDelete, i})
	}
	w.commit(10, rows...)
	for i, c := range take(t, s, len(rows)) {
		for _, image := range [][]sql.Value{c.Before, c.After} {
			if image != nil {
				require.Len(t, image, len(c.Table.Columns))
				require.Equal(t, int64(i/3), image[0].Int64())
				require.Equal(t, int64(i/3), image[len(image)-1].Int64())
			}
		}
	}
}

func TestCloseEndsAStreamForGood(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	s := subscribe(t, log, api.StreamOptions{})
	w.commit(10, inserts(1, 200)...)
	take(t, s, 1)
	s.Close()
	s.Close()
	_, err := s.Next(t.Context())
	require.ErrorIs(t, err, io.EOF)
	_, err = s.Poll()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, s.Err())
	for range s.Ready() {
		// until it is closed
	}
	require.Zero(t, log.Admission().Active)
	require.Zero(t, log.Admission().ReservedBytes)
	require.False(t, log.Watched())
}

func TestCloseWakesAReaderThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _ := newLog(t, unit.MiB)
		s := subscribe(t, log, api.StreamOptions{})
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

func TestCloseOfAStreamThatIsStuckInATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, w := newLog(t, unit.MiB)
		s := subscribe(t, log, api.StreamOptions{Buffer: 1})
		tx := w.commit(10, inserts(0, 1_000_000)...)
		synctest.Wait()
		s.Close()
		require.Less(t, tx.decoded.Load(), int64(10))
	})
}

func TestUnreadableTransactionEndsTheStreamAfterWhatWasRead(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	s, classified := subscribe(t, log, api.StreamOptions{}), subscribe(t, log, api.StreamOptions{})
	w.commit(10, inserts(1, 2)...)
	tx := w.make(10, inserts(3, 3)...)
	tx.fault = errors.New("disk on fire")
	log.Append(tx)
	changes, err := rest(t, s)
	require.Equal(t, []string{"1.0 insert users 1", "1.1 insert users 2 !", "2.0 insert users 3", "2.1 insert users 4"}, lines(changes))
	require.EqualError(t, err, `cdc: source "app:cdc": read a transaction: disk on fire; resubscribe`)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.Equal(t, err, s.Err())
	_, again := s.Next(t.Context())
	require.Equal(t, err, again)
	s.Close()
	require.Equal(t, err, s.Err(), "Close does not change why a stream has ended")
	_, _ = rest(t, classified)
}

func TestLostChangesEndStreamsAfterEverythingBefore(t *testing.T) {
	log, w := newLog(t, unit.MiB)
	s := subscribe(t, log, api.StreamOptions{Buffer: 1})
	w.commit(10, inserts(1, 2)...)
	log.Lose(errors.New("transaction of 9 GiB exceeds max_transaction_bytes"))
	w.commit(10, inserts(3, 1)...)
	late := subscribe(t, log, api.StreamOptions{})
	w.commit(10, inserts(4, 1)...)
	changes, err := rest(t, s)
	require.Equal(t, []string{"1.0 insert users 1", "1.1 insert users 2 !"}, lines(changes))
	require.EqualError(t, err, `cdc: source "app:cdc": changes were lost: transaction of 9 GiB exceeds max_transaction_bytes; resubscribe`)
	require.True(t, errs.Retryable(err))
	require.Equal(t, []string{"3.0 insert users 4 !"}, lines(take(t, late, 1)))
}

func TestClosingTheLogEndsItsStreams(t *testing.T) {
	log := cdc.NewLog(cdc.LogSettings{Source: sourceID, Bytes: unit.MiB})
	w := &writer{log: log}
	idle, busy := subscribe(t, log, api.StreamOptions{}), subscribe(t, log, api.StreamOptions{Buffer: 1})
	w.commit(10, inserts(1, 3)...)
	require.Equal(t, []string{"1.0 insert users 1", "1.1 insert users 2", "1.2 insert users 3 !"}, lines(take(t, idle, 3)))
	cause := errs.New(errs.Unavailable, "source stopped")
	log.Close(cause)
	require.Equal(t, cause, idle.Err())
	require.Equal(t, cause, busy.Err())
	changes, err := rest(t, busy)
	require.Equal(t, cause, err)
	require.Less(t, len(changes), 3, "the rest was not decoded")
	w.commit(10, inserts(4, 1)...)
	_, err = log.Subscribe(api.StreamOptions{})
	require.Equal(t, cause, err)
	require.Zero(t, log.Admission().Active)
	log.Close(errors.New("again"))
	_, err = idle.Next(t.Context())
	require.Equal(t, cause, err)
}
