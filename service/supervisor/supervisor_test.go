package supervisor_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/api/unit"
	supervision "github.com/wippy-cdc/runtime/service/supervisor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a service made of a function; its password must never be seen.
type service struct {
	password string
	serve    func(ctx context.Context, ready func()) error
}

func (s *service) Serve(ctx context.Context, ready func()) error { return s.serve(ctx, ready) }
func (s *service) String() string                                { return "a test service" }

func does(serve func(ctx context.Context, ready func()) error) *service {
	return &service{password: "hunter2", serve: serve}
}

// runs is a service that is ready at once and runs until it is stopped.
func runs() *service {
	return does(func(ctx context.Context, ready func()) error {
		ready()
		<-ctx.Done()
		return ctx.Err()
	})
}

// lifecycle has no jitter, so that delays are exact.
func lifecycle() supervisor.Lifecycle {
	l := supervisor.DefaultLifecycle()
	l.Restart.Jitter = 0
	return l
}

type world struct {
	*supervision.Supervisor
	log bytes.Buffer
}

// states lists those that a service was in, as the log tells.
func (w *world) states(name string) []supervisor.State {
	told := map[string]supervisor.State{
		"service starts": supervisor.Starting, "service is running": supervisor.Running, "service has completed": supervisor.Completed,
		"service has failed and is started again": supervisor.Backoff, "service has failed": supervisor.Failed,
		"service has stopped": supervisor.Stopped, "service has stopped with an error": supervisor.Stopped, "service does not stop": supervisor.Stopped,
	}
	var all []supervisor.State
	for _, match := range regexp.MustCompile(`msg="(.*?)" service=(\S+)`).FindAllStringSubmatch(w.log.String(), -1) {
		if match[2] == name {
			all = append(all, told[match[1]])
		}
	}
	return all
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{}
	logger := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.Supervisor = supervision.New(t.Context(), logger)
	return w
}

func (w *world) close(t *testing.T) {
	t.Helper()
	require.NoError(t, w.Close(context.WithoutCancel(t.Context())))
	require.NotContains(t, w.log.String(), "hunter2")
}

func TestServiceRunsUntilItIsStopped(t *testing.T) {
	w := start(t)
	defer w.close(t)
	var cause error
	svc := does(func(ctx context.Context, ready func()) error {
		ready()
		<-ctx.Done()
		cause = context.Cause(ctx)
		return ctx.Err()
	})
	require.NoError(t, w.Start(t.Context(), "app:db", svc, lifecycle()))
	status := w.Status("app:db")
	require.Equal(t, supervisor.Running, status.State)
	require.Equal(t, 1, status.Attempts)
	require.False(t, status.Since.IsZero())

	require.NoError(t, w.Stop(t.Context(), "app:db"))
	require.EqualError(t, cause, "the service is stopped")
	require.Equal(t, supervisor.Unknown, w.Status("app:db").State)
	require.Equal(t, []supervisor.State{supervisor.Starting, supervisor.Running, supervisor.Stopped}, w.states("app:db"))
	require.NoError(t, w.Stop(t.Context(), "app:db"))
}

func TestCompletedServiceIsNotStartedAgain(t *testing.T) {
	w := start(t)
	defer w.close(t)
	svc := does(func(context.Context, func()) error { return nil })
	require.NoError(t, w.Start(t.Context(), "app:job", svc, lifecycle()))
	require.NoError(t, w.Stop(t.Context(), "app:job"))
	require.Equal(t, []supervisor.State{supervisor.Starting, supervisor.Completed}, w.states("app:job"))
}

func TestNameInUse(t *testing.T) {
	w := start(t)
	defer w.close(t)
	require.NoError(t, w.Start(t.Context(), "app:db", runs(), lifecycle()))
	err := w.Start(t.Context(), "app:db", runs(), lifecycle())
	require.Equal(t, errs.AlreadyExists, errs.KindOf(err))
	require.ErrorContains(t, err, `start "app:db"`)
	require.NoError(t, w.Stop(t.Context(), "app:db"))
	require.NoError(t, w.Start(t.Context(), "app:db", runs(), lifecycle()))
}

func TestIncurableErrorsFailAtOnce(t *testing.T) {
	for _, kind := range []errs.Kind{errs.Invalid, errs.PermissionDenied, errs.NotFound} {
		t.Run(string(kind), func(t *testing.T) {
			w := start(t)
			defer w.close(t)
			calls := 0
			svc := does(func(context.Context, func()) error {
				calls++
				return errs.New(kind, "no such thing")
			})
			err := w.Start(t.Context(), "app:db", svc, lifecycle())
			require.Equal(t, kind, errs.KindOf(err))
			require.EqualError(t, err, `supervisor: start "app:db": no such thing`)
			require.Equal(t, supervisor.Failed, w.Status("app:db").State)
			require.EqualError(t, w.Status("app:db").Err, "no such thing")
			require.NoError(t, w.Stop(t.Context(), "app:db"))
			require.Equal(t, 1, calls)
		})
	}
}

func TestRetryableErrorOfAnIncurableKindIsTriedAgain(t *testing.T) {
	w := start(t)
	defer w.close(t)
	svc := does(func(context.Context, func()) error {
		return &errs.Error{Kind: errs.NotFound, Again: true, Err: errors.New("not yet")}
	})
	require.Error(t, w.Start(t.Context(), "app:db", svc, lifecycle()))
	require.Equal(t, supervisor.Backoff, w.Status("app:db").State)
}

func TestPanicIsAFailureWithItsStack(t *testing.T) {
	w := start(t)
	boom := errors.New("boom")
	l := lifecycle()
	l.Restart.MaxAttempts = 1
	err := w.Start(t.Context(), "app:db", does(func(context.Context, func()) error { panic(boom) }), l)
	require.ErrorIs(t, err, boom)
	require.ErrorContains(t, err, "panic: boom")
	p, ok := errors.AsType[*supervision.PanicError](err)
	require.True(t, ok)
	require.Contains(t, string(p.Stack), "supervisor_test.go")
	require.Equal(t, supervisor.Failed, w.Status("app:db").State)
	w.close(t)
	require.Contains(t, w.log.String(), "supervisor_test.go")
}

// failing is a service that runs until it is stopped, and ends with an error then.
func failing(text string) *service {
	return does(func(ctx context.Context, ready func()) error {
		ready()
		<-ctx.Done()
		return errors.New(text)
	})
}

// What does not end well is an error of Close from when the app was told to end, and only a matter of the log before.
func TestErrorWhileStoppingIsReported(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var log bytes.Buffer
	s := supervision.New(ctx, slog.New(slog.NewTextHandler(&log, nil)))
	for _, name := range []string{"early", "late", "last"} {
		require.NoError(t, s.Start(t.Context(), name, failing(name+": disk full\nand more"), lifecycle()))
	}
	require.NoError(t, s.Stop(t.Context(), "early"))
	cancel()
	require.NoError(t, s.Stop(t.Context(), "late"))
	require.EqualError(t, s.Close(t.Context()),
		"last has stopped with an error: last: disk full\nlate has stopped with an error: late: disk full")
	require.NoError(t, s.Close(t.Context()), "it is told once")
	require.Equal(t, 3, strings.Count(log.String(), "service has stopped with an error"))
}

func TestWaitUntilServicesHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.close(t)
		end := make(chan struct{})
		require.NoError(t, w.Start(t.Context(), "completes", does(func(_ context.Context, ready func()) error {
			ready()
			<-end
			return nil
		}), lifecycle()))
		l := lifecycle()
		l.Restart.MaxAttempts = 3
		require.Error(t, w.Start(t.Context(), "fails", does(func(context.Context, func()) error { return errors.New("no") }), l))
		require.NoError(t, w.Start(t.Context(), "runs", runs(), lifecycle()))
		waited := make(chan struct{})
		go func() {
			defer close(waited)
			w.Wait(t.Context(), "unknown", "completes", "fails")
		}()
		time.Sleep(time.Hour) //nolint:forbidigo // of the clock of synctest
		select {
		case <-waited:
			require.Fail(t, "one of them runs")
		default:
		}
		require.False(t, w.Ended("unknown", "completes", "fails"))
		close(end)
		<-waited
		require.True(t, w.Ended("unknown", "completes", "fails"))
		require.Equal(t, supervisor.Failed, w.Status("fails").State)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.Wait(ctx, "runs")
		require.Equal(t, supervisor.Running, w.Status("runs").State)
	})
}

func TestCloseStopsTheYoungestFirst(t *testing.T) {
	w := start(t)
	var stopped []string
	for _, name := range []string{"a", "b", "c"} {
		svc := does(func(ctx context.Context, ready func()) error {
			ready()
			<-ctx.Done()
			stopped = append(stopped, name)
			return nil
		})
		require.NoError(t, w.Start(t.Context(), name, svc, lifecycle()))
	}
	w.close(t)
	require.Equal(t, []string{"c", "b", "a"}, stopped)

	err := w.Start(t.Context(), "d", runs(), lifecycle())
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	w.close(t)
}

func TestStartStopStress(t *testing.T) {
	s := supervision.New(t.Context(), slog.New(slog.DiscardHandler))
	var wg sync.WaitGroup
	l := lifecycle()
	l.Restart.InitialDelay, l.Restart.MaxDelay = 1, unit.Duration(time.Millisecond)
	for i := range 8 {
		wg.Go(func() {
			name := string(rune('a' + i))
			for n := range 100 {
				var svc *service
				switch n % 4 {
				case 0:
					svc = runs()
				case 1:
					svc = does(func(context.Context, func()) error { return nil })
				case 2:
					svc = does(func(_ context.Context, ready func()) error {
						ready()
						return errors.New("again")
					})
				default:
					svc = does(func(context.Context, func()) error { panic("again") })
				}
				_ = s.Start(t.Context(), name, svc, l)
				_ = s.Status(name)
				_ = s.Status("a")
				require.NoError(t, s.Stop(t.Context(), name))
			}
		})
	}
	wg.Wait()
	require.NoError(t, s.Close(t.Context()))
}

func TestConcurrentStartsOfOneName(t *testing.T) {
	w := start(t)
	defer w.close(t)
	var wg sync.WaitGroup
	failures := make(chan error, 16)
	for range 16 {
		wg.Go(func() { failures <- w.Start(t.Context(), "app:db", runs(), lifecycle()) })
	}
	wg.Wait()
	close(failures)
	started := 0
	for err := range failures {
		if err == nil {
			started++
		} else {
			require.Equal(t, errs.AlreadyExists, errs.KindOf(err))
		}
	}
	require.Equal(t, 1, started)
}

func TestStartEndsWithItsContext(t *testing.T) {
	w := start(t)
	defer w.close(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	began := make(chan struct{})
	svc := does(func(ctx context.Context, _ func()) error {
		close(began)
		<-ctx.Done()
		return ctx.Err()
	})
	go func() {
		<-began
		cancel(errors.New("the user went away"))
	}()
	err := w.Start(ctx, "app:db", svc, lifecycle())
	require.ErrorContains(t, err, "the user went away")
	require.Equal(t, supervisor.Starting, w.Status("app:db").State)
}

func TestStopWhileStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.close(t)
		svc := does(func(ctx context.Context, _ func()) error {
			<-ctx.Done()
			return ctx.Err()
		})
		started := make(chan error, 1)
		go func() { started <- w.Start(t.Context(), "app:db", svc, lifecycle()) }()
		synctest.Wait()
		require.NoError(t, w.Stop(t.Context(), "app:db"))
		require.EqualError(t, <-started, `supervisor: start "app:db": the service is stopped`)
	})
}
