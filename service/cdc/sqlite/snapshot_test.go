//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
)

var always = api.StreamOptions{Start: api.Snapshot()}

func inMemory(c *sqlapi.SQLiteConfig) { c.File = sqlapi.InMemory }

func TestSnapshotIsTheSourceAsOfItsPosition(t *testing.T) {
	for name, configure := range map[string]func(*sqlapi.SQLiteConfig){"file": func(*sqlapi.SQLiteConfig) {}, "memory": inMemory} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, configure)
			h.exec("CREATE TABLE empty (a)")
			h.exec("CREATE VIRTUAL TABLE box USING rtree (id, x0, x1)")
			h.exec("CREATE TABLE pair (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID")
			h.exec("INSERT INTO box VALUES (1, 2, 3)")
			h.serve(h.source(cdcID, config()))
			h.transact("INSERT INTO users VALUES (2, 'bob', 2.5), (1, 'ann', NULL)", "INSERT INTO pair VALUES (1, 'z'), (2, 'y')")
			h.exec("INSERT INTO orders VALUES (7, x'00')")
			s := h.subscribe(cdcID, always)
			onlyPair := h.subscribe(cdcID, api.StreamOptions{Start: api.Snapshot(), Tables: []string{"PAIR"}})
			h.exec("DELETE FROM pair")
			changes := take(t, s, 7)
			require.Equal(t, []string{
				"2.0 snapshot orders -> 7 [0]", "2.1 snapshot pair -> 2 y", "2.2 snapshot pair -> 1 z",
				"2.3 snapshot users -> 1 ann <nil>", "2.4 snapshot users -> 2 bob 2.5 !",
				"3.0 delete pair 2 y ->", "3.1 delete pair 1 z -> !",
			}, lines(changes))
			info, _ := h.catalog.Source(cdcID)
			require.Equal(t, info.Generation+":2", changes[0].Transaction.ID())
			require.Greater(t, changes[5].Cursor(), changes[4].Cursor())
			names, values := changes[1].Key()
			require.Equal(t, []string{"b", "a"}, names)
			require.Equal(t, []sqlapi.Value{sqlapi.TextValue("y"), sqlapi.IntegerValue(2)}, values)
			require.Equal(t, []string{
				"2.0 snapshot pair -> 2 y", "2.1 snapshot pair -> 1 z !", "3.0 delete pair 2 y ->", "3.1 delete pair 1 z -> !",
			}, lines(take(t, onlyPair, 4)))
			require.Equal(t, uint64(7), h.catalog.Stats()[0].SnapshotRows)
			require.Equal(t, name == "file", h.catalog.Stats()[0].WALBytes != nil)
		})
	}
}

func TestSnapshotOfTheTablesOfTheSource(t *testing.T) {
	h := newHouse(t)
	h.exec("INSERT INTO users VALUES (1, 'ann', 1)")
	h.exec("INSERT INTO orders VALUES (1, 1)")
	h.serve(h.source(cdcID, config("main.ORDERS")))
	s := h.subscribe(cdcID, always)
	require.Equal(t, []string{"0.0 snapshot orders -> 1 1 !"}, lines(take(t, s, 1)))
	h.exec("CREATE TABLE later (a)")
	h.exec("INSERT INTO orders VALUES (2, 2)")
	require.Equal(t, int64(2), take(t, s, 1)[0].After[0].Int64())
}

func TestTablesThatChangeDuringTheScan(t *testing.T) {
	h := newHouse(t)
	h.exec("INSERT INTO orders VALUES (1, 1), (2, 2), (3, 3)")
	h.exec("INSERT INTO users VALUES (1, 'ann', 1)")
	h.serve(h.source(cdcID, config()))
	s := h.subscribe(cdcID, api.StreamOptions{Start: api.Snapshot(), Buffer: 1, Schema: true})
	require.Equal(t, []string{"0.0 snapshot orders -> 1 1"}, lines(take(t, s, 1)))
	h.exec("CREATE TABLE between_times (a)")
	h.exec("INSERT INTO between_times VALUES (1)")
	h.exec("ALTER TABLE users ADD COLUMN nick")
	h.exec("UPDATE users SET nick = 'a'")
	h.exec("DROP TABLE orders")
	require.Equal(t, []string{
		"0.1 snapshot orders -> 2 2", "0.2 snapshot orders -> 3 3", "0.3 snapshot users -> 1 ann 1 !",
		"1.0 schema between_times -> !", "2.0 insert between_times -> 1 !", "3.0 schema users -> !",
		"4.0 update users 1 ann 1 <nil> -> 1 ann 1 a !", "5.0 truncate orders ->", "5.1 schema orders -> !",
	}, lines(take(t, s, 9)))
}

// TestSnapshotAndTailEqualTheSource is P4: wherever a stream begins under a writer, what it has delivered is the source as
// it was after each commit.
func TestSnapshotAndTailEqualTheSource(t *testing.T) {
	for name, configure := range map[string]func(*sqlapi.SQLiteConfig){"file": func(*sqlapi.SQLiteConfig) {}, "memory": inMemory} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			h := newHouse(t, configure)
			c := config()
			c.Subscriptions.MaxSnapshotSubscriptions = 8
			h.serve(h.source(cdcID, c))
			w := &historian{house: h, random: rand.New(rand.NewPCG(seed, 0)), states: map[uint64]string{}, news: make(chan struct{})}
			require.NoError(t, w.begin(t.Context()))
			const streams, transactions = 8, 400
			ctx, over := context.WithCancelCause(t.Context())
			var readers sync.WaitGroup
			for range streams {
				readers.Go(func() {
					for ctx.Err() == nil {
						if err := w.follow(ctx); err != nil && ctx.Err() == nil {
							over(err)
						}
					}
				})
			}
			for range transactions {
				if err := w.commit(ctx); err != nil {
					over(err)
				}
			}
			over(errOver)
			readers.Wait()
			require.Equal(t, errOver, context.Cause(ctx))
			require.Positive(t, w.checked.Load(), "no stream has come to its live part")
			t.Logf("%d snapshots, %d states compared", w.snapshots.Load(), w.checked.Load())
		})
	}
}

var errOver = errors.New("over")

// historian writes random transactions and remembers the source after each.
type historian struct {
	*house
	random *rand.Rand

	mu     sync.Mutex
	states map[uint64]string
	// news is closed when there is another state.
	news chan struct{}

	snapshots, checked atomic.Int64
}

func (w *historian) begin(ctx context.Context) error {
	for _, statement := range []string{
		"CREATE TABLE a (x, y)", "CREATE TABLE wide (a, b, c, PRIMARY KEY (b, a)) WITHOUT ROWID",
		"INSERT INTO a VALUES (1, 2)", "INSERT INTO wide VALUES (1, 'k', x'00')",
	} {
		if _, err := w.db.Pool().ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return w.remember(ctx)
}

// remember notes the state of the source after the newest transaction.
func (w *historian) remember(ctx context.Context) error {
	state, err := dump(ctx, w.db.Pool())
	if err != nil {
		return err
	}
	info, _ := w.catalog.Source(cdcID)
	sequence, err := strconv.ParseUint(info.LSN, 10, 64)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.states[sequence] = state.describe()
	close(w.news)
	w.news = make(chan struct{})
	return nil
}

func (w *historian) commit(ctx context.Context) error {
	statements := []string{"BEGIN;"}
	for range 1 + w.random.IntN(4) {
		n, m := w.random.IntN(30), w.random.IntN(30)
		statements = append(statements, []string{
			fmt.Sprintf("INSERT OR REPLACE INTO a (rowid, x, y) VALUES (%d, %d, 'v%d');", n, m, m),
			fmt.Sprintf("UPDATE a SET x = x + 1 WHERE rowid %% 5 = %d;", n%5),
			fmt.Sprintf("UPDATE OR IGNORE a SET rowid = %d WHERE rowid = %d;", n, m),
			fmt.Sprintf("DELETE FROM a WHERE rowid = %d;", n),
			fmt.Sprintf("INSERT OR REPLACE INTO wide VALUES (%d, 'k%d', zeroblob(%d));", n, m%3, m),
			fmt.Sprintf("UPDATE OR REPLACE wide SET a = a + 1 WHERE a > %d;", n),
			fmt.Sprintf("SAVEPOINT s; DELETE FROM wide WHERE a < %d; ROLLBACK TO s;", n),
			fmt.Sprintf("INSERT INTO users(name, score) VALUES ('u', %d), ('v', 1.5);", n),
			"DELETE FROM users WHERE id > 20;",
			fmt.Sprintf("CREATE TABLE IF NOT EXISTS t%d (x); INSERT INTO t%d VALUES (%d);", n%3, n%3, m),
			fmt.Sprintf("DROP TABLE IF EXISTS t%d;", n%3),
		}[w.random.IntN(11)])
	}
	if _, err := w.db.Pool().ExecContext(ctx, strings.Join(append(statements, "COMMIT"), "")); err != nil {
		return err
	}
	return w.remember(ctx)
}

// follow reads a stream from its snapshot until the end of some transaction, and compares at the end of each.
func (w *historian) follow(ctx context.Context) error {
	s, err := w.catalog.Subscribe(ctx, cdcID, api.StreamOptions{Start: api.Snapshot(), Schema: true})
	if err != nil {
		return err
	}
	defer s.Close()
	w.snapshots.Add(1)
	replica := content{}
	for range rand.IntN(20) {
		for {
			c, err := s.Next(ctx)
			if err != nil {
				return err
			}
			if err := replica.apply(c); err != nil {
				return fmt.Errorf("transaction %s: %w", c.Transaction.LSN, err)
			}
			if c.Last {
				if err := w.compare(ctx, c.Transaction.Sequence, replica); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

// compare compares a replica with the source after a transaction; the writer may not have come to remember it yet.
func (w *historian) compare(ctx context.Context, sequence uint64, replica content) error {
	for {
		w.mu.Lock()
		want, known := w.states[sequence]
		news := w.news
		w.mu.Unlock()
		if !known {
			select {
			case <-news:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		w.checked.Add(1)
		if got := replica.describe(); got != want {
			return fmt.Errorf("after transaction %d the source was\n%sand the replica is\n%s", sequence, want, got)
		}
		return nil
	}
}

func TestSeveralSnapshotsAtOnce(t *testing.T) {
	h := newHouse(t)
	h.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO users SELECT i, 'user', i FROM n")
	h.serve(h.source(cdcID, config()))
	var streams []api.Stream
	for range 4 {
		streams = append(streams, h.subscribe(cdcID, always))
	}
	_, err := h.catalog.Subscribe(t.Context(), cdcID, always)
	require.ErrorContains(t, err, "4 streams are reading a snapshot")
	require.True(t, errs.Retryable(err))
	for _, s := range streams {
		require.Equal(t, int64(5000), take(t, s, 5000)[4999].After[0].Int64())
	}
	info, _ := h.catalog.Source(cdcID)
	require.Zero(t, info.Admission.Snapshots)
	h.subscribe(cdcID, always)
}

func TestSnapshotEndsWithItsSourceAtAnyPoint(t *testing.T) {
	h := newHouse(t)
	h.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO users SELECT i, 'user', i FROM n")
	source := h.source(cdcID, config())
	for taken := range 40 {
		run := h.serve(source)
		stopped, closed := h.subscribe(cdcID, always), h.subscribe(cdcID, always)
		take(t, stopped, 50*taken)
		take(t, closed, 50*taken)
		closed.Close()
		require.NoError(t, run.stop())
		for {
			if _, err := stopped.Next(t.Context()); err != nil {
				require.EqualError(t, err, `cdc: source "app:cdc" was stopped or replaced; resubscribe once it runs`)
				break
			}
		}
	}
	run := h.serve(source)
	s := h.subscribe(cdcID, always)
	take(t, s, 10)
	require.NoError(t, h.db.Close())
	require.Error(t, <-run.ended)
	require.ErrorContains(t, s.Err(), "was closed")
}

func TestSubscriptionWaitsForTheOpenTransactionUntilItIsCancelled(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	tx, err := h.db.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO users VALUES (1, 'ann', 1)")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := make(chan error)
	go func() {
		_, err := h.catalog.Subscribe(ctx, cdcID, always)
		cancelled <- err
	}()
	waiting := make(chan api.Stream)
	go func() { waiting <- h.subscribe(cdcID, always) }()
	cancel()
	require.ErrorIs(t, <-cancelled, context.Canceled)
	require.NoError(t, tx.Commit())
	require.Equal(t, []string{"1.0 snapshot users -> 1 ann 1 !"}, lines(take(t, <-waiting, 1)))
	info, _ := h.catalog.Source(cdcID)
	require.Equal(t, 1, info.Admission.Active)
}

func TestLaggardDuringASnapshotDoesNotHoldUpTheWriter(t *testing.T) {
	h := newHouse(t)
	h.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO users SELECT i, 'user', i FROM n")
	c := config()
	c.LogBytes = unit.MiB
	h.serve(h.source(cdcID, c))
	s := h.subscribe(cdcID, api.StreamOptions{Start: api.Snapshot(), MaxBytes: 64 * unit.KiB})
	take(t, s, 1)
	for i := range 100 {
		h.exec("INSERT INTO orders VALUES (?, zeroblob(4096))", i)
	}
	for s.Err() == nil {
		<-s.Ready()
	}
	require.ErrorContains(t, s.Err(), "stream fell behind: ")
	require.Equal(t, uint64(1), h.catalog.Stats()[0].Ended[api.EndLag])
}

func TestMemoryOfASnapshotDoesNotGrowWithTheTable(t *testing.T) {
	h := newHouse(t)
	const rows = 500_000
	h.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO users SELECT i, 'user number ' || i, i FROM n", rows)
	h.serve(h.source(cdcID, config()))
	s := h.subscribe(cdcID, always)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := heap(), uint64(0)
	for i := range rows {
		c, err := s.Next(t.Context())
		require.NoError(t, err)
		if c.After[0].Int64() != int64(i+1) || c.Last != (i == rows-1) {
			require.Fail(t, "wrong row", "%d: %v", i, c)
		}
		if i%100_000 == 50_000 {
			most = max(most, heap())
		}
	}
	require.Less(t, int64(most)-int64(before), int64(2*unit.MiB))
}

func TestLongSnapshotsTellHowFarTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var text bytes.Buffer
		h.log = slog.NewTextHandler(&text, nil)
		h.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO users SELECT i, 'user', i FROM n")
		run := h.serve(h.source(cdcID, config()))
		s := h.subscribe(cdcID, api.StreamOptions{Start: api.Snapshot(), Buffer: 1})
		for range 3 {
			take(t, s, 1000)
			synctest.Wait()
			<-time.After(4 * time.Second)
		}
		s.Close()
		s = h.subscribe(cdcID, always)
		take(t, s, 3000)
		s.Close()
		require.NoError(t, run.stop())
		require.NoError(t, h.db.Close())
		require.Equal(t, 1, strings.Count(text.String(), "snapshot in progress"), text.String())
		require.Regexp(t, `msg="snapshot in progress" source=app:cdc database=app:db rows=\d+ rows_per_second=\d+ lsn=0 table=users of=3000 left=\d+s`, text.String())
		require.Equal(t, 1, strings.Count(text.String(), "snapshot complete"), "the second was quick")
		require.Contains(t, text.String(), "rows=3000 rows_per_second=375 ")
	})
}
