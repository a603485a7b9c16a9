//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Sources come and go under a writer and readers with and without snapshots: every stream ends with an error that can
// be retried, nothing is left behind, and positions only grow.
func TestSourcesComeAndGoUnderSnapshots(t *testing.T) {
	h := newHouse(t)
	h.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO users SELECT i, 'user', i FROM n")
	source := h.source(cdcID, bootstrapping())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			_, _ = h.db.Pool().ExecContext(ctx, "UPDATE users SET score = score + 1 WHERE id % 50 = 7")
		}
	})
	failures := make(chan error, 100)
	for range 4 {
		work.Go(func() {
			for ctx.Err() == nil {
				if err := readSome(ctx, h); err != nil && !errs.Retryable(err) && ctx.Err() == nil {
					failures <- err
					return
				}
			}
		})
	}
	last := uint64(0)
	for range 15 {
		run := h.serve(source)
		s := h.subscribe(cdcID, api.StreamOptions{Start: api.Live()})
		sequence := take(t, s, 1)[0].Transaction.Sequence
		require.Greater(t, sequence, last)
		last = sequence
		require.NoError(t, run.stop())
		s.Close()
	}
	cancel()
	work.Wait()
	require.Empty(t, failures)
	require.Zero(t, h.info().Admission)
}

// readSome opens some stream and reads until it has enough.
func readSome(ctx context.Context, h *house) error {
	s, err := h.catalog.Subscribe(ctx, cdcID, api.StreamOptions{Start: []api.Start{{}, api.Live(), api.Snapshot()}[rand.IntN(3)], Buffer: 1 + rand.IntN(70)})
	if err != nil {
		return err
	}
	defer s.Close()
	for range rand.IntN(1500) {
		if _, err := s.Next(ctx); err != nil {
			return err
		}
	}
	return nil
}
