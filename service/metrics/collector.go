// Package metrics shows the figures of change sources to Prometheus.
package metrics

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Collector turns the figures of sources and sinks into metrics, whenever they are asked for. Nothing is kept in between, so
// the sources pay for being watched only then. It implements prometheus.Collector.
type Collector struct {
	meter   api.Meter
	sinks   api.SinkInspector
	metrics []metric
	ofSinks sinkMetrics
	// The others have a second label.
	changes, ended                         *prometheus.Desc
	lagBytes, lagTransactions, isConnected *prometheus.Desc
}

// metric is a figure that a source has once.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	// read returns the figure, false if the source has none.
	read func(s *api.Stats) (float64, bool)
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a collector over sources and sinks. It is safe to use from any goroutine if they are.
func NewCollector(meter api.Meter, sinks api.SinkInspector) *Collector {
	return &Collector{
		meter: meter, sinks: sinks, ofSinks: newSinkMetrics(),
		changes:  describe("changes_total", "Row changes of the transactions appended to the log, whatever streams select.", "op"),
		ended:    describe("streams_ended_total", "Streams that have ended.", "reason"),
		lagBytes: describe("consumer_lag_bytes", "How much lies behind what a consumer has acknowledged.", "consumer"),
		lagTransactions: describe("consumer_lag_transactions", "How many transactions lie behind what a consumer has acknowledged.",
			"consumer"),
		isConnected: describe("consumer_connected", "Whether a consumer has a stream.", "consumer"),
		metrics: []metric{
			counter("transactions_total", "Transactions appended to the log.", func(s *api.Stats) uint64 { return s.Transactions }),
			counter("spilled_bytes_total", "Bytes of transactions that went to a temporary file.",
				func(s *api.Stats) uint64 { return s.SpilledBytes }),
			counter("snapshot_rows_total", "Rows delivered by snapshots.", func(s *api.Stats) uint64 { return s.SnapshotRows }),
			counter("checkpoint_failures_total", "Attempts to write the checkpoint that have failed.",
				func(s *api.Stats) uint64 { return s.CheckpointFailures }),
			counter("external_commits_total", "Commits of others that were noticed and not captured.",
				func(s *api.Stats) uint64 { return s.ExternalCommits }),
			gauge("log_bytes", "Size of the transactions that the log holds.", func(s *api.Stats) int64 { return s.LogBytes }),
			gauge("streams", "Open streams.", func(s *api.Stats) int64 { return int64(s.Streams) }),
			gauge("stream_lag_bytes", "How much of the log the slowest stream has not read.",
				func(s *api.Stats) int64 { return s.LagBytes }),
			optional("wal_size_bytes", "Size of SQLite's write-ahead log file.", func(s *api.Stats) *int64 { return s.WALBytes }),
			durable("durable_log_bytes", "Size of the files of the durable log.",
				func(log *api.DurableLog) (float64, bool) { return float64(log.Bytes), true }),
			durable("durable_log_files", "Files of the durable log.",
				func(log *api.DurableLog) (float64, bool) { return float64(log.Files), true }),
			durable("durable_log_oldest_seconds", "Age of the oldest transaction that the durable log has.",
				func(log *api.DurableLog) (float64, bool) {
					return time.Since(log.Oldest).Seconds(), !log.Oldest.IsZero()
				}),
			optional("retained_wal_bytes", "Write-ahead log that the server keeps for the replication slot.",
				func(s *api.Stats) *int64 { return s.RetainedWALBytes }),
		},
	}
}

// describe makes the description of a metric that has the label source and perhaps others.
func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("wippy_cdc_"+name, help, append([]string{"source"}, labels...), nil)
}

func counter(name, help string, read func(*api.Stats) uint64) metric {
	return metric{describe(name, help), prometheus.CounterValue, func(s *api.Stats) (float64, bool) {
		return float64(read(s)), true
	}}
}

func gauge(name, help string, read func(*api.Stats) int64) metric {
	return metric{describe(name, help), prometheus.GaugeValue, func(s *api.Stats) (float64, bool) {
		return float64(read(s)), true
	}}
}

// optional is a gauge of sources whose engine has such a thing.
func optional(name, help string, read func(*api.Stats) *int64) metric {
	return metric{describe(name, help), prometheus.GaugeValue, func(s *api.Stats) (float64, bool) {
		if p := read(s); p != nil {
			return float64(*p), true
		}
		return 0, false
	}}
}

// durable is a gauge of sources that have a durable log.
func durable(name, help string, read func(*api.DurableLog) (float64, bool)) metric {
	return metric{describe(name, help), prometheus.GaugeValue, func(s *api.Stats) (float64, bool) {
		if s.DurableLog == nil {
			return 0, false
		}
		return read(s.DurableLog)
	}}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.changes
	descs <- c.ended
	descs <- c.lagBytes
	descs <- c.lagTransactions
	descs <- c.isConnected
	c.ofSinks.describe(descs)
	for _, m := range c.metrics {
		descs <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	for _, s := range c.meter.Stats() {
		source := s.Source.String()
		for _, m := range c.metrics {
			if value, ok := m.read(&s); ok {
				metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, value, source)
			}
		}
		for _, op := range slices.Sorted(maps.Keys(s.Changes)) {
			metrics <- total(c.changes, s.Changes[op], source, string(op))
		}
		for _, reason := range slices.Sorted(maps.Keys(s.Ended)) {
			metrics <- total(c.ended, s.Ended[reason], source, string(reason))
		}
		for i := range s.Consumers {
			c.collectConsumer(metrics, source, &s.Consumers[i])
		}
	}
	for _, info := range c.sinks.Sinks() {
		c.ofSinks.collect(metrics, &info)
	}
}

// collectConsumer tells about a consumer what is known.
func (c *Collector) collectConsumer(metrics chan<- prometheus.Metric, source string, one *api.ConsumerInfo) {
	tell := func(desc *prometheus.Desc, n int64) {
		if n >= 0 {
			metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), source, one.Name)
		}
	}
	tell(c.lagBytes, one.LagBytes)
	tell(c.lagTransactions, one.LagTransactions)
	connected := int64(0)
	if one.Connected {
		connected = 1
	}
	tell(c.isConnected, connected)
}

func total(desc *prometheus.Desc, n uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels...)
}
