package stream_test

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
)

func TestSnapshotsThatTakeLongTellHowFarTheyAre(t *testing.T) {
	for took, lines := range map[time.Duration]int{time.Second: 0, 6 * time.Second: 2} {
		synctest.Test(t, func(t *testing.T) {
			var text bytes.Buffer
			f := fixed{e: new(engine)}
			set := settings(unit.MiB, f.e)
			set.Logger = slog.New(slog.NewTextHandler(&text, nil))
			f.Streams, f.w = start(t, set)
			snap := &snapshot{n: 600, gate: make(chan struct{})}
			s := f.open(t, api.StreamOptions{Buffer: 1000}, snap)
			<-time.After(took)
			close(snap.gate)
			take(t, s, 600)
			synctest.Wait()
			require.Equal(t, lines, strings.Count(text.String(), "\n"), text.String())
			if lines > 0 {
				require.Contains(t, text.String(), `msg="snapshot in progress" rows=256 rows_per_second=42 `)
				require.Contains(t, text.String(), ` table=users of=600 left=8s`)
				require.Contains(t, text.String(), `msg="snapshot complete" rows=600 rows_per_second=100 `)
			}
		})
	}
}
