package heap_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/internal/heap"
)

func TestFloorMakesTheCollectorWait(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	const size = 256 << 20
	ballast := heap.Floor(size)
	require.Len(t, ballast, size/2)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	require.GreaterOrEqual(t, m.NextGC, uint64(size))
	runtime.KeepAlive(ballast)
}

func TestFloorLeavesTheEnvironmentItsWay(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "200")
			require.Nil(t, heap.Floor(1<<20))
		})
	}
}
