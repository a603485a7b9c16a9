package cdc

import (
	"context"
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
)

// State is where a source is in its life.
type State string

// The states of a source.
const (
	StateUnknown  State = "unknown"
	StateStarting State = "starting"
	StateRunning  State = "running"
	StateFaulted  State = "faulted"
	StateStopped  State = "stopped"
)

// SourceInfo describes a source at one moment. Fields of the other engine are zero.
type SourceInfo struct {
	ID     registry.ID
	Kind   registry.Kind
	State  State
	Engine string
	// Generation names this run of the source; Epoch counts the runs since the program started.
	Generation string
	Epoch      int
	DBResource registry.ID
	// Tables is what the entry selects; nil means all.
	Tables   []string
	Snapshot bool
	// Slot, Publication, Streaming, Failover and Temporary are those of a Postgres source.
	Slot, Publication              string
	Streaming, Failover, Temporary bool
	// Err is why the source is faulted, nil if it is not.
	Err error
	// LSN is the position of the newest transaction in the log, "" if there is none yet.
	LSN string
	// Cursor is the position behind which a stream begins that is opened now, "" if the source does not run.
	Cursor string
	// CheckpointErr is why the checkpoint could not be written, nil if it was. The source goes on without.
	CheckpointErr error
	Admission     Admission
	Capabilities  Capabilities
	// Consumers are the named consumers of a source that runs.
	Consumers []ConsumerInfo
}

// Admission tells how much of its limits a source uses.
type Admission struct {
	// Active is the number of open streams, Snapshots of those reading a snapshot.
	Active, Snapshots int
	// ReservedBytes is what the streams may make the log keep: the largest max_bytes of those that have caught up,
	// since they share the log, and the sum of those that have begun with a snapshot and not caught up yet.
	ReservedBytes int64
	// Rejected counts the subscriptions refused since the source started.
	Rejected int64
}

// Capabilities tells what a source's engine can do.
type Capabilities struct {
	Snapshot      bool
	CaptureResume bool
	// Replayable is whether streams can begin behind a position of an earlier run, and so whether there are consumers.
	Replayable             bool
	CapturesExternalWrites bool
	BeforeImages           bool
	Coalesced              bool
}

// StreamInfo describes an open stream at one moment.
type StreamInfo struct {
	// ID tells the stream from all others that its source has had since the program started.
	ID     uint64
	Source registry.ID
	// Reader says who reads, "" if that is not known; Consumer is the named consumer that the stream is of, "" for none.
	Reader, Consumer string
	// Tables, Ops and Schema are what it selects; nil means all.
	Tables []string
	Ops    []Op
	Schema bool
	// Since is when it was opened.
	Since time.Time
	// Snapshot says that it reads its snapshot, of which SnapshotRows were read, of SnapshotTotal or about as many. That is 0 while it
	// is not known: rows are counted for snapshots that take longer than a few seconds.
	Snapshot                    bool
	SnapshotRows, SnapshotTotal int64
	// Cursor is the position behind which it reads. LagBytes is how much lies behind it, -1 if that is not known.
	Cursor   string
	LagBytes int64
}

// Inspector tells about sources. Methods may be called from any goroutine.
type Inspector interface {
	// Sources describes all sources, ordered by ID.
	Sources() []SourceInfo
	// Source describes one source; false if there is none of that ID.
	Source(id registry.ID) (SourceInfo, bool)
	// Streams describes all open streams, ordered by source and age.
	Streams() []StreamInfo
	// Tables lists the tables whose changes a running source captures now, qualified by their schema and in order. It asks the
	// database, and waits for it until ctx is done.
	Tables(ctx context.Context, id registry.ID) ([]string, error)
}

// Engine is all sources of an app, whatever captures them.
type Engine interface {
	Inspector
	Streamer
	Consuming
}
