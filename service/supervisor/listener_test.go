package supervisor_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
	supervision "github.com/wippy-cdc/runtime/service/supervisor"
)

// scripted is a service that does what the entry's meta says: run, complete, fail, retry or hang.
type scripted struct {
	entry  *registry.Entry
	events *[]string
}

func (s scripted) String() string { return s.entry.ID.String() }

func (s scripted) Serve(ctx context.Context, ready func()) error {
	switch s.entry.Meta["does"] {
	case "fail":
		return errs.New(errs.Invalid, "cannot work")
	case "complete":
		return nil
	case "retry":
		return errs.New(errs.Unavailable, "not yet")
	case "hang":
		<-ctx.Done()
		return ctx.Err()
	default:
		*s.events = append(*s.events, "up "+string(s.entry.Kind))
		ready()
		<-ctx.Done()
		*s.events = append(*s.events, "down "+string(s.entry.Kind))
		return nil
	}
}

// state is the external state of an entry, at the place that its meta names.
type state struct {
	entry   *registry.Entry
	release func(entry *registry.Entry) error
}

func (s state) Place() any { return s.entry.Meta["where"] }

func (s state) Release(context.Context) error { return s.release(s.entry) }

// listening is a listener over a supervisor, with what has happened to its entries.
type listening struct {
	*supervision.Listener
	services *supervision.Supervisor
	events   []string
	declared map[registry.ID]int
}

// listen returns a listener; release releases the external state of its entries.
func listen(t *testing.T, release func(entry *registry.Entry) error) *listening {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	l := &listening{services: supervision.New(t.Context(), log), declared: make(map[registry.ID]int)}
	l.Listener = supervision.NewListener(l.services, log, func(entry *registry.Entry) (supervision.Plan, error) {
		if entry.Meta["does"] == "nothing" {
			return supervision.Plan{}, errors.New("cannot be built")
		}
		return supervision.Plan{
			Service: scripted{entry, &l.events},
			Declare: func() func() {
				l.declared[entry.ID] = 1
				return func() { l.declared[entry.ID]-- }
			},
			External: state{entry, func(entry *registry.Entry) error {
				l.events = append(l.events, "release "+string(entry.Kind))
				return release(entry)
			}},
		}, nil
	})
	return l
}

// released is a release that is done.
func released(*registry.Entry) error { return nil }

func id(name string) registry.ID { return registry.ID{Namespace: "app", Name: name} }

func (l *listening) close(t *testing.T) {
	t.Helper()
	require.NoError(t, l.services.Close(context.WithoutCancel(t.Context())))
}

func (l *listening) state(name string) supervisor.State {
	return l.services.Status(id(name).String()).State
}

func entry(name, does string) *registry.Entry {
	return &registry.Entry{
		ID: id(name), Kind: "test.one", Meta: map[string]any{"does": does}, Start: true,
		Lifecycle: supervisor.DefaultLifecycle(),
	}
}

func TestListenerAddsUpdatesAndDeletes(t *testing.T) {
	l := listen(t, released)
	defer l.close(t)
	one := entry("a", "run")
	require.NoError(t, l.Add(t.Context(), one))
	require.NoError(t, l.Add(t.Context(), one), "adding it again does nothing")
	require.Equal(t, supervisor.Running, l.state("a"))
	require.Equal(t, 1, l.declared[id("a")])

	two := entry("a", "run")
	two.Kind = "test.two"
	require.NoError(t, l.Update(t.Context(), two))
	three := entry("a", "run")
	three.Kind = "test.three"
	require.NoError(t, l.Add(t.Context(), three), "adding another of the same ID replaces it")

	require.NoError(t, l.Delete(t.Context(), id("a")))
	require.NoError(t, l.Delete(t.Context(), id("a")))
	require.Equal(t, []string{
		"up test.one", "down test.one", "up test.two", "down test.two", "up test.three", "down test.three",
		"release test.three",
	}, l.events)
	require.Zero(t, l.declared[id("a")])
	require.Equal(t, supervisor.Unknown, l.state("a"))
}

func TestListenerKeepsWhatItStops(t *testing.T) {
	l := listen(t, released)
	defer l.close(t)
	one := entry("a", "run")
	require.NoError(t, l.Add(t.Context(), one))
	require.NoError(t, l.Stop(t.Context(), id("a")))
	require.NoError(t, l.Stop(t.Context(), id("a")))
	require.NoError(t, l.Stop(t.Context(), id("nobody")))
	require.Equal(t, 1, l.declared[id("a")])
	require.Equal(t, supervisor.Unknown, l.state("a"))

	require.NoError(t, l.Add(t.Context(), one), "the same entry starts again")
	require.Equal(t, supervisor.Running, l.state("a"))
	require.NoError(t, l.Stop(t.Context(), id("a")))
	require.NoError(t, l.Delete(t.Context(), id("a")), "what is stopped can be deleted")
	require.Zero(t, l.declared[id("a")])
	require.Equal(t, []string{"up test.one", "down test.one", "up test.one", "down test.one", "release test.one"}, l.events)
}

func TestListenerSaysWhatItCouldNotRelease(t *testing.T) {
	locked := errors.New("locked")
	l := listen(t, func(*registry.Entry) error { return locked })
	defer l.close(t)
	require.NoError(t, l.Add(t.Context(), entry("a", "run")))
	require.ErrorIs(t, l.Delete(t.Context(), id("a")), locked)
	require.Zero(t, l.declared[id("a")])
	require.Equal(t, supervisor.Unknown, l.state("a"))
}

func TestEntriesMayHaveNothingButAService(t *testing.T) {
	var events []string
	log := slog.New(slog.DiscardHandler)
	services := supervision.New(t.Context(), log)
	l := supervision.NewListener(services, log, func(entry *registry.Entry) (supervision.Plan, error) {
		return supervision.Plan{Service: scripted{entry, &events}}, nil
	})
	require.NoError(t, l.Add(t.Context(), entry("a", "run")))
	require.NoError(t, l.Delete(t.Context(), id("a")))
	require.NoError(t, services.Close(t.Context()))
	require.Equal(t, []string{"up test.one", "down test.one"}, events)
}

// What has failed for good is declared, and why it has failed is known, until it is replaced or deleted. What cannot be built is not.
func TestFailedReplacement(t *testing.T) {
	for does, declared := range map[string]int{"fail": 1, "nothing": 0} {
		l := listen(t, released)
		defer l.close(t)
		require.NoError(t, l.Add(t.Context(), entry("a", "run")))
		require.Error(t, l.Update(t.Context(), entry("a", does)))
		require.Equal(t, declared, l.declared[id("a")])
		require.Equal(t, []string{"up test.one", "down test.one"}, l.events, "it may succeed the next time, nothing is released")
		require.NoError(t, l.Delete(t.Context(), id("a")))
		require.NoError(t, l.Delete(t.Context(), id("a")))
		require.Zero(t, l.declared[id("a")])
		require.Equal(t, []string{"up test.one", "down test.one", "release test.one"}, l.events, "also if it never ran again, but once")
	}
}

// Whether an entry is as it was added is what the supervisor says of its service.
func TestListenerKnowsWhatIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen(t, released)
		defer l.close(t)
		require.False(t, l.Applied(id("a")))
		require.NoError(t, l.Add(t.Context(), entry("a", "run")))
		require.True(t, l.Applied(id("a")))
		require.NoError(t, l.Stop(t.Context(), id("a")))
		require.False(t, l.Applied(id("a")), "it is stopped")
		fails := entry("a", "retry")
		fails.Lifecycle.Restart.MaxAttempts = 2
		require.NoError(t, l.Add(t.Context(), fails))
		require.True(t, l.Applied(id("a")), "it is tried again")
		time.Sleep(time.Minute) //nolint:forbidigo // of the clock of synctest
		require.Equal(t, supervisor.Failed, l.state("a"))
		require.False(t, l.Applied(id("a")))
		require.NoError(t, l.Add(t.Context(), entry("a", "complete")))
		require.Equal(t, supervisor.Completed, l.state("a"))
		require.True(t, l.Applied(id("a")))
		require.NoError(t, l.Delete(t.Context(), id("a")))
		require.False(t, l.Applied(id("a")))

		idle := entry("b", "run")
		idle.Start = false
		require.NoError(t, l.Add(t.Context(), idle))
		require.True(t, l.Applied(id("b")), "it is not to run")
	})
}

func TestFailureOfAServiceIsToldFromOthers(t *testing.T) {
	l := listen(t, released)
	defer l.close(t)
	err := l.Add(t.Context(), entry("a", "fail"))
	_, failed := errors.AsType[*supervision.FailedError](err)
	require.True(t, failed)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	_, failed = errors.AsType[*supervision.FailedError](l.Add(t.Context(), entry("b", "nothing")))
	require.False(t, failed)
}

func TestListenerDeclaresWhatIsNotStarted(t *testing.T) {
	l := listen(t, released)
	defer l.close(t)
	idle := entry("a", "run")
	idle.Start = false
	require.NoError(t, l.Add(t.Context(), idle))
	require.Equal(t, supervisor.Unknown, l.state("a"))
	require.Equal(t, 1, l.declared[id("a")])
	require.NoError(t, l.Delete(t.Context(), id("a")))
	require.Zero(t, l.declared[id("a")])
}

func TestFailedAdd(t *testing.T) {
	l := listen(t, released)
	defer l.close(t)
	fails := entry("a", "fail")
	require.EqualError(t, l.Add(t.Context(), fails), "cannot work")
	require.EqualError(t, l.Add(t.Context(), entry("b", "nothing")), "cannot be built")
	require.Equal(t, supervisor.Failed, l.state("a"))
	require.EqualError(t, l.services.Status(id("a").String()).Err, "cannot work")
	require.Equal(t, 1, l.declared[id("a")])
	require.Equal(t, supervisor.Unknown, l.state("b"))
	require.Zero(t, l.declared[id("b")])
	require.EqualError(t, l.Add(t.Context(), fails), "cannot work", "it is tried again")
	for _, name := range []string{"a", "b"} {
		require.NoError(t, l.Add(t.Context(), entry(name, "run")))
		require.Equal(t, 1, l.declared[id(name)])
	}
}

func TestServiceThatIsTriedAgainIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen(t, released)
		defer l.close(t)
		require.NoError(t, l.Add(t.Context(), entry("a", "retry")))
		require.Equal(t, supervisor.Backoff, l.state("a"))
		began := time.Now()
		require.NoError(t, l.Add(t.Context(), entry("b", "hang")))
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, supervisor.Starting, l.state("b"))
	})
}

func TestAddThatIsInterruptedLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen(t, released)
		defer l.close(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, l.Add(ctx, entry("a", "hang")), context.DeadlineExceeded)
		require.Equal(t, supervisor.Unknown, l.state("a"))
		require.Zero(t, l.declared[id("a")])
	})
}

// What cannot be released when an entry is deleted is tried again, until it is done or the entry reclaims it.
func TestReleaseIsTriedAgain(t *testing.T) {
	for _, comesBack := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var tries atomic.Int64
			var here atomic.Bool
			l := listenElsewhere(t, func(*registry.Entry) error {
				tries.Add(1)
				if here.Load() {
					return nil
				}
				return errs.New(errs.Unavailable, "the server is away")
			})
			defer l.close(t)
			require.NoError(t, l.Add(t.Context(), entry("a", "run")))
			require.EqualError(t, l.Delete(t.Context(), id("a")), "the server is away; it is tried again in the background")
			time.Sleep(time.Minute) //nolint:forbidigo // of the clock of synctest
			before := tries.Load()
			require.Greater(t, before, int64(4))
			if comesBack {
				require.NoError(t, l.Add(t.Context(), entry("a", "run")))
			} else {
				here.Store(true)
				before++
			}
			time.Sleep(time.Hour) //nolint:forbidigo // of the clock of synctest
			require.Equal(t, before, tries.Load())
		})
	}
}

// listenElsewhere is listen for releases that go on in the background, which are no events.
func listenElsewhere(t *testing.T, release func(entry *registry.Entry) error) *listening {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	l := &listening{services: supervision.New(t.Context(), log)}
	l.Listener = supervision.NewListener(l.services, log, func(entry *registry.Entry) (supervision.Plan, error) {
		return supervision.Plan{Service: scripted{entry, &l.events}, External: state{entry, release}}, nil
	})
	return l
}

// What is released in another place goes on being tried whatever becomes of the entry.
func TestReleaseInAnotherPlaceIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		tries := make(map[any]int)
		l := listenElsewhere(t, func(entry *registry.Entry) error {
			mu.Lock()
			defer mu.Unlock()
			tries[entry.Meta["where"]]++
			return errs.New(errs.Unavailable, "the server is away")
		})
		defer l.close(t)
		at := func(where string) *registry.Entry {
			e := entry("a", "run")
			e.Meta["where"] = where
			return e
		}
		require.NoError(t, l.Add(t.Context(), at("one")))
		require.NoError(t, l.Update(t.Context(), at("two")))
		require.NoError(t, l.Update(t.Context(), at("three")))
		tried := func(where string) bool {
			mu.Lock()
			defer mu.Unlock()
			before := tries[where]
			mu.Unlock()
			time.Sleep(time.Hour) //nolint:forbidigo // of the clock of synctest
			mu.Lock()
			return tries[where] > before
		}
		require.True(t, tried("one"))
		require.True(t, tried("two"))
		require.False(t, tried("three"))
		require.NoError(t, l.Update(t.Context(), at("one")))
		require.False(t, tried("one"), "it is reclaimed")
		require.True(t, tried("two"))
		require.True(t, tried("three"))
		require.ErrorContains(t, l.Delete(t.Context(), id("a")), "it is tried again in the background")
		require.True(t, tried("one"))
		require.True(t, tried("two"))
	})
}
