package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/pgtest"
)

// TestPgbench streams a run of pgbench and accounts for every row. It takes two seconds, or what WIPPY_PGBENCH says, for
// instance 10m.
func TestPgbench(t *testing.T) {
	t.Parallel()
	duration := 2 * time.Second
	if text := os.Getenv("WIPPY_PGBENCH"); text != "" {
		var err error
		duration, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	program, err := pgtest.Program("pgbench")
	if err != nil {
		t.Skip(err)
	}
	h := newHouse(t)
	pgbench := func(args ...string) error {
		u := h.DSN()
		out, err := exec.CommandContext(t.Context(), program, append(args, u)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	require.NoError(t, pgbench("-i", "-q"))
	c := h.config("pgbench_accounts", "pgbench_tellers", "pgbench_branches", "pgbench_history", "orders")
	c.Streaming = true
	h.serve(h.source(c))
	s := h.subscribe(api.StreamOptions{Buffer: 1024, MaxBytes: c.LogBytes})

	ended := make(chan error, 1)
	go func() {
		err := pgbench("-n", "-c", "4", "-T", strconv.Itoa(int(duration.Seconds())))
		_, last := h.Pool.ExecContext(t.Context(), "INSERT INTO orders VALUES (1, 'the end')")
		ended <- errors.Join(err, last)
	}()
	history, delta, updates := 0, int64(0), 0
	var before, after runtime.MemStats
	for done := false; !done; {
		c := take(t, s, 1)[0]
		switch c.Table.Name {
		case "pgbench_history":
			if history++; history == 1000 {
				runtime.GC()
				runtime.ReadMemStats(&before)
			}
			delta += c.After[3].Int64()
		case "orders":
			done = true
		default:
			updates++
		}
	}
	require.NoError(t, <-ended)
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Equal(t, h.Text(t, "SELECT count(*) || ' ' || sum(delta) FROM pgbench_history"), fmt.Sprint(history, " ", delta))
	require.Equal(t, 3*history, updates)
	t.Logf("%d transactions; heap after 1000 of them %d KiB, at the end %d KiB", history, before.HeapAlloc>>10, after.HeapAlloc>>10)
	eventually(t, func() bool { return h.reached(h.walEnd()) }, "everything is confirmed")
}
