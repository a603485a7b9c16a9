package sqlite_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"

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
	wg.Go(func() { runScript(s, rapid.Custom(drawScript).Example(seed)) })
	wg.Wait()
	return s.failed
}

// With WIPPY_SEEDS=n in the environment, TestSeeds counts which of the scripts 1 to n diverge. It does not fail then:
// it is how TestTheSuiteHasTeeth runs the suite against weakened rules.
func TestSeeds(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("WIPPY_SEEDS"))
	if err != nil {
		require.False(t, diverges(t, 1))
		return
	}
	diverged := 0
	for seed := 1; seed <= n; seed++ {
		if diverges(t, seed) {
			diverged++
		}
	}
	fmt.Printf("%d of %d scripts diverged\n", diverged, n)
}
