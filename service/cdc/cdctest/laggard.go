package cdctest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// outrun writes until a stream that does not read has ended because of that, while another reads.
func (s *Subject) outrun(t *testing.T, slow, fast api.Stream) {
	t.Helper()
	row := fmt.Sprintf("INSERT INTO users (id, name) VALUES (-1, '%s')", strings.Repeat("x", 8<<10))
	for n := 0; slow.Err() == nil; n++ {
		require.Less(t, n, 10_000, "it never ends")
		s.Transact(row)
		s.Transact("DELETE FROM users WHERE id = -1")
		take(t, fast, 2)
	}
	require.Equal(t, errs.Unavailable, errs.KindOf(slow.Err()))
	require.True(t, errs.Retryable(slow.Err()))
	require.ErrorContains(t, slow.Err(), "stream fell behind: ")
	for {
		c, err := slow.Next(t.Context())
		if err != nil {
			require.Equal(t, slow.Err(), err)
			return
		}
		require.Equal(t, api.OpSnapshot, c.Op, "what it has missed is a gap; rows of a snapshot that were read may still come")
	}
}

func testLaggard(t *testing.T, s *Subject) {
	t.Helper()
	defer s.Start()()
	fast := s.subscribe(t, api.StreamOptions{})
	slow := s.subscribe(t, api.StreamOptions{Buffer: 1, MaxBytes: 64 * unit.KiB})
	s.outrun(t, slow, fast)
	s.Transact("INSERT INTO orders (id, name) VALUES (1, 'a')")
	require.Equal(t, []string{"insert orders 1 !"}, brief(take(t, fast, 1)), "others notice nothing")
	eventually(t, func() bool { return s.stats(t).Ended[api.EndLag] == 1 }, "it is counted")
	require.Equal(t, 1, s.info(t).Admission.Active)
}

// A change that cannot be captured ends the streams in its place, and those that are opened later hear nothing of it.
func testGap(t *testing.T, s *Subject) {
	t.Helper()
	defer s.Start()()
	streams := []api.Stream{s.subscribe(t, api.StreamOptions{}), s.subscribe(t, api.StreamOptions{Tables: []string{"orders"}})}
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a')", "INSERT INTO orders (id, name) VALUES (1, 'a')")
	s.Transact("INSERT INTO users (id, name) VALUES (2, '" + strings.Repeat("x", int(MaxTransaction)) + "'), (22, 'too much')")
	require.Equal(t, []string{"insert users 1", "insert orders 1 !"}, brief(take(t, streams[0], 2)))
	require.Equal(t, []string{"insert orders 1 !"}, brief(take(t, streams[1], 1)))
	end := s.ended(t, streams[0])
	require.ErrorContains(t, end, `cdc: source "`+s.ID.String()+`": changes were lost: `)
	require.ErrorContains(t, end, "resubscribe")
	require.Equal(t, end, s.ended(t, streams[1]), "the summary of what is lost is lost as well")
	eventually(t, func() bool { return s.stats(t).Ended[api.EndLost] == 2 }, "both are counted")
	require.Equal(t, api.StateRunning, s.info(t).State)

	stream := s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (3, 'c')")
	require.Equal(t, []string{"insert users 3 !"}, brief(take(t, stream, 1)))
	require.Equal(t, uint64(2), s.stats(t).Ended[api.EndLost])
}

// testGapIsToldOnce: who was told of a gap is not told again after a restart, though something has committed behind the gap before it
// was told.
func testGapIsToldOnce(t *testing.T, s *Subject) {
	t.Helper()
	resumes := s.info(t).Capabilities.CaptureResume
	stop := s.Start()
	stream := s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a')")
	s.Transact("INSERT INTO users (id, name) VALUES (2, '" + strings.Repeat("x", int(MaxTransaction)) + "'), (22, 'too much')")
	take(t, stream, 1)
	for stream.Err() == nil {
		select {
		case <-stream.Ready():
		case <-t.Context().Done():
			t.Fatal("there is no gap")
		}
	}
	behind := s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (3, 'c')")
	require.Equal(t, []string{"insert users 3 !"}, brief(take(t, behind, 1)))
	behind.Close()
	_, isGap := errors.AsType[*api.GapError](s.ended(t, stream))
	require.True(t, isGap)
	stop()
	defer s.Start()()
	stream = s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (4, 'd')")
	if resumes {
		require.Equal(t, []string{"insert users 3 !"}, brief(take(t, stream, 1)), "the stream that was told has not got it")
	}
	require.Equal(t, []string{"insert users 4 !"}, brief(take(t, stream, 1)))
}
