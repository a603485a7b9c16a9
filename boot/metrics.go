package boot

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/metrics"
)

// serveMetrics serves the figures of the sources, of Go and of the program at an address.
func serveMetrics(ctx context.Context, settings Settings, meter cdc.Meter) (*metrics.Server, error) {
	registerer := prometheus.NewRegistry()
	if err := errors.Join(
		registerer.Register(metrics.NewCollector(meter)),
		registerer.Register(collectors.NewGoCollector()),
		registerer.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	); err != nil {
		return nil, err
	}
	server, err := metrics.Listen(ctx, settings.Metrics, settings.Logger)
	if err != nil {
		return nil, err
	}
	server.Serve(registerer)
	return server, nil
}
