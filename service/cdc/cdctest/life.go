package cdctest

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

func testRefusals(t *testing.T, s *Subject) {
	t.Helper()
	_, err := s.Engine.Subscribe(t.Context(), s.ID, cdc.StreamOptions{})
	require.Equal(t, errs.Unavailable, errs.KindOf(err), "it does not run yet")
	require.Equal(t, cdc.StateStopped, s.info(t).State)
	defer s.Start()()
	require.Equal(t, cdc.StateRunning, s.info(t).State)
	require.NoError(t, s.Engine.Check(s.ID, cdc.StreamOptions{}))
	require.Equal(t, errs.NotFound, errs.KindOf(s.Engine.Check(registry.ID{Namespace: "no", Name: "where"}, cdc.StreamOptions{})))
	for _, opts := range []cdc.StreamOptions{
		{Buffer: -1},
		{Buffer: cdc.MaxBuffer + 1},
		{MaxBytes: -1},
		{MaxBytes: unit.GiB * 1024},
		{Tables: []string{}},
		{Ops: []cdc.Op{"merge"}},
		{Tables: []string{"nothing"}},
	} {
		require.Equal(t, errs.Invalid, errs.KindOf(s.Engine.Check(s.ID, opts)), "%+v", opts)
		_, err := s.Engine.Subscribe(t.Context(), s.ID, opts)
		require.Equal(t, errs.Invalid, errs.KindOf(err), "%+v", opts)
	}
}

func testAdmission(t *testing.T, s *Subject) {
	t.Helper()
	defer s.Start()()
	streams := make([]cdc.Stream, MaxSubscriptions)
	for i := range streams {
		streams[i] = s.subscribe(t, cdc.StreamOptions{})
	}
	_, err := s.Engine.Subscribe(t.Context(), s.ID, cdc.StreamOptions{})
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.ErrorContains(t, err, "subscriptions.max_subscriptions is 3")
	now := s.info(t).Admission
	require.Equal(t, []int64{MaxSubscriptions, 1}, []int64{int64(now.Active), now.Rejected})
	streams[0].Close()
	_, err = streams[0].Poll()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, streams[0].Err())
	s.subscribe(t, cdc.StreamOptions{})
}

func testLaggard(t *testing.T, s *Subject) {
	t.Helper()
	defer s.Start()()
	fast := s.subscribe(t, cdc.StreamOptions{})
	slow := s.subscribe(t, cdc.StreamOptions{Buffer: 1, MaxBytes: 64 * unit.KiB})
	row := fmt.Sprintf("INSERT INTO users (id, name) VALUES (1, '%s')", strings.Repeat("x", 8<<10))
	for n := 0; slow.Err() == nil; n++ {
		require.Less(t, n, 10_000, "it never ends")
		s.Transact(row)
		s.Transact("DELETE FROM users")
		take(t, fast, 2)
	}
	require.Equal(t, errs.Unavailable, errs.KindOf(slow.Err()))
	require.True(t, errs.Retryable(slow.Err()))
	require.ErrorContains(t, slow.Err(), "stream fell behind: ")
	s.Transact("INSERT INTO orders (id, name) VALUES (1, 'a')")
	require.Equal(t, []string{"insert orders 1 !"}, brief(take(t, fast, 1)), "others notice nothing")
}

func testRestart(t *testing.T, s *Subject) {
	t.Helper()
	stop := s.Start()
	stream := s.subscribe(t, cdc.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a')")
	take(t, stream, 1)
	epoch := s.info(t).Epoch
	stop()
	_, err := stream.Next(t.Context())
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.ErrorContains(t, err, "was stopped")
	require.Equal(t, cdc.StateStopped, s.info(t).State)
	defer s.Start()()
	require.Equal(t, epoch+1, s.info(t).Epoch)
	stream = s.subscribe(t, cdc.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (2, 'b')")
	require.Equal(t, []string{"insert users 2 !"}, brief(take(t, stream, 1)), "nothing comes again")
}

func testSnapshot(t *testing.T, s *Subject) {
	t.Helper()
	if !s.info(t).Capabilities.Snapshot {
		t.Skip("it has none")
	}
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a'), (2, 'b')", "INSERT INTO orders (id, name) VALUES (1, 'c')")
	defer s.Start()()
	stream := s.subscribe(t, cdc.StreamOptions{Snapshot: cdc.SnapshotAlways, Tables: []string{"users"}, Ops: []cdc.Op{cdc.OpDelete}})
	s.Transact("INSERT INTO users (id, name) VALUES (3, 'd')", "DELETE FROM users WHERE id = 1")
	require.Equal(t, []string{"snapshot users 1", "snapshot users 2 !", "delete users 1 !"}, brief(take(t, stream, 3)))
}
