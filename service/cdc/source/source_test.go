package source_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/source"
)

const stopped = `cdc: source "app:cdc" was stopped or replaced; resubscribe once it runs`

// ending reads what is left until the stream ends, and returns how many changes that were and why it ended.
func ending(t *testing.T, s api.Stream) (changes int, err error) {
	t.Helper()
	for {
		if _, err := s.Next(t.Context()); err != nil {
			return changes, err
		}
		changes++
	}
}

func TestASourceIsStopped(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.info.DBResource = registry.ID{Namespace: "app", Name: "db"}
	require.Equal(t, "db.cdc.sqlite app:cdc", h.source.String())
	run := h.serve()
	session := h.session()
	s := h.subscribe(api.StreamOptions{})
	require.NoError(t, run.stop())
	_, err := ending(t, s)
	require.EqualError(t, err, stopped)
	require.Equal(t, err, s.Err())
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.True(t, session.closed.Load())
	require.Equal(t, []source.Checkpoint{{}, {Stopped: true}}, session.kept())
	require.Equal(t, 1, h.said.count("capture started"))
	require.Equal(t, 1, h.said.count("capture ended"))
	require.Positive(t, h.said.count("source=app:cdc"))
	require.Zero(t, h.said.count("level=WARN"))
}

func TestASourceIsStoppedBeforeItIsReady(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]func(h *house, wait func(context.Context) error){
		"opening": func(h *house, wait func(context.Context) error) { h.opening = wait },
		"capturing": func(h *house, wait func(context.Context) error) {
			h.prepared = func(s *session) { s.capturing = wait }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			waiting := make(chan struct{})
			block(h, func(ctx context.Context) error {
				close(waiting)
				<-ctx.Done()
				return errors.New("in the middle of it")
			})
			run := h.begin()
			<-waiting
			require.NoError(t, run.stop(), "it was stopped, and has not failed")
			require.Equal(t, api.StateStopped, h.sourceInfo().State)
			require.NoError(t, h.sourceInfo().Err)
			require.Zero(t, h.said.count("capture ended"), "it has not begun")
			select {
			case <-run.ready:
				require.Fail(t, "it was ready")
			default:
			}
		})
	}
}

func TestASourceThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	cause := errs.New(errs.PermissionDenied, "disk on fire")
	h.opening = func(context.Context) error { return cause }
	err := h.fault()
	require.EqualError(t, err, `cdc: source "app:cdc": disk on fire`)
	require.Equal(t, errs.PermissionDenied, errs.KindOf(err))
	require.Equal(t, api.StateFaulted, h.sourceInfo().State)
	require.Equal(t, cause, h.sourceInfo().Err)
	h.opening = nil
	h.serve()
	require.NoError(t, h.sourceInfo().Err)
	require.Equal(t, 2, h.sourceInfo().Epoch)
}

func TestASourceFails(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	run := h.serve()
	s := h.subscribe(api.StreamOptions{})
	h.session().commit(1)
	h.session().failing <- errs.New(errs.Unavailable, "disk on fire")
	err := <-run.ended
	require.EqualError(t, err, `cdc: source "app:cdc": disk on fire`)
	changes, streamErr := ending(t, s)
	require.Equal(t, 1, changes, "what came before is delivered")
	require.Equal(t, err, streamErr)
	require.True(t, h.session().closed.Load())
	require.Equal(t, source.Checkpoint{Stopped: true}, h.session().kept()[1], "it captures nothing any more")
	require.Equal(t, api.StateFaulted, h.sourceInfo().State)
}

func TestAFaultStaysThoughTheSourceIsStoppedMeanwhile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	stop := make(chan func(), 1)
	h.prepared = func(s *session) {
		s.saving = func(_ context.Context, c source.Checkpoint) error {
			if c.Stopped {
				(<-stop)()
			}
			return nil
		}
	}
	run := h.serve()
	stop <- run.cancel
	cause := errs.New(errs.Unavailable, "disk on fire")
	h.session().failing <- cause
	require.NoError(t, <-run.ended, "the supervisor wants no more of it")
	require.Equal(t, api.StateFaulted, h.sourceInfo().State)
	require.Equal(t, cause, h.sourceInfo().Err)
}

func TestGenerationsGrowThoughTheClockStandsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		generation := ""
		for range 20 {
			require.NoError(t, h.serve().stop())
			require.Greater(t, h.sourceInfo().Generation, generation)
			generation = h.sourceInfo().Generation
		}
	})
}

// What streams have not read is delivered by the next run if it goes on from there, and by this one if not.
func TestStreamsReadOnIfTheNextRunDoesNotGoOnFromThere(t *testing.T) {
	t.Parallel()
	for _, resumes := range []bool{false, true} {
		h := newHouse(t)
		h.prepared = func(s *session) { s.resumes = resumes }
		run := h.serve()
		s := h.subscribe(api.StreamOptions{})
		h.session().commit(1, 2)
		h.session().commit(3)
		require.Equal(t, []string{"insert 1"}, take(t, s, 1))
		require.NoError(t, run.stop())
		changes, err := ending(t, s)
		require.EqualError(t, err, stopped)
		if resumes {
			require.Zero(t, changes)
		} else {
			require.Equal(t, 2, changes)
		}
	}
}

func TestACheckThatFailsEndsTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.limits.StatusInterval = time.Minute
		checks, patience := 0, time.Duration(0)
		h.prepared = func(s *session) {
			s.checking = func(ctx context.Context) error {
				if deadline, limited := ctx.Deadline(); limited {
					patience = time.Until(deadline)
				}
				if checks++; checks == 3 {
					return errs.New(errs.Unavailable, "the table is gone")
				}
				return nil
			}
		}
		began := time.Now()
		run := h.serve()
		s := h.subscribe(api.StreamOptions{})
		err := <-run.ended
		require.EqualError(t, err, `cdc: source "app:cdc": the table is gone`)
		require.Equal(t, 3*time.Minute, time.Since(began), "once each status interval")
		require.Equal(t, 10*time.Second, patience)
		require.EqualError(t, h.session().cause, "the table is gone")
		_, streamErr := ending(t, s)
		require.Equal(t, err, streamErr)
		require.Equal(t, api.StateFaulted, h.sourceInfo().State)
	})
}

func TestTheFirstStreamIsToldWhatItMisses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.serve()
	h.session().missed = []error{errs.New(errs.Unavailable, "changes were not captured")}
	h.subscribe(api.StreamOptions{Start: api.Snapshot()})
	require.Len(t, h.session().missed, 1, "a stream with a snapshot misses nothing")
	_, err := h.catalog.Subscribe(t.Context(), sourceID, api.StreamOptions{})
	require.EqualError(t, err, `cdc: source "app:cdc": changes were not captured`)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.Equal(t, 1, h.sourceInfo().Admission.Active, "the place is free again")
	s := h.subscribe(api.StreamOptions{})
	h.session().commit(1)
	require.Equal(t, []string{"insert 1 !"}, take(t, s, 1))
}

func TestASourceStartsAndStopsOftenUnderSubscribers(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.prepared = func(s *session) { s.rows = []int64{1} }
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for _, opts := range []api.StreamOptions{{}, {Start: api.Snapshot()}} {
		work.Go(func() {
			for ctx.Err() == nil {
				s, err := h.catalog.Subscribe(ctx, sourceID, opts)
				if err != nil {
					continue
				}
				_, _ = s.Next(ctx)
				s.Close()
			}
		})
	}
	work.Go(func() {
		for ctx.Err() == nil {
			h.catalog.Stats()
			h.catalog.Sources()
		}
	})
	generation := ""
	for range 60 {
		run := h.serve()
		require.Greater(t, h.session().run.Generation(), generation)
		generation = h.session().run.Generation()
		s := h.subscribe(api.StreamOptions{})
		h.session().commit(1)
		require.Equal(t, []string{"insert 1 !"}, take(t, s, 1))
		require.NoError(t, run.stop())
		require.EqualError(t, s.Err(), stopped)
	}
	cancel()
	work.Wait()
	require.Equal(t, 60, h.sourceInfo().Epoch)
	require.Zero(t, h.stats().Streams)
}
