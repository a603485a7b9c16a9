package cdc

import (
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
)

// EndReason says why a stream has ended.
type EndReason string

// The reasons, as metrics name them.
const (
	// EndClosed is Close, or the end of the process that had the stream.
	EndClosed EndReason = "closed"
	// EndLag is a stream that fell behind.
	EndLag EndReason = "lag"
	// EndLost is a gap: changes could not be captured or read.
	EndLost EndReason = "lost"
	// EndSource is the stop, the failure or the replacement of the source, or the end of the consumer that had the
	// stream.
	EndSource EndReason = "source"
)

// Stats are the counters and gauges of one source. Counters go on over restarts of the source, and begin at 0 with the
// program.
type Stats struct {
	Source registry.ID
	// Transactions counts those that were appended to the log; those that committed without a stream are not.
	Transactions uint64
	// Changes counts the changes of those transactions, by operation, whatever the streams select.
	Changes map[Op]uint64
	// LogBytes is what the log holds now, Streams how many read it, LagBytes how much the slowest has not read.
	LogBytes int64
	Streams  int
	LagBytes int64
	// Ended counts streams that have ended.
	Ended map[EndReason]uint64
	// SpilledBytes counts bytes that went to temporary files: of large transactions, and of the log when its memory is
	// full.
	SpilledBytes uint64
	// SnapshotRows counts rows delivered by snapshots.
	SnapshotRows uint64
	// CheckpointFailures counts attempts to write the checkpoint that have failed.
	CheckpointFailures uint64
	// ExternalCommits counts commits of other connections and processes that a SQLite source has noticed and not captured.
	ExternalCommits uint64
	// Consumers are the named consumers of a source that runs.
	Consumers []ConsumerInfo
	// WALBytes is the size of SQLite's write-ahead log now, RetainedWALBytes what a Postgres slot keeps; nil if the
	// engine has no such thing or it is not known.
	WALBytes, RetainedWALBytes *int64
	// DurableLog is what the log of a durable SQLite source takes now, nil for others.
	DurableLog *DurableLog
}

// DurableLog is what a log takes on the disk.
type DurableLog struct {
	Bytes int64
	Files int
	// Oldest is when the oldest transaction was committed that is kept; zero if none is.
	Oldest time.Time
}

// Meter tells the Stats of all running sources, and of those that have run.
type Meter interface {
	Stats() []Stats
}
