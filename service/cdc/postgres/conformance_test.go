package postgres_test

import (
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/service/cdc/cdctest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, streaming := range map[string]bool{"plain": false, "streaming": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cdctest.Run(t, func(t *testing.T, entry cdctest.Entry) *cdctest.Subject {
				t.Helper()
				h := newHouse(t)
				h.exec("ALTER TABLE orders RENAME item TO name")
				c := h.config(entry.Tables...)
				c.Streaming, c.Snapshot, c.LogBytes, c.Subscriptions = streaming, entry.Snapshot, entry.LogBytes, entry.Subscriptions
				source := h.source(c)
				source.LimitTransactions(int64(cdctest.MaxTransaction))
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
						source = h.source(&changed)
					},
					Transact:   h.transact,
					Checkpoint: h.checkpoint,
					Kill: func() error {
						h.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '" + h.Name + "'")
						return <-running.ended
					},
					Mend: func() {},
				}
			})
		})
	}
}

// checkpoint returns what the table of checkpoints says of the source.
func (h *house) checkpoint() (c cdctest.Checkpoint, found bool) {
	h.t.Helper()
	if h.Text(h.t, "SELECT to_regclass('wippy_cdc_offsets')::text") == "" {
		return c, false
	}
	text := h.Text(h.t, "SELECT max(lsn)::text FROM wippy_cdc_offsets WHERE slot = $1", h.Name)
	if text != "" {
		lsn, err := pglogrepl.ParseLSN(text)
		require.NoError(h.t, err)
		c.LSN = lsn.String()
	}
	c.Bootstrapped = h.Text(h.t, "SELECT count(*)::text FROM wippy_cdc_offsets WHERE slot = $1 || '/snapshot'", h.Name) == "1"
	return c, text != "" || c.Bootstrapped
}
