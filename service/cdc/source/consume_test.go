package source_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/consumer"
	"github.com/wippy-cdc/runtime/service/cdc/source"
)

// memory keeps consumers over the runs of a test.
type memory struct {
	mu     sync.Mutex
	states map[string]consumer.State
	writes [][]string
	fault  error
}

func (m *memory) Load(context.Context) ([]consumer.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.states)), m.fault
}

func (m *memory) Save(_ context.Context, changed []consumer.State) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		return m.fault
	}
	var names []string
	for _, s := range changed {
		m.states[s.Name] = s
		names = append(names, s.Name)
	}
	slices.Sort(names)
	m.writes = append(m.writes, names)
	return nil
}

func (m *memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.states, name)
	return m.fault
}

func (m *memory) written() [][]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.writes)
}

func (m *memory) position(name string) api.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.states[name].Position
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = err
}

// newConsuming declares a source whose store keeps consumers over its runs, and which goes on with what streams had.
func newConsuming(t *testing.T) (*house, *memory) {
	t.Helper()
	h, kept := newHouse(t), &memory{states: make(map[string]consumer.State)}
	h.info.Capabilities.Replayable = true
	h.catalog.Declare(h.engine)
	h.prepared = func(s *session) { s.store, s.resumes = kept, true }
	return h, kept
}

func TestAcknowledgementsAreWrittenEachInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, kept := newConsuming(t)
		h.limits.AckInterval = time.Minute
		run := h.serve()
		one, two := h.subscribe(api.StreamOptions{Consumer: "one"}), h.subscribe(api.StreamOptions{Consumer: "two"})
		require.Equal(t, [][]string{{"one"}, {"two"}}, kept.written(), "where they begin is written at once")
		for n := range int64(5) {
			h.session().commit(n, n)
		}
		for _, s := range []api.Stream{one, two} {
			for range 9 {
				c, err := s.Next(t.Context())
				require.NoError(t, err)
				require.NoError(t, s.Ack(c.Position()))
			}
		}
		pass(30 * time.Second)
		require.Len(t, kept.written(), 2)
		pass(31 * time.Second)
		require.Equal(t, []string{"one", "two"}, kept.written()[2], "both at once")
		require.Equal(t, api.Position{Sequence: 5}, kept.position("one"))
		pass(10 * time.Minute)
		require.Len(t, kept.written(), 3, "nothing has changed")
		c, err := one.Next(t.Context())
		require.NoError(t, err)
		require.NoError(t, one.Ack(c.Position()))
		require.NoError(t, run.stop())
		require.Equal(t, []string{"one"}, kept.written()[3], "what is left is written when the source stops")
		require.Equal(t, errs.Unavailable, errs.KindOf(one.Ack(c.Position())))
	})
}

func TestAConsumerWhoseChangesAreSelectedMovesOnWithTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, kept := newConsuming(t)
		h.serve()
		s := h.subscribe(api.StreamOptions{Consumer: "one", Ops: []api.Op{api.OpDelete}})
		h.session().commit(1)
		h.session().commit(2)
		c, err := s.Poll()
		require.Nil(t, c)
		require.NoError(t, err)
		pass(time.Second)
		require.Equal(t, api.Behind(2), kept.position("one"))
		s.Close()
		h.subscribe(api.StreamOptions{})
		h.session().commit(3)
		pass(time.Second)
		require.Equal(t, api.Behind(2), kept.position("one"), "it has no stream any more")
	})
}

func TestAStoreThatFailsIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, kept := newConsuming(t)
		h.serve()
		s := h.subscribe(api.StreamOptions{Consumer: "one"})
		h.session().commit(1)
		c, err := s.Next(t.Context())
		require.NoError(t, err)
		kept.fail(errFull)
		require.NoError(t, s.Ack(c.Position()))
		pass(3500 * time.Millisecond)
		require.ErrorIs(t, h.sourceInfo().CheckpointErr, errFull)
		require.Equal(t, uint64(3), h.stats().CheckpointFailures)
		require.Equal(t, 1, h.said.count("what consumers acknowledge cannot be kept"), "once")
		_, err = h.catalog.Subscribe(t.Context(), sourceID, api.StreamOptions{Consumer: "two"})
		require.ErrorContains(t, err, `consumer "two": write where it begins: disk is full`)
		require.ErrorIs(t, h.catalog.Forget(t.Context(), sourceID, "one"), errFull)
		require.Len(t, h.sourceInfo().Consumers, 1, "one is not forgotten, and two has not begun")
		kept.fail(nil)
		pass(time.Second)
		require.NoError(t, h.sourceInfo().CheckpointErr)
		require.Equal(t, 1, h.said.count("is written again"))
		require.Equal(t, c.Position().Sequence, kept.position("one").Sequence)
	})
}

func TestConsumersThatCannotBeLoadedEndTheRun(t *testing.T) {
	t.Parallel()
	h, kept := newConsuming(t)
	kept.fail(errFull)
	require.ErrorIs(t, h.fault(), errFull)
	require.Equal(t, api.StateFaulted, h.sourceInfo().State)
}

func TestAPositionOfAnotherGenerationIsAGap(t *testing.T) {
	t.Parallel()
	h, kept := newConsuming(t)
	kept.states["one"] = consumer.State{Name: "one", Generation: "other", Position: api.Behind(7)}
	h.serve()
	_, err := h.catalog.Subscribe(t.Context(), sourceID, api.StreamOptions{Consumer: "one", Start: api.Snapshot()})
	gap, isGap := errors.AsType[*api.GapError](err)
	require.True(t, isGap, err)
	require.Equal(t, api.GapRestored, gap.Cause)
	s := h.subscribe(api.StreamOptions{Consumer: "one", Start: api.Snapshot()})
	require.Equal(t, 1, h.said.count("begins anew with a snapshot"))
	h.session().commit(1)
	c, err := s.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, api.OpInsert, c.Op)
}

// rewindable is a session that can append again what has left the log.
type rewindable struct {
	*session
	asked atomic.Int32
}

// Rewind implements source.Rewinder.
func (r *rewindable) Rewind(context.Context, api.Position, func() error) error {
	r.asked.Add(1)
	return errs.New(errs.Unavailable, "it was asked to rewind")
}

// MissedBehind implements source.Rewinder.
func (r *rewindable) MissedBehind(api.Position) error { return nil }

// A consumer that is refused for want of room tries again and again: what has left the log is read anew for one that is in.
func TestARefusedConsumerRewindsNothing(t *testing.T) {
	t.Parallel()
	h, _ := newConsuming(t)
	again := new(rewindable)
	h.wrapped = func(s *session) source.Session {
		again.session = s
		return again
	}
	h.limits.Subscriptions.MaxSubscriptions = 1
	h.serve()
	h.subscribe(api.StreamOptions{Consumer: "one"}).Close()
	for n := range int64(2) { // without a reader nothing is kept
		h.session().commit(n)
	}
	_, err := h.catalog.Subscribe(t.Context(), sourceID, api.StreamOptions{Consumer: "one"})
	require.ErrorContains(t, err, "it was asked to rewind")
	h.subscribe(api.StreamOptions{})
	_, err = h.catalog.Subscribe(t.Context(), sourceID, api.StreamOptions{Consumer: "one"})
	require.ErrorContains(t, err, "max_subscriptions")
	require.Equal(t, int32(1), again.asked.Load())
}
