//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	apicdc "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

func TestChangesAreCountedOnceWhateverStreamsSelect(t *testing.T) {
	h := newHouse(t)
	source := h.source(cdcID, config())
	run := h.serve(source)
	all := h.subscribe(cdcID, apicdc.StreamOptions{})
	also := h.subscribe(cdcID, apicdc.StreamOptions{})
	inserts := h.subscribe(cdcID, apicdc.StreamOptions{Ops: []apicdc.Op{apicdc.OpInsert}})
	h.transact("INSERT INTO users VALUES (1, 'ann', 1.5), (2, 'bob', NULL)", "UPDATE users SET score = 2", "DELETE FROM users WHERE id = 1")
	h.exec("DELETE FROM users")
	h.exec("DROP TABLE orders")
	h.exec("INSERT INTO users VALUES (1, 'end', 1)")
	take(t, all, 8)
	take(t, also, 8)
	take(t, inserts, 3)
	require.NoError(t, run.stop())
	h.serve(source)
	s := h.subscribe(cdcID, apicdc.StreamOptions{Tables: []string{"users"}, Ops: []apicdc.Op{apicdc.OpDelete}})
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
	require.Equal(t, map[apicdc.Op]uint64{
		apicdc.OpInsert: 5, apicdc.OpUpdate: 2, apicdc.OpDelete: 5, apicdc.OpTruncate: 1, apicdc.OpSchema: 1,
	}, stats[0].Changes)
	require.Equal(t, map[apicdc.EndReason]uint64{
		apicdc.EndClosed: 1, apicdc.EndLag: 0, apicdc.EndLost: 0, apicdc.EndSource: 3,
	}, stats[0].Ended)
}

func TestSpilledBytesAreCounted(t *testing.T) {
	h := newHouse(t)
	other := registry.ID{Namespace: "app", Name: "other"}
	h.serve(h.source(cdcID, config()))
	h.serve(h.source(other, config()))
	s := h.subscribe(cdcID, apicdc.StreamOptions{})
	h.exec("INSERT INTO orders VALUES (1, zeroblob(?)), (2, zeroblob(?)), (3, zeroblob(?))", unit.MiB, unit.MiB, unit.MiB)
	take(t, s, 3)
	stats := h.catalog.Stats()
	require.Len(t, stats, 2)
	require.Equal(t, []registry.ID{cdcID, other}, []registry.ID{stats[0].Source, stats[1].Source})
	require.Greater(t, stats[0].SpilledBytes, uint64(unit.MiB))
	require.Zero(t, stats[1].SpilledBytes, "no stream watched it")
}
