package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/service/cdc/cdctest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, streaming := range []bool{false, true} {
		cdctest.Run(t, func(t *testing.T) *cdctest.Subject {
			t.Helper()
			h := newHouse(t)
			h.exec("ALTER TABLE orders RENAME item TO name")
			c := h.config("users", "orders")
			c.Streaming, c.Subscriptions.MaxSubscriptions = streaming, cdctest.MaxSubscriptions
			source := h.source(c)
			return &cdctest.Subject{
				Engine: h.catalog, ID: cdcID,
				Start: func() func() {
					running := h.serve(source)
					return func() { require.NoError(t, running.stop()) }
				},
				Transact: h.transact,
			}
		})
	}
}
