package cdc

import (
	"sync/atomic"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Counters are the figures of a source that go on over its restarts. Methods may be called from any goroutine.
type Counters struct {
	transactions, spilled, snapshotRows, checkpointFailures atomic.Uint64
	// changes and ended have all their keys from the beginning: only the numbers change.
	changes map[api.Op]*atomic.Uint64
	ended   map[api.EndReason]*atomic.Uint64
}

// NewCounters returns counters that are all 0.
func NewCounters() *Counters {
	return &Counters{
		changes: zeroes(append(api.Ops(), api.OpSchema)...),
		ended:   zeroes(api.EndClosed, api.EndLag, api.EndLost, api.EndSource),
	}
}

func zeroes[K comparable](keys ...K) map[K]*atomic.Uint64 {
	m := make(map[K]*atomic.Uint64, len(keys))
	for _, key := range keys {
		m[key] = new(atomic.Uint64)
	}
	return m
}

// Changes counts n changes of a transaction in the log. Engines call it once for each transaction and operation, and
// off the writer's goroutine: for instance when the first stream has read the transaction through. A few changes that were
// looked at anyway may be counted there.
func (c *Counters) Changes(op api.Op, n int) {
	if n <= 0 {
		return
	}
	if counter := c.changes[op]; counter != nil {
		counter.Add(uint64(n))
	}
}

// Spilled counts bytes of a transaction that went to a temporary file.
func (c *Counters) Spilled(bytes int64) {
	if bytes > 0 {
		c.spilled.Add(uint64(bytes))
	}
}

// CheckpointFailure counts an attempt to write the checkpoint that has failed.
func (c *Counters) CheckpointFailure() { c.checkpointFailures.Add(1) }

// fill sets the counters of stats.
func (c *Counters) fill(stats *api.Stats) {
	stats.Transactions = c.transactions.Load()
	stats.SpilledBytes = c.spilled.Load()
	stats.SnapshotRows = c.snapshotRows.Load()
	stats.CheckpointFailures = c.checkpointFailures.Load()
	stats.Changes = numbers(c.changes)
	stats.Ended = numbers(c.ended)
}

func numbers[K comparable](counters map[K]*atomic.Uint64) map[K]uint64 {
	m := make(map[K]uint64, len(counters))
	for key, counter := range counters {
		m[key] = counter.Load()
	}
	return m
}

// Measure sets the gauges of stats that the log knows.
func (l *Log) Measure(stats *api.Stats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stats.LogBytes, stats.Streams = l.total-l.dropped, len(l.cursors)
	for _, c := range l.cursors {
		stats.LagBytes = max(stats.LagBytes, l.total-c.place().start+c.owner.backlog.Load())
	}
}

// ending is why a stream ends, with the reason that metrics give for it.
type ending struct {
	reason api.EndReason
	cause  error
}

// Error implements error.
func (e *ending) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *ending) Unwrap() error { return e.cause }
