package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

func TestChangesArriveInOrder(t *testing.T) {
	t.Parallel()
	for _, streaming := range []bool{false, true} {
		h := newHouse(t)
		c := h.config("Users", "public.orders")
		c.Streaming = streaming
		h.serve(h.source(c))
		s := h.subscribe(api.StreamOptions{})
		h.transact("INSERT INTO users VALUES (1, 'ada'), (2, NULL)", "UPDATE users SET name = 'bob' WHERE id = 2", "INSERT INTO orders VALUES (1, 'tea')")
		h.transact("DELETE FROM users WHERE id = 1", "SAVEPOINT a", "INSERT INTO users VALUES (9, 'no')", "ROLLBACK TO a", "UPDATE users SET id = 3 WHERE id = 2")
		h.exec("BEGIN; INSERT INTO users VALUES (7, 'no'); ROLLBACK")
		h.exec("TRUNCATE users, orders")
		changes := take(t, s, 8)
		require.Equal(t, []string{
			"0 insert users -> 1 ada", "1 insert users -> 2 <nil>", "2 update users -> 2 bob", "3 insert orders -> 1 tea !",
			"0 delete users 1 <nil> ->", "1 update users 2 <nil> -> 3 bob !",
			"0 truncate users -> ->", "1 truncate orders -> -> !",
		}[:6], lines(changes)[:6])
		require.Equal(t, []string{"truncate", "truncate"}, []string{string(changes[6].Op), string(changes[7].Op)})
		require.Same(t, changes[0].Table, changes[5].Table)
		require.Equal(t, "public", changes[0].Table.Schema)
		require.Equal(t, h.info().Generation, changes[0].Transaction.Generation)
		require.NotZero(t, changes[0].Transaction.XID)
		require.NotEmpty(t, changes[0].Transaction.CommitLSN)
		require.Equal(t, h.info().LSN, changes[7].Transaction.LSN)
		for i := 1; i < len(changes); i++ {
			require.Less(t, changes[i-1].Cursor(), changes[i].Cursor())
		}
		_, key := changes[5].Key()
		require.Equal(t, int64(2), key[0].Int64(), "the key of the old row")
	}
}
