package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// sinkMetrics are the metrics of sinks.
type sinkMetrics struct {
	running, published, failed, retried, parked, lag, delay *prometheus.Desc
}

func newSinkMetrics() sinkMetrics {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("wippy_cdc_sink_"+name, help, []string{"sink"}, nil)
	}
	return sinkMetrics{
		running:   describe("running", "Whether the sink runs."),
		published: describe("published_total", "Changes that the destination of the sink has confirmed."),
		failed:    describe("failed_total", "Attempts to deliver that have failed."),
		retried:   describe("retried_total", "Attempts to deliver that followed one that has failed."),
		parked:    describe("parked", "Changes that are put aside because the destination has rejected them."),
		lag:       describe("lag_bytes", "How much of the source's log the sink has not delivered."),
		delay:     describe("delay_seconds", "Time from commits to their confirmation by the destination."),
	}
}

// describe tells about all of them.
func (m *sinkMetrics) describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{m.running, m.published, m.failed, m.retried, m.parked, m.lag, m.delay} {
		descs <- desc
	}
}

// collect tells the figures of a sink, as far as they are known.
func (m *sinkMetrics) collect(metrics chan<- prometheus.Metric, info *api.SinkInfo) {
	sink, s := info.ID.String(), &info.Stats
	running := 0.0
	if info.State == api.StateRunning {
		running = 1
	}
	metrics <- prometheus.MustNewConstMetric(m.running, prometheus.GaugeValue, running, sink)
	metrics <- total(m.published, s.Published, sink)
	metrics <- total(m.failed, s.Failed, sink)
	metrics <- total(m.retried, s.Retried, sink)
	metrics <- prometheus.MustNewConstMetric(m.parked, prometheus.GaugeValue, float64(s.Parked), sink)
	if s.LagBytes >= 0 {
		metrics <- prometheus.MustNewConstMetric(m.lag, prometheus.GaugeValue, float64(s.LagBytes), sink)
	}
	count, buckets := uint64(0), make(map[float64]uint64, len(s.Delay.Bounds))
	for i, n := range s.Delay.Counts {
		if count += n; i < len(s.Delay.Bounds) {
			buckets[s.Delay.Bounds[i]] = count
		}
	}
	metrics <- prometheus.MustNewConstHistogram(m.delay, count, s.Delay.Sum, buckets, sink)
}
