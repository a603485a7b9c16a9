//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// A consumer that does not come back is named before the retention takes what it has not read, and afterwards.
func TestAConsumerThatTheRetentionOvertakesIsNamed(t *testing.T) {
	t.Parallel()
	said := new(lockedBuffer)
	h := newHouse(t)
	h.log = slog.NewTextHandler(said, nil)
	c := durable()
	c.Retention.MaxBytes = unit.MiB
	h.serve(h.source(cdcID, c))
	h.subscribe(cdcID, api.StreamOptions{Consumer: "gone"}).Close()
	ready := h.subscribe(cdcID, api.StreamOptions{Consumer: "ready"})
	write := func(n int) {
		for range n {
			h.exec("INSERT INTO users (name) VALUES (hex(zeroblob(20000)))")
		}
		changes := take(t, ready, n)
		require.NoError(t, ready.Ack(changes[n-1].Position()))
	}
	told := func(text string) func() bool {
		return func() bool { return strings.Contains(said.String(), text) }
	}
	write(22) // of 40 kB each
	require.Eventually(t, told("a consumer is about to miss changes"), time.Minute, 10*time.Millisecond)
	require.Zero(t, h.db.LogState().Trimmed)
	write(30)
	require.Eventually(t, told("a consumer has missed changes"), time.Minute, 10*time.Millisecond)
	require.Equal(t, 2, strings.Count(said.String(), "consumer=gone "), "once each")
	require.NotContains(t, said.String(), "consumer=ready")
	_, err := h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{Consumer: "gone"})
	require.Equal(t, api.GapRetention, gapOf(t, err).Cause)
}
