package sqlite_test

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// silent is a check whose failure is a result.
type silent struct {
	*testing.T
	failed bool
}

func (s *silent) Errorf(string, ...any) { s.failed = true }

func (s *silent) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	s.FailNow()
}

func (s *silent) FailNow() {
	s.failed = true
	runtime.Goexit()
}

// diverges reports whether the script of a seed makes a difference.
func diverges(t *testing.T, seed int) bool {
	t.Helper()
	s := &silent{T: t}
	var wg sync.WaitGroup
	wg.Go(func() { runScript(s, rapid.Custom(drawScript).Example(seed), "") })
	wg.Wait()
	return s.failed
}

// With WIPPY_SEEDS=n in the environment, TestSeeds counts which of the scripts 1 to n diverge, or with
// WIPPY_SEEDS_ENOUGH=1 stops at the first. It does not fail then: it is how TestTheSuiteHasTeeth runs the suite
// against weakened rules.
func TestSeeds(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("WIPPY_SEEDS"))
	if err != nil {
		require.False(t, diverges(t, 1))
		return
	}
	diverged, tried := 0, 0
	for tried < n && (diverged == 0 || os.Getenv("WIPPY_SEEDS_ENOUGH") == "") {
		tried++
		if diverges(t, tried) {
			diverged++
		}
	}
	t.Logf("%d of %d scripts diverged", diverged, tried)
}

// With WIPPY_SOAK=duration in the environment, TestSoak tries scripts for that long, from the seed WIPPY_SOAK_SEED on; with
// WIPPY_SOAK_DURABLE=1 on databases with a durable log.
func TestSoak(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("WIPPY_SOAK"))
	if err != nil {
		t.Skip("run it by make soak")
	}
	seed, err := strconv.Atoi(os.Getenv("WIPPY_SOAK_SEED"))
	require.NoError(t, err)
	check := checkScript
	if os.Getenv("WIPPY_SOAK_DURABLE") != "" {
		dir := t.TempDir()
		check = func(t *rapid.T) { checkScriptOn(t, dir) }
	}
	require.NoError(t, flag.Set("rapid.checks", "2000"))
	require.NoError(t, flag.Set("rapid.nofailfile", "true"))
	for end := time.Now().Add(duration); time.Now().Before(end) && !t.Failed(); seed++ {
		require.NoError(t, flag.Set("rapid.seed", strconv.Itoa(seed)))
		rapid.Check(t, check)
		t.Logf("up to seed %d: %d scripts, %d statements of which %d failed, %d transactions", seed,
			counts.scripts.Load(), counts.statements.Load(), counts.failed.Load(), counts.transactions.Load())
	}
}
