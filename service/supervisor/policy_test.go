package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/api/unit"
)

var errAgain = errors.New("connection refused")

// attempts returns a service that always fails and the moments, since now, at which it was started.
func attempts(runFor func(n int) time.Duration) (*service, func() []time.Duration) {
	began := time.Now()
	var mu sync.Mutex
	var at []time.Duration
	svc := does(func(ctx context.Context, ready func()) error {
		mu.Lock()
		at = append(at, time.Since(began))
		n := len(at)
		mu.Unlock()
		if d := runFor(n); d > 0 {
			ready()
			select {
			case <-time.After(d):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return errAgain
	})
	return svc, func() []time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(at)
	}
}

func never(int) time.Duration { return 0 }

func TestDelaysGrowUpToTheirMaximum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.close(t)
		svc, at := attempts(never)
		l := lifecycle()
		l.Restart.MaxDelay = unit.Duration(5 * time.Second)
		err := w.Start(t.Context(), "app:db", svc, l)
		require.ErrorIs(t, err, errAgain)

		status := w.Status("app:db")
		require.Equal(t, supervisor.Backoff, status.State)
		require.ErrorIs(t, status.Err, errAgain)
		require.Equal(t, 1, status.Attempts)

		time.Sleep(18 * time.Second) //nolint:forbidigo // the clock of synctest
		require.Equal(t, []time.Duration{
			0, time.Second, 3 * time.Second, 7 * time.Second, 12 * time.Second, 17 * time.Second,
		}, at())
		require.Equal(t, 6, w.Status("app:db").Attempts)
	})
}

func TestInitialDelayAboveTheMaximumIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.close(t)
		svc, at := attempts(never)
		l := lifecycle()
		l.Restart.InitialDelay = unit.Duration(time.Hour)
		l.Restart.MaxDelay = unit.Duration(time.Second)
		require.Error(t, w.Start(t.Context(), "app:db", svc, l))
		time.Sleep(1500 * time.Millisecond) //nolint:forbidigo // the clock of synctest
		require.Equal(t, []time.Duration{0, time.Second}, at())
	})
}

func TestJitterMovesDelaysWithinItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.close(t)
		svc, at := attempts(never)
		l := lifecycle()
		l.Restart.Jitter, l.Restart.BackoffFactor = 0.5, 1
		require.Error(t, w.Start(t.Context(), "app:db", svc, l))
		time.Sleep(time.Minute) //nolint:forbidigo // the clock of synctest
		moments := at()
		require.Greater(t, len(moments), 30)
		different := false
		for i := 1; i < len(moments); i++ {
			delay := moments[i] - moments[i-1]
			require.InDelta(t, time.Second, delay, float64(500*time.Millisecond)+1)
			different = different || delay != moments[1]
		}
		require.True(t, different)
	})
}

func TestServiceFailsAfterMaxAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.close(t)
		svc, at := attempts(never)
		l := lifecycle()
		l.Restart.MaxAttempts = 3
		require.Error(t, w.Start(t.Context(), "app:db", svc, l))
		time.Sleep(time.Hour) //nolint:forbidigo // the clock of synctest
		require.Len(t, at(), 3)
		require.Equal(t, supervisor.Failed, w.Status("app:db").State)
		require.True(t, w.Status("app:db").State.Ended())
		require.Equal(t, []supervisor.State{
			supervisor.Starting, supervisor.Backoff, supervisor.Starting, supervisor.Backoff, supervisor.Starting, supervisor.Failed,
		}, w.states("app:db"))
	})
}

// A dependency that is down does not fill the log with the same traceback at each attempt.
func TestTracebackIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		n := 0
		svc := does(func(context.Context, func()) error {
			n++
			where := "main.lua:3"
			if n == 4 {
				where = "main.lua:9"
			}
			return fmt.Errorf("attempt %d is refused\nstack traceback:\n\t%s", n, where)
		})
		l := lifecycle()
		l.Restart.MaxAttempts = 5
		require.Error(t, w.Start(t.Context(), "app:db", svc, l))
		time.Sleep(time.Hour) //nolint:forbidigo // the clock of synctest
		w.close(t)
		log := w.log.String()
		for n := range 5 {
			require.Contains(t, log, fmt.Sprintf("attempt %d is refused", n+1))
		}
		require.Equal(t, 2, strings.Count(log, "main.lua:3"), "at the first failure, and at the last one, which is final")
		require.Equal(t, 1, strings.Count(log, "main.lua:9"))
	})
}

func TestFailuresAreForgottenOnceStable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.close(t)
		// The third start runs for longer than the threshold, the others fail sooner.
		svc, at := attempts(func(n int) time.Duration {
			if n == 3 {
				return 6 * time.Second
			}
			return 4 * time.Second
		})
		l := lifecycle()
		l.Restart.MaxAttempts = 3
		require.NoError(t, w.Start(t.Context(), "app:db", svc, l))
		time.Sleep(time.Hour) //nolint:forbidigo // the clock of synctest
		require.Equal(t, []time.Duration{
			0, 5 * time.Second, 11 * time.Second, // the delays are 1s and 2s
			18 * time.Second, 24 * time.Second, 32 * time.Second, // after 6s stable: 1s, 2s, 4s
		}, at())
		require.Equal(t, supervisor.Failed, w.Status("app:db").State)
		require.Equal(t, 3, w.Status("app:db").Attempts)
	})
}

func TestStartTimesOutAndTheServiceGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.close(t)
		svc := does(func(ctx context.Context, ready func()) error {
			select {
			case <-time.After(15 * time.Second):
				ready()
			case <-ctx.Done():
			}
			<-ctx.Done()
			return ctx.Err()
		})
		began := time.Now()
		err := w.Start(t.Context(), "app:db", svc, lifecycle())
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, errs.Timeout, errs.KindOf(err))
		require.ErrorContains(t, err, `"app:db": not ready after 10s (start_timeout)`)
		require.Equal(t, supervisor.Starting, w.Status("app:db").State)

		time.Sleep(6 * time.Second) //nolint:forbidigo // the clock of synctest
		require.Equal(t, supervisor.Running, w.Status("app:db").State)
	})
}

func TestServiceThatDoesNotStopIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		release := make(chan struct{})
		svc := does(func(_ context.Context, ready func()) error {
			ready()
			<-release
			return nil
		})
		require.NoError(t, w.Start(t.Context(), "app:db", svc, lifecycle()))
		began := time.Now()
		err := w.Stop(t.Context(), "app:db")
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, errs.Timeout, errs.KindOf(err))
		require.ErrorContains(t, err, `stop "app:db": has not ended after 10s (stop_timeout)`)

		require.NoError(t, w.Start(t.Context(), "app:db", runs(), lifecycle()))
		close(release)
		synctest.Wait()
		require.Equal(t, supervisor.Running, w.Status("app:db").State)
		require.Equal(t, []supervisor.State{supervisor.Starting, supervisor.Running, supervisor.Stopped, supervisor.Starting, supervisor.Running}, w.states("app:db"))
		w.close(t)
	})
}

func TestStopEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		release := make(chan struct{})
		svc := does(func(_ context.Context, ready func()) error {
			ready()
			<-release
			return nil
		})
		require.NoError(t, w.Start(t.Context(), "app:db", svc, lifecycle()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := w.Stop(ctx, "app:db")
		require.Equal(t, errs.Timeout, errs.KindOf(err))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		close(release)
		w.close(t)
	})
}

func TestStopDuringBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.close(t)
		svc, at := attempts(never)
		require.Error(t, w.Start(t.Context(), "app:db", svc, lifecycle()))
		began := time.Now()
		require.NoError(t, w.Stop(t.Context(), "app:db"))
		require.Zero(t, time.Since(began))
		time.Sleep(time.Minute) //nolint:forbidigo // the clock of synctest
		require.Len(t, at(), 1)
	})
}

func TestLateReadyIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.close(t)
		var late func()
		svc := does(func(_ context.Context, ready func()) error {
			late = ready
			return nil
		})
		require.NoError(t, w.Start(t.Context(), "app:job", svc, lifecycle()))
		synctest.Wait()
		late()
		require.Equal(t, supervisor.Completed, w.Status("app:job").State)
	})
}

func TestZeroLifecycleMeansTheDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.close(t)
		svc, at := attempts(never)
		require.Error(t, w.Start(t.Context(), "app:db", svc, supervisor.Lifecycle{}))
		time.Sleep(3500 * time.Millisecond) //nolint:forbidigo // the clock of synctest
		require.Equal(t, []time.Duration{0, time.Second, 3 * time.Second}, at())
	})
}
