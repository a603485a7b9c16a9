package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

func TestASnapshotComesFirst(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec("ALTER TABLE users ADD ok bool, ADD twice int GENERATED ALWAYS AS (2) STORED; INSERT INTO users VALUES (1, 'a', true), (2, NULL, false)")
	c := h.config("users", "orders")
	c.SnapshotFetchSize = 1
	h.serve(h.source(c))
	h.exec("INSERT INTO orders VALUES (7, 'tea')")
	s := h.subscribe(api.StreamOptions{Start: api.Snapshot(), Ops: []api.Op{api.OpInsert}})
	h.insert(3)
	changes := take(t, s, 4)
	made := " 2"
	if h.older(t, 18) {
		made = "" // servers send generated columns from version 18 on
	}
	require.Equal(t, []string{
		"0 snapshot orders -> 7 tea", "1 snapshot users -> 1 a true" + made, "2 snapshot users -> 2 <nil> false" + made + " !",
		"0 insert users -> 3 x <nil>" + made + " !",
	}, lines(changes))
	require.Less(t, changes[2].Cursor(), changes[3].Cursor())
	require.Equal(t, changes[1].Table.Columns, changes[3].Table.Columns)
	require.Equal(t, changes[1].Table.Key, changes[3].Table.Key)
	require.Equal(t, "0", h.Text(t, "SELECT count(*) FROM pg_replication_slots WHERE temporary AND database = current_database()"))
}

// What the server estimates is told of a snapshot that takes long.
func TestALongSnapshotTellsHowManyRowsThereAre(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec("INSERT INTO users SELECT n, 'x' FROM generate_series(1, 3000) n; INSERT INTO orders VALUES (1, 'tea'); ANALYZE users, orders")
	h.serve(h.source(h.config("users", "orders")))
	s := h.subscribe(api.StreamOptions{Start: api.Snapshot(), Buffer: 2})
	take(t, s, 100)
	require.Zero(t, h.catalog.Streams()[0].SnapshotTotal)
	<-time.After(5 * time.Second) // from then on they are asked for
	take(t, s, 1000)
	require.EqualValues(t, 3001, h.catalog.Streams()[0].SnapshotTotal)
	take(t, s, 1901)
}

// Streams begin with a snapshot under a writer; each is a replica that must be right at the end.
func TestASnapshotAndWhatFollowsMissNothingAndRepeatNothing(t *testing.T) {
	t.Parallel()
	for _, streaming := range []bool{false, true} {
		h := newHouse(t)
		h.exec("ALTER TABLE users REPLICA IDENTITY FULL; INSERT INTO users SELECT n, 'x' FROM generate_series(1, 500) n")
		c := h.config("users")
		c.Streaming, c.SnapshotFetchSize = streaming, 100
		h.serve(h.source(c))
		ctx, stop := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for w := range 3 {
			work.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					id := 1000*(w+1) + i%300
					_, err := h.Pool.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf(
						"BEGIN; DELETE FROM users WHERE id = %d; INSERT INTO users VALUES (%d, 'n%d'); UPDATE users SET name = name || 'u' WHERE id BETWEEN %d AND %d; COMMIT", id, id, i, 1000*(w+1), 1000*(w+1)+5))
					if err != nil {
						_, _ = h.Pool.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
					}
				}
			})
		}
		replicas, streams := make([]*replica, 4), make([]api.Stream, 4)
		for i := range replicas {
			replicas[i] = &replica{t: t, rows: map[string]map[string]string{"users": {}, "orders": {}}}
			streams[i] = h.subscribe(api.StreamOptions{Start: api.Snapshot(), MaxBytes: c.LogBytes})
			for range 600 {
				replicas[i].apply(take(t, streams[i], 1)[0])
			}
		}
		stop()
		work.Wait()
		h.insert(1_000_000)
		for i, r := range replicas {
			for r.rows["users"]["1000000"] == "" {
				r.apply(take(t, streams[i], 1)[0])
			}
			require.Equal(t, h.content(t), r.rows)
		}
	}
}

func TestASourceBootstrapsOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.insert(1, 2)
	c := h.config("users")
	c.Snapshot = true
	source := h.source(c)
	running := h.serve(source)
	s := h.subscribe(api.StreamOptions{})
	take(t, s, 1)
	require.NoError(t, running.stop())
	running = h.serve(source)
	s = h.subscribe(api.StreamOptions{})
	require.Equal(t, []string{"0 snapshot users -> 1 x", "1 snapshot users -> 2 x !"}, lines(take(t, s, 2)), "it was not read to the end before")
	h.insert(3)
	require.Equal(t, []int64{3}, ids(t, s, 1))
	eventually(t, func() bool {
		return h.Text(t, "SELECT to_regclass('wippy_cdc_offsets')") != "" && h.Text(t, "SELECT count(*) FROM wippy_cdc_offsets WHERE slot LIKE '%/snapshot'") == "1"
	}, "it is noted at once")
	require.NoError(t, running.stop())
	h.insert(4)
	h.serve(source)
	s = h.subscribe(api.StreamOptions{})
	require.Equal(t, []string{"0 insert users -> 4 x !"}, lines(take(t, s, 1)))
	s = h.subscribe(api.StreamOptions{Start: api.Snapshot()})
	require.Len(t, take(t, s, 4), 4)
}

func TestASnapshotIsClosedInTheMiddle(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec("INSERT INTO users SELECT n, 'x' FROM generate_series(1, 10000) n")
	h.serve(h.source(h.config("users")))
	for _, n := range []int{0, 1, 5000} {
		s := h.subscribe(api.StreamOptions{Start: api.Snapshot()})
		take(t, s, n)
		s.Close()
	}
	eventually(t, func() bool {
		return h.Text(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'") == "0"
	}, "its transaction has ended")
}
