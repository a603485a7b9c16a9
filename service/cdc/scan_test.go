package cdc_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

func TestSnapshotsThatTakeLongTellHowFarTheyAre(t *testing.T) {
	for took, lines := range map[time.Duration]int{time.Second: 0, 6 * time.Second: 2} {
		synctest.Test(t, func(t *testing.T) {
			var text bytes.Buffer
			log := cdc.NewLog(cdc.LogSettings{
				Source: sourceID, Bytes: unit.MiB, Logger: slog.New(slog.NewTextHandler(&text, nil)),
				Subscriptions: api.SubscriptionsConfig{MaxSubscriptions: 1, MaxBytes: unit.MiB},
			})
			defer log.Close(errOver)
			w := &writer{log: log}
			snap := &snapshot{n: 600, gate: make(chan struct{})}
			s := subscribeSnapshot(t, w, api.StreamOptions{Buffer: 1000}, prelude(w, snap))
			<-time.After(took)
			close(snap.gate)
			take(t, s, 600)
			synctest.Wait()
			require.Equal(t, lines, strings.Count(text.String(), "\n"), text.String())
			if lines > 0 {
				require.Contains(t, text.String(), `msg="snapshot in progress" rows=256 rows_per_second=42 `)
				require.Contains(t, text.String(), ` table=users`)
				require.Contains(t, text.String(), `msg="snapshot complete" rows=600 rows_per_second=100 `)
			}
		})
	}
}
