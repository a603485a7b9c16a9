//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
)

var liveID = registry.ID{Namespace: "app", Name: "live"}

// The log of a source that becomes durable has numbers of its own, which may be smaller than those of a live source beside it.
func TestALiveSourceBesideOneThatBecomesDurable(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.serve(h.source(liveID, config()))
	for range 20 {
		h.user("x")
	}
	h.exec("DELETE FROM users WHERE id > 1")
	h.serve(h.source(cdcID, durable()))
	begin := h.newest()
	s := h.subscribe(liveID, api.StreamOptions{Start: api.Snapshot()})
	h.exec("INSERT INTO users VALUES (2, 'a', 1)")
	h.exec("INSERT INTO users VALUES (3, 'b', 2)")
	require.Equal(t, []string{
		"21.0 snapshot users -> 1 x <nil> !", "22.0 insert users -> 2 a 1 !", "23.0 insert users -> 3 b 2 !",
	}, lines(take(t, s, 3)))
	h.db.LookForOthers()
	require.Equal(t, []string{"1.0 insert users -> 2 a 1 !", "2.0 insert users -> 3 b 2 !"}, lines(take(t, h.resume(begin), 2)))
}

func TestNumbersGoOnWhenASourceIsDurableNoMore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := durable()
	c.Snapshot = true
	run := h.serve(h.source(cdcID, c))
	for range 20 {
		h.user("x")
	}
	require.Equal(t, "snapshot", h.firstOp(api.StreamOptions{}, 21))
	require.NoError(t, run.stop())
	run = h.serve(h.source(cdcID, bootstrapping()))
	require.Equal(t, "21", h.info().LSN)
	s := h.subscribe(cdcID, api.StreamOptions{})
	h.user("y")
	require.Equal(t, "22.0 insert users -> 22 y <nil> !", lines(take(t, s, 1))[0], "it was bootstrapped")
	require.NoError(t, run.stop())
	row, ok := h.offsets(cdcID)
	require.True(t, ok)
	require.Equal(t, int64(22), row.lastSeq)
}

func TestNumbersGoOnAfterALogWasSetAside(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(v *vandal){
		"log.json is damaged":   func(v *vandal) { require.NoError(v.t, os.WriteFile(v.log("log.json"), []byte("{"), 0o600)) },
		"log.json is gone":      func(v *vandal) { require.NoError(v.t, os.Remove(v.log("log.json"))) },
		"every segment is gone": func(v *vandal) { require.NoError(v.t, os.Remove(v.newest())) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			run := h.serve(h.source(cdcID, durable()))
			for range 20 {
				h.user("x")
			}
			require.NoError(t, run.stop())
			before := h.newest()
			h.withdraw()
			require.NoError(t, h.db.Close())
			damage(&vandal{t: t, dir: h.dir})
			h.openDB()
			run = h.serve(h.source(cdcID, durable()))
			s := h.subscribe(cdcID, api.StreamOptions{})
			h.user("y")
			change := take(t, s, 1)[0]
			require.Greater(t, change.Transaction.Sequence, before.Sequence)
			require.Equal(t, strconv.FormatUint(change.Transaction.Sequence, 10), h.info().LSN)
			require.NoError(t, run.stop())
			h.reopenDB()
			h.serve(h.source(cdcID, durable()))
			idle(t, h.resume(change.Position()))
		})
	}
}

// What consumers have acknowledged, and what was set aside, outlives an attempt to begin a log that fails.
func TestALogThatCannotBeBegun(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *sqlapi.SQLiteConfig) { c.BusyTimeout = unit.Duration(time.Millisecond) })
	run := h.serve(h.source(cdcID, durable()))
	search := api.StreamOptions{Consumer: "search"}
	s := h.subscribe(cdcID, search)
	h.user("x")
	require.NoError(t, s.Ack(take(t, s, 1)[0].Position()))
	require.NoError(t, run.stop())
	h.withdraw()
	require.NoError(t, h.db.Close())
	v := &vandal{t: t, dir: h.dir}
	require.NoError(t, os.WriteFile(v.log("log.json"), []byte("{"), 0o600))
	h.openDB()

	other, err := sql.Open("sqlite3", filepath.Join(h.dir, "app.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	other.SetMaxOpenConns(1)
	_, err = other.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)
	require.ErrorContains(t, h.source(cdcID, durable()).Serve(t.Context(), func() {}), "database is locked")
	require.NoFileExists(t, v.log("log.json"))
	require.FileExists(t, v.log("consumers.json"))
	aside, err := filepath.Glob(v.log("*.damaged"))
	require.NoError(t, err)
	require.Len(t, aside, 2)
	_, err = other.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)

	h.serve(h.source(cdcID, durable()))
	_, err = h.catalog.Subscribe(t.Context(), cdcID, search)
	require.Equal(t, api.GapRestored, gapOf(t, err).Cause)
}

// The numbers that are passed over when it is not known which were used are no lag of a consumer that has read everything.
func TestLagOverNumbersThatWerePassedOver(t *testing.T) {
	t.Parallel()
	const slot, step = 64, 128
	for name, at := range map[string][]int{"a torn slot": {slot + 8, slot + step + 8}, "a damaged header page": {0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			run := h.serve(h.source(cdcID, durable()))
			s := h.subscribe(cdcID, api.StreamOptions{Consumer: "one"})
			const rows, text = 20, 5000
			for range rows {
				h.exec("INSERT INTO users(name) VALUES (hex(zeroblob(?)))", text/2)
			}
			changes := take(t, s, rows)
			behind := func() (bytes, transactions int64) {
				c := h.info().Consumers[0]
				return c.LagBytes, c.LagTransactions
			}
			bytes, transactions := behind()
			require.Equal(t, int64(rows), transactions)
			require.InDelta(t, rows*text, bytes, rows*text/10)
			require.NoError(t, s.Ack(changes[rows/2-1].Position()))
			bytes, transactions = behind()
			require.Equal(t, int64(rows/2), transactions)
			require.InDelta(t, rows/2*text, bytes, rows*text/10)
			require.NoError(t, s.Ack(changes[rows-1].Position()))
			require.NoError(t, run.stop())
			h.withdraw()
			require.NoError(t, h.db.Close())
			v := &vandal{t: t, dir: h.dir}
			file, err := os.ReadFile(v.newest())
			require.NoError(t, err)
			for _, i := range at {
				file[i] ^= 1
			}
			require.NoError(t, os.WriteFile(v.newest(), file, 0o600))
			h.openDB()
			h.serve(h.source(cdcID, durable()))
			require.Greater(t, h.newest().Sequence, uint64(1<<32))
			bytes, transactions = behind()
			require.Less(t, transactions, int64(3), "a gap")
			require.Less(t, bytes, int64(1000))
		})
	}
}
