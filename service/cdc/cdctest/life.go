package cdctest

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// maxSubscriptions is the limit of the source of testAdmission.
const maxSubscriptions = 3

func testRefusals(t *testing.T, s *Subject) {
	t.Helper()
	_, err := s.Engine.Subscribe(t.Context(), s.ID, api.StreamOptions{})
	require.Equal(t, errs.Unavailable, errs.KindOf(err), "it does not run yet")
	require.Equal(t, api.StateStopped, s.info(t).State)
	defer s.Start()()
	require.Equal(t, api.StateRunning, s.info(t).State)
	require.NoError(t, s.Engine.Check(s.ID, api.StreamOptions{}))
	require.Equal(t, errs.NotFound, errs.KindOf(s.Engine.Check(registry.ID{Namespace: "no", Name: "where"}, api.StreamOptions{})))
	for _, opts := range []api.StreamOptions{
		{Buffer: -1},
		{Buffer: api.MaxBuffer + 1},
		{MaxBytes: -1},
		{MaxBytes: unit.GiB * 1024},
		{Tables: []string{}},
		{Ops: []api.Op{"merge"}},
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
	streams := make([]api.Stream, maxSubscriptions)
	for i := range streams {
		streams[i] = s.subscribe(t, api.StreamOptions{})
	}
	_, err := s.Engine.Subscribe(t.Context(), s.ID, api.StreamOptions{})
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.ErrorContains(t, err, "subscriptions.max_subscriptions is 3")
	now := s.info(t).Admission
	require.Equal(t, []int64{maxSubscriptions, 1}, []int64{int64(now.Active), now.Rejected})
	streams[0].Close()
	_, err = streams[0].Poll()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, streams[0].Err())
	s.subscribe(t, api.StreamOptions{})
}

func testRestart(t *testing.T, s *Subject) {
	t.Helper()
	resumes := s.info(t).Capabilities.CaptureResume
	stop := s.Start()
	stream, late := s.subscribe(t, api.StreamOptions{}), s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a')")
	take(t, stream, 1)
	take(t, late, 1)
	s.Transact("INSERT INTO users (id, name) VALUES (2, 'b')")
	take(t, stream, 1)
	epoch := s.info(t).Epoch
	stop()
	end := s.ended(t, stream)
	require.ErrorContains(t, end, "was stopped")
	require.Equal(t, api.StateStopped, s.info(t).State)
	if !resumes {
		require.Equal(t, []string{"insert users 2 !"}, brief(take(t, late, 1)), "this comes now or never")
	}
	require.Equal(t, end, s.ended(t, late))

	defer s.Start()()
	require.Equal(t, epoch+1, s.info(t).Epoch)
	stream = s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (3, 'c')")
	if resumes {
		require.Equal(t, []string{"insert users 2 !"}, brief(take(t, stream, 1)), "a stream has not read it")
	}
	require.Equal(t, []string{"insert users 3 !"}, brief(take(t, stream, 1)), "nothing else comes again")
}

func testOutage(t *testing.T, s *Subject) {
	t.Helper()
	s.Start()
	stream, other := s.subscribe(t, api.StreamOptions{}), s.subscribe(t, api.StreamOptions{Tables: []string{"orders"}})
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a')")
	seen := take(t, stream, 1)[0]
	before := s.info(t)
	killed := s.Kill()
	end := s.ended(t, stream)
	require.ErrorContains(t, end, `cdc: source "`+s.ID.String()+`": `)
	require.NotContains(t, end.Error(), "was stopped", "it says what has happened")
	require.Equal(t, end, s.ended(t, other), "also one that has nothing to read")
	faulted := s.info(t)
	require.Equal(t, api.StateFaulted, faulted.State)
	require.ErrorContains(t, end, faulted.Err.Error())
	_, err := s.Engine.Subscribe(t.Context(), s.ID, api.StreamOptions{})
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.ErrorContains(t, err, "is not running (faulted): "+faulted.Err.Error())
	require.Equal(t, end, killed, "the supervisor hears the same")

	s.Mend()
	defer s.Start()()
	now := s.info(t)
	require.Equal(t, before.Epoch+1, now.Epoch)
	require.NoError(t, now.Err)
	stream = s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (2, 'b')")
	c := take(t, stream, 1)[0]
	for c.Cursor() == seen.Cursor() { // it was not confirmed
		c = take(t, stream, 1)[0]
	}
	require.Equal(t, []string{"insert users 2 !"}, brief([]*api.Change{c}))
	require.Less(t, seen.Cursor(), c.Cursor())
	require.Equal(t, now.Generation, c.Transaction.Generation)
}
