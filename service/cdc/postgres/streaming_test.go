package postgres_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// bulk inserts so many rows that the server streams the transaction before it commits.
func bulk(table string, first, last int) string {
	return fmt.Sprintf("INSERT INTO %s SELECT n, repeat('x', 200) FROM generate_series(%d, %d) n", table, first, last)
}

// streamed is a house with a source that asks for streaming.
func streamed(t *testing.T) (*house, api.Stream) {
	t.Helper()
	h := newHouse(t)
	c := h.config("users", "orders")
	c.Streaming = true
	h.serve(h.source(c))
	return h, h.subscribe(api.StreamOptions{})
}

// wasStreamed requires that the server has sent transactions before they committed.
func (h *house) wasStreamed() {
	h.t.Helper()
	require.NotEqual(h.t, "0", h.Text(h.t, "SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = $1", h.Name))
}

func TestOnlyWhatASubtransactionHasDoneIsUndone(t *testing.T) {
	t.Parallel()
	h, s := streamed(t)
	h.transact(bulk("users", 1, 2000), "SAVEPOINT a", bulk("users", 2001, 4000), "SAVEPOINT b", bulk("users", 4001, 6000), "ROLLBACK TO b",
		bulk("users", 6001, 8000), "RELEASE a", "SAVEPOINT a", bulk("users", 8001, 9000), "ROLLBACK TO a", bulk("users", 9001, 10000))
	changes := take(t, s, 7000)
	want := 0
	for i, c := range changes {
		want++
		switch want {
		case 4001:
			want = 6001
		case 8001:
			want = 9001
		}
		require.Equal(t, int64(want), c.After[0].Int64())
		require.Equal(t, i, c.Index)
		require.Equal(t, i == 6999, c.Last)
		require.Same(t, changes[0].Transaction, c.Transaction)
	}
	h.wasStreamed()
}

func TestStreamedTransactionsInterleave(t *testing.T) {
	t.Parallel()
	h, s := streamed(t)
	const writers, rows = 4, 3000
	var work sync.WaitGroup
	for w := range writers {
		work.Go(func() {
			conn, err := h.Pool.Conn(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			end := "COMMIT"
			if w == writers-1 {
				end = "ROLLBACK"
			}
			for _, q := range []string{
				"BEGIN", bulk("users", w*rows, w*rows+rows/2-1), "SAVEPOINT s", bulk("orders", w*rows, w*rows+rows-1), "ROLLBACK TO s",
				bulk("users", w*rows+rows/2, w*rows+rows-1), end,
			} {
				if _, err := conn.ExecContext(t.Context(), q); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	for range writers - 1 {
		changes := take(t, s, rows)
		first := changes[0].After[0].Int64()
		for i, c := range changes {
			require.Equal(t, first+int64(i), c.After[0].Int64())
			require.Same(t, changes[0].Transaction, c.Transaction)
		}
		require.True(t, changes[rows-1].Last)
	}
	h.wasStreamed()
	h.insert(1_000_000)
	require.Equal(t, []int64{1_000_000}, ids(t, s, 1))
}

func TestLargeTransactionsSpillAndArriveWhole(t *testing.T) {
	t.Parallel()
	for _, streaming := range []bool{false, true} {
		h := newHouse(t)
		c := h.config("users")
		c.Streaming = streaming
		h.serve(h.source(c))
		s := h.subscribe(api.StreamOptions{})
		const rows = 12_000 // of 8 kB: more than is kept in memory
		h.exec(fmt.Sprintf("ALTER TABLE users ALTER name SET STORAGE PLAIN; INSERT INTO users SELECT n, repeat('x', 8000) FROM generate_series(1, %d) n", rows))
		for i := 0; i < rows; {
			for _, c := range take(t, s, 1000) {
				i++
				require.Equal(t, int64(i), c.After[0].Int64())
			}
		}
		stats := h.catalog.Stats()
		require.Greater(t, stats[0].SpilledBytes, uint64(32<<20))
		require.Equal(t, uint64(rows), stats[0].Changes[api.OpInsert])
	}
}
