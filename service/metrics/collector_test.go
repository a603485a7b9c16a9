package metrics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/metrics"
)

// meter tells what it holds.
type meter []api.Stats

func (m *meter) Stats() []api.Stats { return *m }

func full() *meter {
	wal, retained := int64(4096), int64(0)
	return &meter{
		{
			Source: registry.ID{Namespace: "app", Name: "cdc"}, Transactions: 3,
			Changes:  map[api.Op]uint64{api.OpInsert: 7, api.OpUpdate: 0},
			LogBytes: 100, Streams: 2, LagBytes: 50,
			Ended:        map[api.EndReason]uint64{api.EndClosed: 4, api.EndLag: 1},
			SpilledBytes: 9, CheckpointFailures: 5, ExternalCommits: 6, SnapshotRows: 11, WALBytes: &wal, DurableLog: &api.DurableLog{Bytes: 8192, Files: 2},
		},
		{Source: registry.ID{Namespace: "app", Name: "pg"}, RetainedWALBytes: &retained, Consumers: []api.ConsumerInfo{
			{Name: "away", LagBytes: 4096, LagTransactions: -1}, {Name: "search", Connected: true, LagBytes: -1, LagTransactions: 2},
		}},
	}
}

// outlets tells what it holds.
type outlets []api.SinkInfo

func (o outlets) Sinks() []api.SinkInfo { return o }

func sinks() outlets {
	return outlets{
		{ID: registry.ID{Namespace: "app", Name: "hook"}, State: api.StateRunning, Stats: api.SinkStats{
			Published: 5, Failed: 3, Retried: 2, Parked: 1, LagBytes: 77,
			Delay: api.Histogram{Bounds: []float64{0.5, 2}, Counts: []uint64{3, 1, 2}, Sum: 12.5},
		}},
		{ID: registry.ID{Namespace: "app", Name: "idle"}, State: api.StateFaulted, Stats: api.SinkStats{LagBytes: -1}},
	}
}

const expected = `
# HELP wippy_cdc_changes_total Row changes of the transactions appended to the log, whatever streams select.
# TYPE wippy_cdc_changes_total counter
wippy_cdc_changes_total{op="insert",source="app:cdc"} 7
wippy_cdc_changes_total{op="update",source="app:cdc"} 0
# HELP wippy_cdc_checkpoint_failures_total Attempts to write the checkpoint that have failed.
# TYPE wippy_cdc_checkpoint_failures_total counter
wippy_cdc_checkpoint_failures_total{source="app:cdc"} 5
wippy_cdc_checkpoint_failures_total{source="app:pg"} 0
# HELP wippy_cdc_consumer_connected Whether a consumer has a stream.
# TYPE wippy_cdc_consumer_connected gauge
wippy_cdc_consumer_connected{consumer="away",source="app:pg"} 0
wippy_cdc_consumer_connected{consumer="search",source="app:pg"} 1
# HELP wippy_cdc_consumer_lag_bytes How much lies behind what a consumer has acknowledged.
# TYPE wippy_cdc_consumer_lag_bytes gauge
wippy_cdc_consumer_lag_bytes{consumer="away",source="app:pg"} 4096
# HELP wippy_cdc_consumer_lag_transactions How many transactions lie behind what a consumer has acknowledged.
# TYPE wippy_cdc_consumer_lag_transactions gauge
wippy_cdc_consumer_lag_transactions{consumer="search",source="app:pg"} 2
# HELP wippy_cdc_durable_log_bytes Size of the files of the durable log.
# TYPE wippy_cdc_durable_log_bytes gauge
wippy_cdc_durable_log_bytes{source="app:cdc"} 8192
# HELP wippy_cdc_durable_log_files Files of the durable log.
# TYPE wippy_cdc_durable_log_files gauge
wippy_cdc_durable_log_files{source="app:cdc"} 2
# HELP wippy_cdc_external_commits_total Commits of others that were noticed and not captured.
# TYPE wippy_cdc_external_commits_total counter
wippy_cdc_external_commits_total{source="app:cdc"} 6
wippy_cdc_external_commits_total{source="app:pg"} 0
# HELP wippy_cdc_log_bytes Size of the transactions that the log holds.
# TYPE wippy_cdc_log_bytes gauge
wippy_cdc_log_bytes{source="app:cdc"} 100
wippy_cdc_log_bytes{source="app:pg"} 0
# HELP wippy_cdc_retained_wal_bytes Write-ahead log that the server keeps for the replication slot.
# TYPE wippy_cdc_retained_wal_bytes gauge
wippy_cdc_retained_wal_bytes{source="app:pg"} 0
# HELP wippy_cdc_sink_delay_seconds Time from commits to their confirmation by the destination.
# TYPE wippy_cdc_sink_delay_seconds histogram
wippy_cdc_sink_delay_seconds_bucket{sink="app:hook",le="0.5"} 3
wippy_cdc_sink_delay_seconds_bucket{sink="app:hook",le="2"} 4
wippy_cdc_sink_delay_seconds_bucket{sink="app:hook",le="+Inf"} 6
wippy_cdc_sink_delay_seconds_sum{sink="app:hook"} 12.5
wippy_cdc_sink_delay_seconds_count{sink="app:hook"} 6
wippy_cdc_sink_delay_seconds_bucket{sink="app:idle",le="+Inf"} 0
wippy_cdc_sink_delay_seconds_sum{sink="app:idle"} 0
wippy_cdc_sink_delay_seconds_count{sink="app:idle"} 0
# HELP wippy_cdc_sink_failed_total Attempts to deliver that have failed.
# TYPE wippy_cdc_sink_failed_total counter
wippy_cdc_sink_failed_total{sink="app:hook"} 3
wippy_cdc_sink_failed_total{sink="app:idle"} 0
# HELP wippy_cdc_sink_lag_bytes How much of the source's log the sink has not delivered.
# TYPE wippy_cdc_sink_lag_bytes gauge
wippy_cdc_sink_lag_bytes{sink="app:hook"} 77
# HELP wippy_cdc_sink_parked Changes that are put aside because the destination has rejected them.
# TYPE wippy_cdc_sink_parked gauge
wippy_cdc_sink_parked{sink="app:hook"} 1
wippy_cdc_sink_parked{sink="app:idle"} 0
# HELP wippy_cdc_sink_published_total Changes that the destination of the sink has confirmed.
# TYPE wippy_cdc_sink_published_total counter
wippy_cdc_sink_published_total{sink="app:hook"} 5
wippy_cdc_sink_published_total{sink="app:idle"} 0
# HELP wippy_cdc_sink_retried_total Attempts to deliver that followed one that has failed.
# TYPE wippy_cdc_sink_retried_total counter
wippy_cdc_sink_retried_total{sink="app:hook"} 2
wippy_cdc_sink_retried_total{sink="app:idle"} 0
# HELP wippy_cdc_sink_running Whether the sink runs.
# TYPE wippy_cdc_sink_running gauge
wippy_cdc_sink_running{sink="app:hook"} 1
wippy_cdc_sink_running{sink="app:idle"} 0
# HELP wippy_cdc_snapshot_rows_total Rows delivered by snapshots.
# TYPE wippy_cdc_snapshot_rows_total counter
wippy_cdc_snapshot_rows_total{source="app:cdc"} 11
wippy_cdc_snapshot_rows_total{source="app:pg"} 0
# HELP wippy_cdc_spilled_bytes_total Bytes of transactions that went to a temporary file.
# TYPE wippy_cdc_spilled_bytes_total counter
wippy_cdc_spilled_bytes_total{source="app:cdc"} 9
wippy_cdc_spilled_bytes_total{source="app:pg"} 0
# HELP wippy_cdc_stream_lag_bytes How much of the log the slowest stream has not read.
# TYPE wippy_cdc_stream_lag_bytes gauge
wippy_cdc_stream_lag_bytes{source="app:cdc"} 50
wippy_cdc_stream_lag_bytes{source="app:pg"} 0
# HELP wippy_cdc_streams Open streams.
# TYPE wippy_cdc_streams gauge
wippy_cdc_streams{source="app:cdc"} 2
wippy_cdc_streams{source="app:pg"} 0
# HELP wippy_cdc_streams_ended_total Streams that have ended.
# TYPE wippy_cdc_streams_ended_total counter
wippy_cdc_streams_ended_total{reason="closed",source="app:cdc"} 4
wippy_cdc_streams_ended_total{reason="lag",source="app:cdc"} 1
# HELP wippy_cdc_transactions_total Transactions appended to the log.
# TYPE wippy_cdc_transactions_total counter
wippy_cdc_transactions_total{source="app:cdc"} 3
wippy_cdc_transactions_total{source="app:pg"} 0
# HELP wippy_cdc_wal_size_bytes Size of SQLite's write-ahead log file.
# TYPE wippy_cdc_wal_size_bytes gauge
wippy_cdc_wal_size_bytes{source="app:cdc"} 4096
`

func TestCollectsEveryFigure(t *testing.T) {
	t.Parallel()
	registerer := prometheus.NewPedanticRegistry()
	require.NoError(t, registerer.Register(metrics.NewCollector(full(), sinks())))
	require.NoError(t, testutil.GatherAndCompare(registerer, strings.NewReader(expected)))
}

func TestNamesAreAsPrometheusWantsThem(t *testing.T) {
	t.Parallel()
	problems, err := testutil.CollectAndLint(metrics.NewCollector(full(), sinks()))
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestCollectsWhatIsThereNow(t *testing.T) {
	t.Parallel()
	m := full()
	registerer := prometheus.NewPedanticRegistry()
	require.NoError(t, registerer.Register(metrics.NewCollector(m, outlets(nil))))
	*m = nil
	require.NoError(t, testutil.GatherAndCompare(registerer, strings.NewReader("")))
}

func TestTheAgeOfTheOldestTransaction(t *testing.T) {
	t.Parallel()
	m := full()
	(*m)[0].DurableLog.Oldest = time.Now().Add(-time.Hour)
	registerer := prometheus.NewPedanticRegistry()
	require.NoError(t, registerer.Register(metrics.NewCollector(m, outlets(nil))))
	families, err := registerer.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "wippy_cdc_durable_log_oldest_seconds" {
			require.GreaterOrEqual(t, family.GetMetric()[0].GetGauge().GetValue(), time.Hour.Seconds())
			return
		}
	}
	t.Fatal("there is none")
}
