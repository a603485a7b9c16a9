package sqlite_test

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// spilling is a durable source whose streams soon read the files.
func spilling() *api.SQLiteConfig {
	c := durable()
	c.LogBytes, c.AckInterval = 64*unit.KiB, unit.Duration(10*time.Millisecond)
	return c
}

func (h *house) orders(from, to int) {
	for i := from; i <= to; i++ {
		h.exec("INSERT INTO orders VALUES (?, 'x' || hex(zeroblob(60)))", i)
	}
}

// cursorOf returns where a consumer goes on.
func (h *house) cursorOf(name string) string {
	all, err := h.catalog.Consumers(cdcID)
	require.NoError(h.t, err)
	for _, one := range all {
		if one.Name == name {
			return one.Cursor
		}
	}
	return ""
}

// A consumer that reads the files, or has fallen so far behind that it will, has acknowledged no more than it has.
func TestAConsumerThatReadsTheFilesIsNotMovedOn(t *testing.T) {
	t.Parallel()
	for _, begins := range []string{"behind", "with the others"} {
		h := newHouse(t)
		served := h.serve(h.source(cdcID, spilling()))
		consume := func(name string, tables ...string) api.Stream {
			return h.subscribe(cdcID, api.StreamOptions{Consumer: name, Tables: tables})
		}
		slow, other, plain := consume("slow"), consume("other", "users"), h.subscribe(cdcID, api.StreamOptions{})
		h.orders(1, 1)
		first := take(t, slow, 1)[0]
		take(t, plain, 1)
		require.NoError(t, slow.Ack(first.Position()))
		if begins == "behind" {
			slow.Close()
		}
		for i := 2; i <= 2000; i++ {
			h.orders(i, i)
			take(t, plain, 1)
		}
		if begins == "behind" {
			slow = consume("slow")
		}
		require.Equal(t, int64(2), take(t, slow, 1)[0].After[0].Int64())
		idle(t, other)
		require.Eventually(t, func() bool { return h.cursorOf("other") == h.newest().Cursor(first.Transaction.Generation) }, time.Minute,
			time.Millisecond, "consumers are moved on when they are written")
		require.LessOrEqual(t, h.cursorOf("slow"), api.Behind(first.Transaction.Sequence).Cursor(first.Transaction.Generation))
		require.NoError(t, served.stop())
		h.serve(h.source(cdcID, spilling()))
		slow = consume("slow")
		for i := 2; i <= 2000; i++ {
			require.Equal(t, int64(i), take(t, slow, 1)[0].After[0].Int64())
		}
		idle(t, slow)
	}
}

// What a consumer has read in the files counts for it, also if nothing commits from then on.
func TestAConsumerIsMovedOnWithoutANewCommit(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	served := h.serve(h.source(cdcID, durable()))
	opts := api.StreamOptions{Consumer: "one", Tables: []string{"users"}}
	h.subscribe(cdcID, opts).Close()
	h.orders(1, 1)
	require.NoError(t, served.stop())
	h.reopenDB()
	h.serve(h.source(cdcID, durable()))
	idle(t, h.subscribe(cdcID, opts))
	info, _ := h.catalog.Source(cdcID)
	require.Eventually(t, func() bool { return h.cursorOf("one") == h.newest().Cursor(info.Generation) }, time.Minute, time.Millisecond)
}

// A reader falls behind while it reads a transaction whose bytes are let go of: it goes on with the rest in the files.
func TestAReaderFallsBehindWithinATransaction(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.serve(h.source(cdcID, spilling()))
	s := h.subscribe(cdcID, api.StreamOptions{Consumer: "one"})
	idle(t, s) // it has caught up, which bounds how far it may be behind
	other := h.subscribe(cdcID, api.StreamOptions{})
	const rows = 30_000
	h.exec(`WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO users SELECT i, hex(zeroblob(100)), i FROM n`, rows)
	got := 0
	next := func() {
		got++
		require.Equal(t, int64(got), take(t, s, 1)[0].After[0].Int64())
	}
	for range 100 {
		next()
	}
	take(t, other, rows)
	for i := rows + 1; i <= rows+1000; i++ {
		h.exec("INSERT INTO users VALUES (?, hex(zeroblob(100)), 1)", i)
		take(t, other, 1)
	}
	for got < rows+1000 {
		next()
	}
	idle(t, s)
}

// A reader that has read nothing in this run falls behind. What has left before it began is no gap.
func TestAReaderFallsBehindBeforeItsFirstTransaction(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := spilling()
	c.Retention.MaxBytes = unit.MiB
	served := h.serve(h.source(cdcID, c))
	for n := 0; h.db.LogState().Trimmed == 0; n++ {
		h.orders(1000*n+1, 1000*n+1000)
		require.NoError(t, h.db.TrimLog())
	}
	require.NoError(t, served.stop())
	h.serve(h.source(cdcID, c))
	s := h.subscribe(cdcID, api.StreamOptions{Consumer: "one"})
	idle(t, s)
	for i := 1; i <= 1000; i++ {
		h.exec("INSERT INTO users VALUES (?, hex(zeroblob(60)), 1)", i)
	}
	for i := 1; i <= 1000; i++ {
		require.Equal(t, int64(i), take(t, s, 1)[0].After[0].Int64())
	}
}

func TestAConsumerIsForgottenWhileItReadsTheFiles(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.serve(h.source(cdcID, spilling()))
	h.subscribe(cdcID, api.StreamOptions{Consumer: "one"}).Close()
	h.orders(1, 1000)
	for range 20 {
		s := h.subscribe(cdcID, api.StreamOptions{Consumer: "one"})
		h.orders(h.count("orders")+1, h.count("orders")+50)
		reading, reads := make(chan struct{}), sync.WaitGroup{}
		var ended error
		reads.Go(func() {
			for n := 0; ended == nil; n++ {
				if _, ended = s.Next(t.Context()); n == 20 {
					close(reading)
				}
			}
		})
		<-reading
		require.NoError(t, h.catalog.Forget(t.Context(), cdcID, "one"))
		reads.Wait()
		require.ErrorContains(t, ended, "forgotten")
		s.Close()
		again := h.subscribe(cdcID, api.StreamOptions{Consumer: "one"})
		again.Close()
		h.orders(h.count("orders")+1, h.count("orders")+1000)
	}
}

func (h *house) count(table string) (n int) {
	require.NoError(h.t, h.db.Pool().QueryRowContext(h.t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// A reload that deletes a source deletes its log, too, while streams of it may still be read.
func TestALogIsDeletedWhileItIsRead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	served := h.serve(h.source(cdcID, spilling()))
	fallen, replaying := h.subscribe(cdcID, api.StreamOptions{Consumer: "one"}), h.resume(api.Behind(0))
	idle(t, fallen)
	h.orders(1, 3000)
	take(t, replaying, 100)
	require.NoError(t, served.stop())
	require.NoError(t, h.db.DropLog(t.Context(), cdcID.String()))
	for _, s := range []api.Stream{fallen, replaying} {
		var err error
		for err == nil {
			_, err = s.Next(t.Context())
		}
		require.NotErrorIs(t, err, io.EOF)
		require.Equal(t, errs.Unavailable, errs.KindOf(err), err)
	}
	require.Zero(t, h.db.LogState())
	behind, _ := h.db.LogBehind(1, 2)
	require.Negative(t, behind)
	_, err := h.db.ReadLog(0)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	for _, err := range []error{err, h.db.TrimLog(), h.db.SetBootstrapped(), h.db.ReadConsumers(nil), h.db.WriteConsumers(nil)} {
		require.ErrorContains(t, err, "has no durable log")
	}
}
