package kafka_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/service/cdc/sink/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What is too large is found by the sink, if it knows what the brokers take, or else by the brokers.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]bool{"the sink knows the limit": true, "the brokers know the limit": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sinktest.Run(t, sinktest.Properties{Ordered: true}, func(t *testing.T) sinktest.Destination {
				t.Helper()
				c := newCluster(t)
				c.client = client
				return c
			})
		})
	}
}
