package stream

import (
	"maps"
	"sync"
	"sync/atomic"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// Counters are the figures of a source that go on over its runs. Methods may be called from any goroutine.
type Counters struct {
	snapshotRows, checkpointFailures, externalCommits atomic.Uint64
	// opened counts the streams that were asked for: it numbers them.
	opened atomic.Uint64

	mu    sync.Mutex
	ended map[api.EndReason]uint64
	// runs are the figures of the logs of runs that have ended, log is that of the run that has not.
	runs log.Stats
	log  *log.Log
}

// NewCounters returns counters that are all 0.
func NewCounters() *Counters {
	return &Counters{ended: map[api.EndReason]uint64{api.EndClosed: 0, api.EndLag: 0, api.EndLost: 0, api.EndSource: 0}}
}

// CheckpointFailure counts an attempt to write the checkpoint that has failed.
func (c *Counters) CheckpointFailure() { c.checkpointFailures.Add(1) }

// ExternalCommits counts commits of other connections that are not captured.
func (c *Counters) ExternalCommits(n int) { c.externalCommits.Add(uint64(n)) } //nolint:gosec // never negative

// end counts a stream that has ended.
func (c *Counters) end(reason api.EndReason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended[reason]++
}

// follow makes what l counts count, instead of what the log before does; nil for none.
func (c *Counters) follow(l *log.Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs, c.log = c.sum(), l
}

// sum returns the figures of all logs. c.mu must be held.
func (c *Counters) sum() log.Stats {
	sum := c.runs
	if c.log == nil {
		return sum
	}
	now := c.log.Stats()
	sum.Transactions += now.Transactions
	sum.Spilled += now.Spilled
	for code, n := range now.Changes {
		sum.Changes[code] += n
	}
	return sum
}

// Fill sets the counters of stats.
func (c *Counters) Fill(stats *api.Stats) {
	stats.SnapshotRows = c.snapshotRows.Load()
	stats.CheckpointFailures = c.checkpointFailures.Load()
	stats.ExternalCommits = c.externalCommits.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := c.sum()
	stats.Transactions, stats.SpilledBytes = sum.Transactions, sum.Spilled
	stats.Changes = make(map[api.Op]uint64)
	for code := log.Insert; code <= log.Schema; code++ {
		stats.Changes[code.Op()] = sum.Changes[code]
	}
	stats.Ended = maps.Clone(c.ended)
}
