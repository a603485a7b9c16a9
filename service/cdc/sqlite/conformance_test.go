//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/cdctest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, durable := range map[string]bool{"live": false, "durable": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conform(t, durable)
		})
	}
}

func conform(t *testing.T, durable bool) {
	t.Helper()
	cdctest.Run(t, func(t *testing.T, entry cdctest.Entry) *cdctest.Subject {
		t.Helper()
		h := newHouse(t, func(c *sqlapi.SQLiteConfig) { c.MaxTransactionBytes = cdctest.MaxTransaction })
		h.exec("ALTER TABLE orders RENAME item TO name")
		c := config(entry.Tables...)
		c.Durable, c.AckInterval = durable, unit.Duration(10*time.Millisecond)
		c.Snapshot, c.LogBytes, c.Subscriptions = entry.Snapshot, entry.LogBytes, entry.Subscriptions
		source := h.source(cdcID, c)
		var running *served
		return &cdctest.Subject{
			Engine: h.catalog, ID: cdcID,
			Start: func() func() {
				running = h.serve(source)
				return func() { require.NoError(t, running.stop()) }
			},
			Reload: func() {
				changed := *c
				changed.LogBytes /= 2
				source = h.source(cdcID, &changed)
			},
			Transact: h.transact,
			Checkpoint: func() (cdctest.Checkpoint, bool) {
				if durable {
					state := h.db.LogState()
					return cdctest.Checkpoint{LSN: strconv.FormatUint(state.Newest, 10), Bootstrapped: state.Bootstrapped}, true
				}
				row, found := h.offsets(cdcID)
				return cdctest.Checkpoint{LSN: strconv.FormatInt(row.lastSeq, 10), Bootstrapped: row.done == 1}, found
			},
			Kill: func() error {
				h.withdraw()
				require.NoError(t, h.db.Close())
				return <-running.ended
			},
			Mend: h.openDB,
		}
	})
}
