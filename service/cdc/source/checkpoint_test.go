package source_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/source"
)

var (
	errFull      = errors.New("disk is full")
	bootstrapped = source.Checkpoint{Bootstrapped: true}
)

// pass lets time pass, of which there is no more than is needed in a bubble, and waits for what happens then.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestTheCheckpointIsWrittenEachStatusInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.limits.StatusInterval = time.Minute
		run := h.serve()
		pass(150 * time.Second)
		require.Len(t, h.session().kept(), 3, "at the beginning, and twice since")
		require.NoError(t, run.stop())
		require.Equal(t, []source.Checkpoint{{}, {}, {}, {Stopped: true}}, h.session().kept())
	})
}

func TestACheckpointThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		var full atomic.Bool
		full.Store(true)
		h.prepared = func(s *session) {
			s.saving = func(context.Context, source.Checkpoint) error {
				if full.Load() {
					return errFull
				}
				return nil
			}
		}
		run := h.serve()
		require.ErrorIs(t, h.sourceInfo().CheckpointErr, errFull)
		require.Equal(t, api.StateRunning, h.sourceInfo().State, "the source goes on without")
		require.NoError(t, h.sourceInfo().Err)
		pass(3500 * time.Millisecond)
		require.Equal(t, uint64(4), h.stats().CheckpointFailures, "once a second")
		require.Equal(t, 1, h.said.count("checkpoint cannot be kept, the source goes on without"), "but it is said once")
		require.Equal(t, 1, h.said.count("disk is full"))

		full.Store(false)
		pass(time.Second)
		require.NoError(t, h.sourceInfo().CheckpointErr)
		require.Equal(t, 1, h.said.count("checkpoint is written again"))
		require.Len(t, h.session().kept(), 1)
		pass(time.Minute)
		require.Len(t, h.session().kept(), 1, "there is nothing to write until the next status interval")

		full.Store(true)
		require.NoError(t, run.stop(), "nor does it keep the source from stopping")
		require.Equal(t, uint64(5), h.stats().CheckpointFailures)
		require.Equal(t, 2, h.said.count("checkpoint cannot be kept, the source goes on without"))
	})
}

func TestACheckpointThatIsNotKnownIsWrittenAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.info.Snapshot = true
		h.prepared = func(s *session) { s.rows, s.unloaded = []int64{1}, errors.New("the table is odd") }
		h.serve()
		require.EqualError(t, h.sourceInfo().CheckpointErr, "the table is odd")
		require.Equal(t, uint64(1), h.stats().CheckpointFailures)
		require.Empty(t, h.session().kept(), "it is not overwritten at once")
		require.Equal(t, []string{"snapshot 1 !"}, take(t, h.subscribe(api.StreamOptions{}), 1), "the source begins anew")
		pass(time.Second)
		require.Len(t, h.session().kept(), 1)
		require.NoError(t, h.sourceInfo().CheckpointErr)
	})
}

// A database that does not answer does not hold up a source for long.
func TestACheckpointDoesNotWaitForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.prepared = func(s *session) {
			s.saving = func(ctx context.Context, _ source.Checkpoint) error {
				<-ctx.Done()
				return ctx.Err()
			}
		}
		began := time.Now()
		run := h.serve()
		require.Equal(t, 250*time.Millisecond, time.Since(began))
		require.ErrorIs(t, h.sourceInfo().CheckpointErr, context.DeadlineExceeded)
		began = time.Now()
		require.NoError(t, run.stop())
		require.Equal(t, time.Second, time.Since(began), "the last one waits longer")
	})
}

func TestACheckpointThatIsInterruptedByTheStopHasNotFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.limits.StatusInterval = time.Minute
		saving := make(chan struct{})
		attempts := 0
		h.prepared = func(s *session) {
			s.saving = func(ctx context.Context, _ source.Checkpoint) error {
				if attempts++; attempts != 2 {
					return nil
				}
				close(saving)
				<-ctx.Done()
				return ctx.Err()
			}
		}
		run := h.serve()
		<-saving
		require.NoError(t, run.stop())
		require.Zero(t, h.stats().CheckpointFailures)
		require.Zero(t, h.said.count("level=WARN"))
		require.Equal(t, []source.Checkpoint{{}, {Stopped: true}}, h.session().kept())
	})
}

// bootstrap declares a source whose streams begin with a snapshot of two rows by default.
func (h *house) bootstrap(saved source.Checkpoint) {
	h.info.Snapshot = true
	h.catalog.Declare(h.engine)
	h.prepared = func(s *session) { s.rows, s.saved = []int64{1, 2}, saved }
}

// opensWith returns how a stream begins: it takes n changes, of which the last is inserted.
func (h *house) opensWith(opts api.StreamOptions, n int) []string {
	h.t.Helper()
	s := h.subscribe(opts)
	defer s.Close()
	h.session().commit(3)
	return take(h.t, s, n)
}

func TestABootstrapIsNotedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.bootstrap(source.Checkpoint{})
		run := h.serve()
		require.True(t, h.sourceInfo().Snapshot)
		require.Equal(t, []string{"snapshot 1"}, h.opensWith(api.StreamOptions{}, 1), "but it was not read to its end")
		require.Equal(t, []string{"insert 3 !"}, h.opensWith(api.StreamOptions{Start: api.Live()}, 1))
		s := h.subscribe(api.StreamOptions{Start: api.After(api.Position{Sequence: h.session().sequence.Load()})})
		h.session().commit(3)
		require.Equal(t, []string{"insert 3 !"}, take(t, s, 1), "a stream behind a position needs none")
		whole := []string{"snapshot 1", "snapshot 2 !", "insert 3 !"}
		require.Equal(t, whole, h.opensWith(api.StreamOptions{Start: api.Snapshot()}, 3), "it was not the one that the entry asks for")
		synctest.Wait()
		require.Equal(t, []source.Checkpoint{{}}, h.session().kept())

		require.Equal(t, whole, h.opensWith(api.StreamOptions{}, 3))
		synctest.Wait()
		require.Equal(t, []source.Checkpoint{{}, bootstrapped}, h.session().kept(), "at once, without waiting for the status interval")
		require.Equal(t, []string{"insert 3 !"}, h.opensWith(api.StreamOptions{}, 1))
		require.Equal(t, whole, h.opensWith(api.StreamOptions{Start: api.Snapshot()}, 3))
		pass(time.Minute)
		require.Len(t, h.session().kept(), 2)
		require.NoError(t, run.stop())
		last := source.Checkpoint{Bootstrapped: true, Stopped: true}
		require.Equal(t, []source.Checkpoint{{}, bootstrapped, last}, h.session().kept())

		h.bootstrap(last)
		h.serve()
		require.Equal(t, bootstrapped, h.session().kept()[0], "it was stopped before, and runs now")
		require.Equal(t, []string{"insert 3 !"}, h.opensWith(api.StreamOptions{}, 1), "an earlier run has delivered it")
	})
}

func TestABootstrapThatCannotBeNotedIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.bootstrap(source.Checkpoint{})
		failures := 0
		rest := h.prepared
		h.prepared = func(s *session) {
			rest(s)
			s.saving = func(_ context.Context, c source.Checkpoint) error {
				if c.Bootstrapped && failures < 3 {
					failures++
					return errFull
				}
				return nil
			}
		}
		h.serve()
		h.opensWith(api.StreamOptions{}, 3)
		synctest.Wait()
		require.ErrorIs(t, h.sourceInfo().CheckpointErr, errFull)
		require.Equal(t, []string{"insert 3 !"}, h.opensWith(api.StreamOptions{}, 1), "it was delivered all the same")
		pass(3 * time.Second)
		require.Equal(t, []source.Checkpoint{{}, bootstrapped}, h.session().kept())
		require.Equal(t, uint64(3), h.stats().CheckpointFailures)
		require.NoError(t, h.sourceInfo().CheckpointErr)
	})
}
