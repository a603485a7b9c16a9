package consumer_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/consumer"
)

var errDisk = errors.New("disk on fire")

// store keeps states in memory. It is used by one goroutine at a time, as the contract says.
type store struct {
	states map[string]consumer.State
	// writes are the names that each Save had; fault is what all methods return.
	writes [][]string
	fault  error
}

func (s *store) Load(context.Context) (all []consumer.State, err error) {
	for _, state := range s.states {
		all = append(all, state)
	}
	return all, s.fault
}

func (s *store) Save(_ context.Context, changed []consumer.State) error {
	if s.fault != nil {
		return s.fault
	}
	var names []string
	for _, state := range changed {
		s.states[state.Name] = state
		names = append(names, state.Name)
	}
	slices.Sort(names)
	s.writes = append(s.writes, names)
	return nil
}

func (s *store) Delete(_ context.Context, name string) error {
	if s.fault == nil {
		delete(s.states, name)
	}
	return s.fault
}

// opened is a stream that delivers nothing and takes every position.
type opened struct {
	mu     sync.Mutex
	cause  error
	reason api.EndReason
	// acked is up to where, nil for nothing.
	acked *uint64
}

func (o *opened) Next(context.Context) (*api.Change, error) { return o.Poll() }
func (*opened) Ready() <-chan struct{}                      { return nil }
func (*opened) Ack(api.Position) error                      { return nil }
func (*opened) Start() api.Position                         { return api.Position{} }
func (*opened) EndSnapshot(error) bool                      { return false }
func (o *opened) Close()                                    { o.End(api.EndClosed, io.EOF) }

func (o *opened) Acked() uint64 {
	if o.acked == nil {
		return 0
	}
	return *o.acked
}

func (o *opened) Poll() (*api.Change, error) { return nil, o.Err() }

func (o *opened) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.cause
}

func (o *opened) End(reason api.EndReason, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cause == nil {
		o.cause, o.reason = err, reason
	}
}

// set is the consumers of a source with their store.
type set struct {
	*consumer.Consumers
	t     *testing.T
	store *store
	// acked is what each stream has acknowledged.
	acked uint64
}

func newSet(t *testing.T, states ...consumer.State) *set {
	t.Helper()
	s := &set{t: t, store: &store{states: make(map[string]consumer.State)}}
	for _, state := range states {
		s.store.states[state.Name] = state
	}
	s.load()
	return s
}

// load begins another run.
func (s *set) load() {
	s.t.Helper()
	consumers, err := consumer.New(s.t.Context(), consumer.Settings{
		Source: registry.ID{Namespace: "app", Name: "cdc"}, Generation: "g", Store: s.store,
	})
	require.NoError(s.t, err)
	s.Consumers = consumers
}

// begin opens the first stream of a consumer.
func (s *set) begin(name string, at uint64) (api.Stream, *opened) {
	s.t.Helper()
	claim, err := s.Claim(name, "reader of "+name)
	require.NoError(s.t, err)
	_, known := claim.Position()
	require.False(s.t, known)
	require.NoError(s.t, claim.Begin(s.t.Context(), api.Behind(at)))
	inner := &opened{acked: &s.acked}
	return claim.Connect(inner), inner
}

func (s *set) save() {
	s.t.Helper()
	require.NoError(s.t, s.Save(s.t.Context()))
}

// A claim is for one reader at a time, and ends with the stream, or when the stream could not be opened.
func TestClaims(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	claim, err := s.Claim("one", "process 7")
	require.NoError(t, err)
	_, err = s.Claim("one", "process 8")
	require.Equal(t, errs.Conflict, errs.KindOf(err), "it is being opened")
	require.True(t, errs.Retryable(err))
	require.ErrorContains(t, err, "process 7")
	claim.Release()
	require.False(t, s.Any(), "it has never begun")

	first, inner := s.begin("one", 5)
	_, err = s.Claim("one", "process 8")
	require.ErrorContains(t, err, "reader of one")
	inner.End(api.EndLag, errDisk)
	_, err = s.Claim("one", "process 8")
	require.ErrorContains(t, err, "reader of one", "its reader does not know yet that it has ended")
	_, err = first.Poll()
	require.ErrorIs(t, err, errDisk)
	claim, err = s.Claim("one", "process 8")
	require.NoError(t, err)
	p, known := claim.Position()
	require.True(t, known)
	require.Equal(t, api.Behind(5), p)
	require.Equal(t, errs.Unavailable, errs.KindOf(first.Ack(api.Behind(6))), "another one has its place")
	first.Close()
	_, err = s.Claim("one", "process 9")
	require.ErrorContains(t, err, "process 8", "the old stream ends no claim but its own")
	claim.Release()
	require.True(t, s.Any(), "it has begun before")
}

// A claim that is held lasts until its stream is closed, also when the reader knows of the end, and the consumer is neither
// reset nor forgotten meanwhile.
func TestAConsumerThatIsHeld(t *testing.T) {
	t.Parallel()
	s := newSet(t, consumer.State{Name: "one", Generation: "g", Position: api.Behind(3)})
	claim, err := s.Claim("one", "sink app:hook")
	require.NoError(t, err)
	claim.Hold()
	refused := func() {
		t.Helper()
		_, claimed := s.Claim("one", "another")
		for _, err := range []error{s.Forget(t.Context(), "one"), s.Reset(t.Context(), "one", api.Behind(9)), claimed} {
			require.Equal(t, errs.Conflict, errs.KindOf(err), "%v", err)
			require.ErrorContains(t, err, "sink app:hook")
		}
		require.ErrorContains(t, s.Forget(t.Context(), "one"), "delete its entry")
	}
	refused()
	inner := new(opened)
	stream := claim.Connect(inner)
	refused()
	inner.End(api.EndLag, errDisk)
	_, err = stream.Poll()
	require.ErrorIs(t, err, errDisk)
	refused()
	require.True(t, s.Describe(func(api.Position) (int64, int64) { return 0, 0 })[0].Connected)
	require.NoError(t, stream.Ack(api.Behind(4)), "what lies before the end is still its own")
	stream.Close()
	require.NoError(t, s.Reset(t.Context(), "one", api.Behind(9)))
	claim, err = s.Claim("one", "a script")
	require.NoError(t, err)
	claim.Connect(new(opened))
	require.NoError(t, s.Forget(t.Context(), "one"), "the next stream holds nothing")
	claim, err = s.Claim("one", "sink app:hook")
	require.NoError(t, err)
	claim.Hold()
	claim.Release()
	claim, err = s.Claim("one", "a script")
	require.NoError(t, err, "it could not be opened")
	require.NoError(t, claim.Begin(t.Context(), api.Behind(1)))
	require.NoError(t, s.Forget(t.Context(), "one"))
}

// What several consumers have acknowledged is written at once, and only if it has changed.
func TestAcknowledgementsAreWrittenTogether(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	one, _ := s.begin("one", 1)
	two, _ := s.begin("two", 1)
	s.begin("idle", 1)
	s.store.writes = nil
	for n := range uint64(100) {
		require.NoError(t, one.Ack(api.Position{Sequence: n + 2}))
		require.NoError(t, two.Ack(api.Position{Sequence: 50}))
	}
	sequence, name, _ := s.Slowest()
	require.Equal(t, uint64(1), sequence, "what is written counts")
	require.Equal(t, "idle", name)
	s.save()
	require.Equal(t, [][]string{{"one", "two"}}, s.store.writes)
	require.Equal(t, api.Position{Sequence: 101}, s.store.states["one"].Position)
	require.NoError(t, one.Ack(api.Position{Sequence: 3}), "an earlier one takes nothing back")
	s.save()
	require.Len(t, s.store.writes, 1)
	s.acked = 200 // there was nothing for anyone in between
	s.save()
	require.Equal(t, []string{"idle", "one", "two"}, s.store.writes[1])
	sequence, _, _ = s.Slowest()
	require.Equal(t, uint64(200), sequence)
}

// A consumer without a stream, or with one that has ended, is not moved on with the log.
func TestConsumersThatAreAwayStay(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	closed, _ := s.begin("closed", 1)
	closed.Close()
	_, inner := s.begin("ended", 2)
	inner.End(api.EndLag, errDisk)
	s.acked = 100
	s.save()
	require.Equal(t, api.Behind(1), s.store.states["closed"].Position)
	require.Equal(t, api.Behind(2), s.store.states["ended"].Position)
}

// Nothing is lost by a store that fails for a while, and what needs it says so.
func TestAStoreThatFails(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	one, inner := s.begin("one", 1)
	s.store.fault = errDisk
	_, err := consumer.New(t.Context(), consumer.Settings{Store: s.store})
	require.ErrorIs(t, err, errDisk)
	require.NoError(t, one.Ack(api.Behind(7)))
	require.ErrorIs(t, s.Save(t.Context()), errDisk)
	sequence, _, _ := s.Slowest()
	require.Equal(t, uint64(1), sequence, "after a crash it comes again from there")

	claim, err := s.Claim("two", "")
	require.NoError(t, err)
	err = claim.Begin(t.Context(), api.Behind(3))
	require.ErrorIs(t, err, errDisk)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.ErrorContains(t, err, `cdc: source "app:cdc": consumer "two"`)
	claim.Release()
	require.Len(t, s.Describe(func(api.Position) (int64, int64) { return 0, 0 }), 1, "it has not begun")

	inner.End(api.EndLag, errDisk)
	_, err = one.Poll()
	require.ErrorIs(t, err, errDisk)
	for _, f := range []func() error{
		func() error { return s.Forget(t.Context(), "one") },
		func() error { return s.Reset(t.Context(), "one", api.Behind(99)) },
	} {
		err := f()
		require.ErrorIs(t, err, errDisk)
		require.ErrorContains(t, err, `consumer "one"`)
	}
	s.store.fault = nil
	claim, err = s.Claim("one", "")
	require.NoError(t, err, "neither has kept the claim")
	p, _ := claim.Position()
	require.Equal(t, api.Behind(7), p)
	claim.Release()
	s.save()
	require.Equal(t, api.Behind(7), s.store.states["one"].Position)
}

// Close writes for the last time, and what comes later is refused: it could not be kept.
func TestWhatComesAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	one, _ := s.begin("one", 1)
	require.NoError(t, one.Ack(api.Behind(4)))
	require.NoError(t, s.Close(t.Context()))
	require.Equal(t, api.Behind(4), s.store.states["one"].Position)
	require.Equal(t, errs.Unavailable, errs.KindOf(one.Ack(api.Behind(5))))
	_, err := s.Claim("two", "")
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	s.load()
	claim, err := s.Claim("one", "")
	require.NoError(t, err)
	p, known := claim.Position()
	require.True(t, known)
	require.Equal(t, api.Behind(4), p)
}

// A consumer that is forgotten while its stream is being opened has none.
func TestAConsumerThatIsForgottenMeanwhile(t *testing.T) {
	t.Parallel()
	s := newSet(t, consumer.State{Name: "one", Generation: "g", Position: api.Behind(3)})
	claim, err := s.Claim("one", "")
	require.NoError(t, err)
	require.NoError(t, s.Forget(t.Context(), "one"))
	require.Equal(t, errs.NotFound, errs.KindOf(claim.Begin(t.Context(), api.Behind(5))))
	require.Empty(t, s.store.states, "it does not come back")
	inner := new(opened)
	stream := claim.Connect(inner)
	require.Equal(t, errs.NotFound, errs.KindOf(stream.Err()))
	require.Equal(t, api.EndSource, inner.reason)
	require.False(t, s.Any())
}

// A position of another generation is a gap, holds nothing back, and its lag is not known.
func TestAPositionOfAnotherGeneration(t *testing.T) {
	t.Parallel()
	s := newSet(t, consumer.State{Name: "old", Generation: "f", Position: api.Behind(3)})
	_, _, needed := s.Slowest()
	require.False(t, needed)
	info := s.Describe(func(api.Position) (int64, int64) { return 1, 1 })[0]
	require.Equal(t, []int64{-1, -1}, []int64{info.LagBytes, info.LagTransactions})
	claim, err := s.Claim("old", "")
	require.NoError(t, err)
	gap, isGap := errors.AsType[*api.GapError](claim.Gap(api.Behind(9)))
	require.True(t, isGap)
	require.Equal(t, []api.Position{api.Behind(3), api.Behind(9)}, []api.Position{gap.After, gap.Before})
	require.False(t, claim.Told())
	claim.Tell(gap)
	claim.Release()
	claim, err = s.Claim("old", "")
	require.NoError(t, err)
	require.True(t, claim.Told(), "a snapshot may begin anew now")
	require.NoError(t, claim.Begin(t.Context(), api.SnapshotOf(9)))
	require.False(t, claim.Told())
	require.NoError(t, claim.Gap(api.Behind(9)))
}

// A snapshot that is not acknowledged needs nothing of the log: it begins anew.
func TestASnapshotHoldsNothing(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	claim, err := s.Claim("one", "")
	require.NoError(t, err)
	require.NoError(t, claim.Begin(t.Context(), api.SnapshotOf(5)))
	stream := claim.Connect(new(opened))
	s.acked = 50
	s.save()
	_, _, needed := s.Slowest()
	require.False(t, needed)
	require.True(t, s.store.states["one"].Position.InSnapshot(), "the log does not move it on")
	require.NoError(t, stream.Ack(api.Behind(5)))
	sequence, _, needed := s.Slowest()
	require.True(t, needed, "what is not written yet counts as well")
	require.Equal(t, uint64(5), sequence)
}
