package sqlite_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// trials returns how many damages to try: WIPPY_TORN says.
func trials(t *testing.T) int {
	t.Helper()
	n := 170
	if text := os.Getenv("WIPPY_TORN"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	return n
}

// TestADamagedLog kills a writer, damages the files of its database, and opens it: the log is exact, or has a gap in its place.
func TestADamagedLog(t *testing.T) { //nolint:tparallel // the parts share the random numbers, which a seed repeats
	t.Parallel()
	seed := rand.Uint64()
	if text := os.Getenv("WIPPY_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("WIPPY_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const perKill = 17
	all := damages()
	names := slices.Sorted(maps.Keys(all))
	exact, gaps := map[string]int{}, map[string]int{}
	for left := trials(t); left > 0; left -= perKill {
		dir := t.TempDir()
		for range 1 + random.IntN(3) {
			writeLedger(t, dir, random.Uint64(), random.IntN(150), true)
		}
		before := undamaged(t, dir)
		for _, name := range names[:min(left, len(names))] {
			ok := t.Run(name, func(t *testing.T) {
				copied := t.TempDir()
				require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
				what := all[name](&vandal{t, random, copied})
				if tryDamaged(t, random, copied, what, before) == 0 {
					exact[name]++
				} else {
					gaps[name]++
				}
			})
			if !ok {
				keepDamaged(t, dir)
				return
			}
		}
	}
	t.Logf("exact %v, gaps %v", exact, gaps)
}

func keepDamaged(t *testing.T, dir string) {
	t.Helper()
	if to := os.Getenv("WIPPY_TORN_KEEP"); to != "" {
		require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	}
}

// reading is a reader that goes on: the position and the number that it has.
type reading struct {
	at api.Position
	n  int64
}

// start makes the log of a directory be served, and adds some transactions.
func start(t *testing.T, dir string) *house {
	t.Helper()
	h := houseIn(t, dir)
	h.exec(ledgerSchema)
	h.serve(h.source(cdcID, small()))
	return h
}

// undamaged returns positions of readers in a log, all of which it tells exactly, or behind a gap.
func undamaged(t *testing.T, dir string) (all []reading) {
	t.Helper()
	copied := t.TempDir()
	require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
	h := start(t, copied)
	const more = 1 << 40
	h.exec("INSERT INTO ledger VALUES (?, 0)", more)
	for _, e := range h.history(api.Behind(h.db.LogState().Trimmed), more) {
		if e.gap == nil && e.n < more {
			all = append(all, reading{e.at, e.n})
		}
	}
	return all
}

// tryDamaged opens a damaged database, and returns how many gaps its log tells from its beginning.
func tryDamaged(t *testing.T, random *rand.Rand, dir, what string, before []reading) (gaps int) {
	t.Helper()
	h := start(t, dir)
	const more = 1 << 40
	for i := range 3 {
		h.exec("INSERT INTO ledger VALUES (?, 0)", more+i)
	}
	var sound string
	require.NoError(t, h.db.Pool().QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&sound))
	require.Equal(t, "ok", sound)
	holds := h.ledger()
	trimmed := h.db.LogState().Trimmed
	events := h.history(api.Behind(trimmed), more+2)
	had := int64(0)
	aside, err := filepath.Glob(filepath.Join(dir, "app.db-cdc", "*.damaged"))
	require.NoError(t, err)
	if len(aside) > 0 { // it has begun anew, and cursors of another generation are refused
		before, had = nil, more-1
	} else if trimmed > 0 { // what is in front of it has left
		i := slices.IndexFunc(events, func(e told) bool { return e.gap == nil })
		had = events[i].n - 1
	}
	gaps, wrong := judge(holds, had, events)
	require.Empty(t, wrong, "%s: %v, and the database holds %v", what, events, holds)
	for range min(4, len(before)) {
		r := before[random.IntN(len(before))]
		if random.IntN(2) == 0 {
			r = before[len(before)-1]
		}
		events := h.history(r.at, more+2)
		_, wrong := judge(holds, r.n, events)
		require.Empty(t, wrong, "%s: behind %v (%d), %v, and the database holds %v", what, r.at, r.n, events, holds)
	}
	return gaps
}
