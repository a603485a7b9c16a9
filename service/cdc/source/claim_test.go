package source_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/consumer"
)

// A standby that tries again and again takes over when the reader before it knows that its stream has ended, not before.
func TestAConsumerBelongsToItsReaderUntilThatKnowsTheEnd(t *testing.T) {
	t.Parallel()
	for name, knows := range map[string]func(t *testing.T, s api.Stream){
		"by Next": func(t *testing.T, s api.Stream) {
			t.Helper()
			_, err := s.Next(t.Context())
			require.Error(t, err)
		},
		"by Poll": func(t *testing.T, s api.Stream) {
			t.Helper()
			_, err := s.Poll()
			require.Error(t, err)
		},
		"by Close": func(t *testing.T, s api.Stream) { t.Helper(); s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, kept := newConsuming(t)
			h.serve()
			opts := api.StreamOptions{Consumer: "one", Reader: "the first"}
			s := h.subscribe(opts)
			h.session().commit(1)
			h.session().streams.Lose(h.session().sequence.Add(1), errFull)
			require.Error(t, s.Err())
			_, err := h.catalog.Subscribe(t.Context(), sourceID, opts)
			require.Equal(t, errs.Conflict, errs.KindOf(err), err)
			require.True(t, h.sourceInfo().Consumers[0].Connected)
			require.Equal(t, errs.Conflict, errs.KindOf(h.catalog.Reset(t.Context(), sourceID, "one", api.Live())))

			gone, cancel := context.WithCancel(t.Context())
			cancel()
			c, err := s.Next(gone)
			require.NoError(t, err)
			require.NoError(t, s.Ack(c.Position()))
			knows(t, s)
			require.False(t, h.sourceInfo().Consumers[0].Connected)
			_, err = h.catalog.Subscribe(t.Context(), sourceID, opts)
			require.NotEqual(t, errs.Conflict, errs.KindOf(err), err)
			written := func() bool { return kept.position("one") == c.Position() }
			require.Eventually(t, written, time.Minute, time.Millisecond, "what was acknowledged behind the end counts")
		})
	}
}

// That a reader stops waiting does not end its stream.
func TestAReaderThatStopsWaitingKeepsItsConsumer(t *testing.T) {
	t.Parallel()
	h, _ := newConsuming(t)
	h.serve()
	opts := api.StreamOptions{Consumer: "one"}
	s := h.subscribe(opts)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Next(gone)
	require.ErrorIs(t, err, context.Canceled)
	_, err = h.catalog.Subscribe(t.Context(), sourceID, opts)
	require.Equal(t, errs.Conflict, errs.KindOf(err), err)
}

// A gap that no reader was told of does not count as told: a stream that asks for a snapshot is told first.
func TestAGapThatNoReaderHasSeenIsNotTold(t *testing.T) {
	t.Parallel()
	for told, begunAnew := range map[bool]int{true: 1, false: 0} {
		h, _ := newConsuming(t)
		h.serve()
		s := h.subscribe(api.StreamOptions{Consumer: "one"})
		h.session().streams.Lose(h.session().sequence.Add(1), errFull)
		if told {
			_, err := s.Next(t.Context())
			require.ErrorIs(t, err, errFull)
		}
		s.Close()
		_, _ = h.catalog.Subscribe(t.Context(), sourceID, api.StreamOptions{Consumer: "one", Start: api.Snapshot()})
		require.Equal(t, begunAnew, h.said.count("begins anew with a snapshot"), told)
	}
}

// The store is that of the next run by then.
func TestConsumersOfARunThatHasEndedWriteNothing(t *testing.T) {
	t.Parallel()
	kept := &memory{states: map[string]consumer.State{"one": {Name: "one", Generation: "g", Position: api.Behind(1)}}}
	c, err := consumer.New(t.Context(), consumer.Settings{Source: sourceID, Generation: "g", Store: kept})
	require.NoError(t, err)
	claim, err := c.Claim("two", "")
	require.NoError(t, err)
	require.NoError(t, c.Close(t.Context()))
	for what, err := range map[string]error{
		"a first stream": claim.Begin(t.Context(), api.Behind(2)),
		"forget":         c.Forget(t.Context(), "one"),
		"reset":          c.Reset(t.Context(), "one", api.Behind(2)),
	} {
		require.Equal(t, errs.Unavailable, errs.KindOf(err), what)
		require.ErrorContains(t, err, "was stopped or replaced", what)
	}
	require.Empty(t, kept.written())
	require.Equal(t, api.Behind(1), kept.position("one"))
}

// What has no position yet is no consumer yet.
func TestAConsumerThatBeginsIsNotListed(t *testing.T) {
	t.Parallel()
	kept := &memory{states: make(map[string]consumer.State)}
	c, err := consumer.New(t.Context(), consumer.Settings{Source: sourceID, Generation: "g", Store: kept})
	require.NoError(t, err)
	claim, err := c.Claim("one", "")
	require.NoError(t, err)
	lag := func(api.Position) (bytes, transactions int64) { return 0, 0 }
	require.Empty(t, c.Describe(lag))
	require.NoError(t, claim.Begin(t.Context(), api.Behind(2)))
	all := c.Describe(lag)
	require.Len(t, all, 1)
	require.Equal(t, api.Behind(2).Cursor("g"), all[0].Cursor)
	require.False(t, all[0].AckedAt.IsZero())
}
