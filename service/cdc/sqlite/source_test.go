//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
)

func TestSourceDeliversCommittedTransactionsExactly(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	s := h.subscribe(cdcID, api.StreamOptions{})
	before := time.Now()
	h.transact(
		"INSERT INTO users VALUES (1, 'ann', 1.5), (2, 'bob', NULL)",
		"UPDATE users SET score = 2.5 WHERE id = 1",
		"SAVEPOINT s", "DELETE FROM users", "ROLLBACK TO s",
		"INSERT INTO orders VALUES (7, x'00ff')",
		"DELETE FROM users WHERE id = 2",
	)
	h.exec("BEGIN; DELETE FROM users; ROLLBACK")
	h.exec("UPDATE users SET id = 9")
	changes := take(t, s, 6)
	require.Equal(t, []string{
		"1.0 insert users -> 1 ann 1.5",
		"1.1 insert users -> 2 bob <nil>",
		"1.2 update users 1 ann 1.5 -> 1 ann 2.5",
		"1.3 insert orders -> 7 [0 255]",
		"1.4 delete users 2 bob <nil> -> !",
		"2.0 update users 1 ann 2.5 -> 9 ann 2.5 !",
	}, lines(changes))
	for i, c := range changes {
		require.Equal(t, cdcID, c.Transaction.Source)
		require.Equal(t, "main", c.Table.Schema)
		require.WithinRange(t, c.Transaction.CommittedAt, before.Add(-time.Second), time.Now().Add(time.Second))
		require.Equal(t, c.Op == api.OpInsert, c.Before == nil)
		require.Equal(t, c.Op == api.OpDelete, c.After == nil)
		if i > 0 {
			require.Greater(t, c.Cursor(), changes[i-1].Cursor())
		}
	}
	names, values := changes[5].Key()
	require.Equal(t, []string{"id"}, names)
	require.Equal(t, []sqlapi.Value{sqlapi.IntegerValue(1)}, values)
	require.Equal(t, int64(9), changes[5].NewRowID)
	require.Same(t, changes[0].Transaction, changes[4].Transaction)
}

func TestSourceKeepsValuesAndTheirTypes(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config("orders")))
	s := h.subscribe(cdcID, api.StreamOptions{})
	for i, test := range []struct {
		literal string
		want    sqlapi.Value
	}{
		{"NULL", sqlapi.Value{}},
		{"9223372036854775807", sqlapi.IntegerValue(math.MaxInt64)},
		{"-9223372036854775807-1", sqlapi.IntegerValue(math.MinInt64)},
		{"0", sqlapi.IntegerValue(0)},
		{"0.1", sqlapi.RealValue(0.1)},
		{"9e999", sqlapi.RealValue(math.Inf(1))},
		{"1e308", sqlapi.RealValue(1e308)},
		{"''", sqlapi.TextValue("")},
		{"x''", sqlapi.BlobValue("")},
		{"'text'", sqlapi.TextValue("text")},
		{"x'74657874'", sqlapi.BlobValue("text")},
		{"CAST(x'ff00fe' AS TEXT)", sqlapi.TextValue("\xff\x00\xfe")},
		{"zeroblob(1048576)", sqlapi.BlobValue(string(make([]byte, 1<<20)))},
	} {
		h.exec("INSERT INTO orders VALUES (?, "+test.literal+")", i)
		got := take(t, s, 1)[0].After[1]
		require.Equal(t, test.want.Type(), got.Type(), test.literal)
		require.Equal(t, test.want.Any(), got.Any(), test.literal)
	}
}

func TestSourcesOfOneDatabaseSeeTheirOwnTables(t *testing.T) {
	h := newHouse(t)
	all := registry.ID{Namespace: "app", Name: "all"}
	h.serve(h.source(cdcID, config("USERS")))
	h.serve(h.source(all, config([]string{}...)))
	onlyUsers, everything := h.subscribe(cdcID, api.StreamOptions{}), h.subscribe(all, api.StreamOptions{})
	filtered := h.subscribe(all, api.StreamOptions{Tables: []string{"main.Orders"}, Ops: []api.Op{api.OpDelete}})
	h.transact("INSERT INTO orders VALUES (1, 'x')", "INSERT INTO users VALUES (1, 'ann', 1)", "DELETE FROM orders", "DELETE FROM users")
	h.exec("INSERT INTO " + api.OffsetsTable + " (source, updated_at) VALUES ('never seen', '')")
	h.exec("INSERT INTO users VALUES (2, 'bob', 2)")
	require.Equal(t, []string{
		"1.1 insert users -> 1 ann 1", "1.3 delete users 1 ann 1 -> !", "2.0 insert users -> 2 bob 2 !",
	}, lines(take(t, onlyUsers, 3)))
	changes := take(t, everything, 5)
	require.Equal(t, []string{
		"1.0 insert orders -> 1 x", "1.1 insert users -> 1 ann 1", "1.2 delete orders 1 x ->", "1.3 delete users 1 ann 1 -> !",
		"2.0 insert users -> 2 bob 2 !",
	}, lines(changes))
	require.Equal(t, all, changes[0].Transaction.Source)
	require.Equal(t, []string{"1.2 delete orders 1 x -> !"}, lines(take(t, filtered, 1)))
}

func TestSourceTellsAboutItself(t *testing.T) {
	h := newHouse(t)
	c := config("users")
	run := h.serve(h.source(cdcID, c))
	s := h.subscribe(cdcID, api.StreamOptions{})
	info, ok := h.catalog.Source(cdcID)
	require.True(t, ok)
	require.Equal(t, api.SourceInfo{
		ID: cdcID, Kind: api.KindSQLite, State: api.StateRunning, Engine: "sqlite",
		Generation: info.Generation, Epoch: 1, DBResource: dbID, Tables: []string{"users"},
		Cursor:       api.Behind(0).Cursor(info.Generation),
		Admission:    api.Admission{Active: 1, ReservedBytes: int64(16 * unit.MiB)},
		Capabilities: api.Capabilities{Snapshot: true, BeforeImages: true},
	}, info)
	h.exec("INSERT INTO users VALUES (1, 'ann', 1)")
	change := take(t, s, 1)[0]
	require.Equal(t, info.Generation, change.Transaction.Generation)
	info, _ = h.catalog.Source(cdcID)
	require.Equal(t, "1", info.LSN)
	require.NoError(t, run.stop())
	info, _ = h.catalog.Source(cdcID)
	require.Equal(t, api.StateStopped, info.State)
	require.NoError(t, info.Err)
}

func TestStoppedSourceEndsItsStreams(t *testing.T) {
	h := newHouse(t)
	source := h.source(cdcID, config())
	run := h.serve(source)
	s := h.subscribe(cdcID, api.StreamOptions{})
	require.NoError(t, run.stop())
	_, err := s.Next(t.Context())
	require.EqualError(t, err, `cdc: source "app:cdc" was stopped or replaced; resubscribe once it runs`)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.True(t, errs.Retryable(err))
	_, err = h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{})
	require.EqualError(t, err, `cdc: source "app:cdc" is not running (stopped): name it under lifecycle.requires of what needs it, or give it auto_start`)

	h.exec("INSERT INTO users VALUES (1, 'missed', 1)")
	h.serve(source)
	s = h.subscribe(cdcID, api.StreamOptions{})
	h.exec("INSERT INTO users VALUES (2, 'seen', 1)")
	require.Equal(t, []string{"1.0 insert users -> 2 seen 1 !"}, lines(take(t, s, 1)))
	info, _ := h.catalog.Source(cdcID)
	require.Equal(t, 2, info.Epoch)
}

func TestSourceEndsWhenItsDatabaseCloses(t *testing.T) {
	h := newHouse(t)
	run := h.serve(h.source(cdcID, config()))
	s := h.subscribe(cdcID, api.StreamOptions{})
	h.withdraw()
	require.NoError(t, h.db.Close())
	err := <-run.ended
	require.EqualError(t, err, `cdc: source "app:cdc": database "app:db" was closed`)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.True(t, errs.Retryable(err))
	_, end := s.Next(t.Context())
	require.EqualError(t, end, err.Error())
	_, err = h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{})
	require.EqualError(t, err, `cdc: source "app:cdc" is not running (faulted): database "app:db" was closed`)
}

func TestSourceWaitsForTheTransactionThatIsOpen(t *testing.T) {
	h := newHouse(t)
	tx, err := h.db.Pool().BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "INSERT INTO users VALUES (1, 'early', 1)")
	require.NoError(t, err)
	source := h.source(cdcID, config())
	var serving sync.WaitGroup
	serving.Go(func() { h.serve(source) })
	require.NoError(t, tx.Commit())
	serving.Wait()
	s := h.subscribe(cdcID, api.StreamOptions{})
	h.exec("INSERT INTO users VALUES (2, 'late', 2)")
	require.Equal(t, []string{"1.0 insert users -> 2 late 2 !"}, lines(take(t, s, 1)))
}

func TestLaggardDoesNotHoldUpTheWriterOrOthers(t *testing.T) {
	h := newHouse(t)
	c := config()
	c.LogBytes = unit.MiB
	h.serve(h.source(cdcID, c))
	stuck := h.subscribe(cdcID, api.StreamOptions{Buffer: 1, MaxBytes: 64 * unit.KiB})
	reading := h.subscribe(cdcID, api.StreamOptions{Buffer: 1})
	for i := range 200 {
		h.exec("INSERT INTO orders VALUES (?, zeroblob(4096))", i)
		require.Equal(t, int64(i), take(t, reading, 1)[0].After[0].Int64())
	}
	for stuck.Err() == nil {
		<-stuck.Ready()
	}
	require.ErrorContains(t, stuck.Err(), "stream fell behind: ")
	require.ErrorContains(t, stuck.Err(), " unread, limit 64 KiB; read faster, raise max_bytes, or resubscribe with snapshot = true")
	require.NoError(t, reading.Err())
	info, _ := h.catalog.Source(cdcID)
	require.Equal(t, 1, info.Admission.Active)
}

func TestTransactionLargerThanTheLogArrivesWhole(t *testing.T) {
	h := newHouse(t)
	c := config()
	c.LogBytes = 64 * unit.KiB
	h.serve(h.source(cdcID, c))
	s := h.subscribe(cdcID, api.StreamOptions{MaxBytes: 1024})
	const rows = 50_000
	h.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO users SELECT i, 'user ' || i, i FROM n", rows)
	for i, change := range take(t, s, rows) {
		require.Equal(t, int64(i+1), change.After[0].Int64())
		require.Equal(t, i == rows-1, change.Last)
	}
}

func TestStreamsThatSubscribeUnderAWriterMissNothing(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	const transactions = 300
	failures := make(chan error, 8)
	var readers sync.WaitGroup
	subscribed := make(chan struct{}, 8)
	for range 8 {
		readers.Go(func() {
			s := h.subscribe(cdcID, api.StreamOptions{})
			subscribed <- struct{}{}
			failures <- readToTheEnd(t, s, transactions)
		})
	}
	<-subscribed // one at least sees all, the others join in
	for range transactions {
		h.transact("INSERT INTO users(name) VALUES ('a'), ('b')", "UPDATE users SET score = 1 WHERE id = 1")
	}
	readers.Wait()
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
}

// readToTheEnd reads until the change that ends the given number of transactions of three changes each.
func readToTheEnd(t *testing.T, s api.Stream, transactions int) error {
	t.Helper()
	cursor, sequence, inTransaction := "", uint64(0), 0
	for sequence < uint64(transactions) || inTransaction > 0 {
		c, err := s.Next(t.Context())
		if err != nil {
			return err
		}
		if inTransaction == 0 && sequence > 0 && c.Transaction.Sequence != sequence+1 {
			return fmt.Errorf("transaction %d follows %d", c.Transaction.Sequence, sequence)
		}
		if c.Index != inTransaction || c.Cursor() <= cursor || c.Last != (c.Index == 2) {
			return fmt.Errorf("change %d of transaction %d: cursor %s after %s", c.Index, c.Transaction.Sequence, c.Cursor(), cursor)
		}
		sequence, cursor = c.Transaction.Sequence, c.Cursor()
		inTransaction = (inTransaction + 1) % 3
	}
	return nil
}

func TestLostChangesEndTheStreamsAfterWhatCameBefore(t *testing.T) {
	h := newHouse(t)
	h.serve(h.source(cdcID, config()))
	s := h.subscribe(cdcID, api.StreamOptions{})
	h.exec("INSERT INTO orders VALUES (1, 'small')")
	h.exec("INSERT INTO orders VALUES (2, zeroblob(?)), (22, 'beyond the limit')", maxTransaction+1)
	h.exec("INSERT INTO orders VALUES (3, 'small')")
	require.Equal(t, []string{"1.0 insert orders -> 1 small !"}, lines(take(t, s, 1)))
	_, err := s.Next(t.Context())
	require.ErrorContains(t, err, `cdc: source "app:cdc": changes were lost: `)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	s = h.subscribe(cdcID, api.StreamOptions{})
	h.exec("INSERT INTO orders VALUES (4, 'small')")
	require.Equal(t, int64(4), take(t, s, 1)[0].After[0].Int64())
}

func TestSourceStartsAndStopsOftenUnderAWriter(t *testing.T) {
	h := newHouse(t)
	source := h.source(cdcID, config())
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			_, _ = h.db.Pool().ExecContext(ctx, "INSERT INTO users(name) VALUES ('x')")
		}
	})
	generation := ""
	for range 300 {
		run := h.serve(source)
		s := h.subscribe(cdcID, api.StreamOptions{})
		c := take(t, s, 1)[0]
		require.Greater(t, c.Transaction.Generation, generation)
		generation = c.Transaction.Generation
		require.NoError(t, run.stop())
		require.Error(t, s.Err())
		s.Close()
	}
	cancel()
	work.Wait()
	info, _ := h.catalog.Source(cdcID)
	require.Equal(t, 300, info.Epoch)
}
