package cdc

import (
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
)

// SinkInfo describes a sink at one moment: a consumer of a source, named by its entry ID, that delivers what it reads to a
// destination outside the program.
type SinkInfo struct {
	ID     registry.ID
	Kind   registry.Kind
	Source registry.ID
	// Destination says where it delivers, without anything secret.
	Destination string
	Format      Format
	State       State
	// Since is when State was entered.
	Since time.Time
	// Err is why the sink is faulted or, while it runs, why the last attempt to deliver has failed; nil if it has not.
	Err error
	// Attempts counts the failed attempts to deliver since the last one that has succeeded.
	Attempts int
	// Cursor is that of the last change that the destination has confirmed, or that was parked, in this run of the
	// program; "" if there is none yet.
	Cursor string
	Stats  SinkStats
}

// SinkStats are the counters and gauges of one sink. Counters go on over restarts of the sink, and begin at 0 with the
// program.
type SinkStats struct {
	// Published counts the changes that the destination has confirmed, Failed the attempts to deliver that have failed,
	// Retried the attempts that followed one of those.
	Published, Failed, Retried uint64
	// Parked is how many changes are put aside, as far as the sink has seen.
	Parked uint64
	// Delay is how long it took from commits to their confirmation.
	Delay Histogram
	// LagBytes and LagTransactions are how much of the source the sink has not delivered, -1 if that is not known.
	LagBytes, LagTransactions int64
}

// Histogram counts durations by buckets.
type Histogram struct {
	// Bounds are the upper bounds of the buckets in seconds, in ascending order; Counts has how many lie in each, and at
	// its end how many lie above all bounds.
	Bounds []float64
	Counts []uint64
	// Sum is that of all in seconds.
	Sum float64
}

// SinkInspector tells about sinks. Methods may be called from any goroutine.
type SinkInspector interface {
	// Sinks describes all sinks, ordered by ID.
	Sinks() []SinkInfo
}
