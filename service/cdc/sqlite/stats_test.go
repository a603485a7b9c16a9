//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

func TestChangesAreCountedOnceWhateverStreamsSelect(t *testing.T) {
	h := newHouse(t)
	source := h.source(cdcID, config())
	run := h.serve(source)
	all := h.subscribe(cdcID, api.StreamOptions{})
	also := h.subscribe(cdcID, api.StreamOptions{})
	inserts := h.subscribe(cdcID, api.StreamOptions{Ops: []api.Op{api.OpInsert}})
	h.transact("INSERT INTO users VALUES (1, 'ann', 1.5), (2, 'bob', NULL)", "UPDATE users SET score = 2", "DELETE FROM users WHERE id = 1")
	h.exec("DELETE FROM users")
	h.exec("DROP TABLE orders")
	h.exec("INSERT INTO users VALUES (1, 'end', 1)")
	take(t, all, 8)
	take(t, also, 8)
	take(t, inserts, 3)
	require.NoError(t, run.stop())
	h.serve(source)
	s := h.subscribe(cdcID, api.StreamOptions{Tables: []string{"users"}, Ops: []api.Op{api.OpDelete}})
	h.transact("INSERT INTO users VALUES (2, 'two', 2)", "DELETE FROM users")
	h.exec("DELETE FROM users")
	h.exec("INSERT INTO users VALUES (3, 'three', 2)")
	h.exec("DELETE FROM users")
	take(t, s, 3)
	s.Close()

	stats := h.catalog.Stats()
	require.Len(t, stats, 1)
	require.Equal(t, cdcID, stats[0].Source)
	require.Equal(t, uint64(7), stats[0].Transactions)
	require.Equal(t, map[api.Op]uint64{
		api.OpInsert: 5, api.OpUpdate: 2, api.OpDelete: 5, api.OpTruncate: 1, api.OpSchema: 1,
	}, stats[0].Changes)
	require.Equal(t, map[api.EndReason]uint64{
		api.EndClosed: 1, api.EndLag: 0, api.EndLost: 0, api.EndSource: 3,
	}, stats[0].Ended)
}

func TestSpilledBytesAreCounted(t *testing.T) {
	h := newHouse(t)
	other := registry.ID{Namespace: "app", Name: "other"}
	h.serve(h.source(cdcID, config()))
	h.serve(h.source(other, config()))
	s := h.subscribe(cdcID, api.StreamOptions{})
	h.exec("INSERT INTO orders VALUES (1, zeroblob(?)), (2, zeroblob(?)), (3, zeroblob(?))", unit.MiB, unit.MiB, unit.MiB)
	take(t, s, 3)
	stats := h.catalog.Stats()
	require.Len(t, stats, 2)
	require.Equal(t, []registry.ID{cdcID, other}, []registry.ID{stats[0].Source, stats[1].Source})
	require.Greater(t, stats[0].SpilledBytes, uint64(unit.MiB))
	require.Zero(t, stats[1].SpilledBytes, "no stream watched it")
}

// What the log of a durable source takes is measured, and a reader that begins far behind is told of until it has caught up.
func TestADurableLogIsMeasured(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	said := h.listen()
	h.reopenDB()
	served := h.serve(h.source(cdcID, durable()))
	empty := h.catalog.Stats()[0].DurableLog
	require.Equal(t, 1, empty.Files)
	require.True(t, empty.Oldest.IsZero(), "there is no transaction")
	begin := h.newest()
	h.exec("INSERT INTO users VALUES (1, 'Ann', 1)")
	first := take(t, h.resume(begin), 1)[0].Transaction.CommittedAt
	for range 3 {
		for range 4 {
			h.exec("INSERT INTO orders VALUES (NULL, zeroblob(?))", 2<<20)
		}
		log := h.catalog.Stats()[0].DurableLog
		require.Equal(t, h.db.LogState().Bytes, log.Bytes)
		require.True(t, first.Equal(log.Oldest), "%s %s", first, log.Oldest)
	}
	log := h.catalog.Stats()[0].DurableLog
	require.Greater(t, log.Files, 1)
	require.Greater(t, log.Bytes, int64(24<<20))
	require.Empty(t, lineWith(t, said, "far behind"))
	s := h.subscribe(cdcID, api.StreamOptions{Start: api.After(begin), Reader: "process 1 of app:main"})
	require.Contains(t, lineWith(t, said, "a stream begins far behind"), `reader="process 1 of app:main"`)
	require.Contains(t, lineWith(t, said, "a stream begins far behind"), "transactions=13")
	require.Empty(t, lineWith(t, said, "has caught up"))
	take(t, s, 13)
	idle(t, s)
	require.Contains(t, lineWith(t, said, "has caught up"), "read=13")
	require.NoError(t, served.stop())
	h.reopenDB()
	h.serve(h.source(cdcID, durable()))
	require.True(t, first.Equal(h.catalog.Stats()[0].DurableLog.Oldest), "it is read from the file")
}
