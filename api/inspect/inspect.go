// Package inspect defines the answers of a running app to programs outside it, as JSON. docs/http.md tells what the fields
// mean; a test compares the two.
package inspect

import (
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Status is all there is to know of an app at one moment.
type Status struct {
	App       App        `json:"app"`
	Ready     bool       `json:"ready"`
	Entries   []Entry    `json:"entries"`
	Sources   []Source   `json:"sources"`
	Streams   []Stream   `json:"streams"`
	Consumers []Consumer `json:"consumers"`
	Sinks     []Sink     `json:"sinks"`
}

// App is the run of the app that answers.
type App struct {
	Dir       string    `json:"dir"`
	PID       int       `json:"pid"`
	Reloads   bool      `json:"reloads"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
}

// Entry is an entry that is to run.
type Entry struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	State    string    `json:"state"`
	Since    time.Time `json:"since,omitzero"`
	Attempts int       `json:"attempts"`
	Error    *Failure  `json:"error"`
}

// SourceList is the answer of /api/sources.
type SourceList struct {
	Sources []Source `json:"sources"`
}

// Source is a source of changes.
type Source struct {
	ID              string       `json:"id"`
	Kind            string       `json:"kind"`
	State           api.State    `json:"state"`
	Error           *Failure     `json:"error"`
	Engine          string       `json:"engine"`
	DBResource      string       `json:"db_resource,omitempty"`
	Generation      string       `json:"generation,omitempty"`
	Epoch           int          `json:"epoch"`
	LSN             string       `json:"lsn,omitempty"`
	Cursor          string       `json:"cursor,omitempty"`
	Tables          []string     `json:"tables"`
	Snapshot        bool         `json:"snapshot"`
	Slot            string       `json:"slot,omitempty"`
	Publication     string       `json:"publication,omitempty"`
	CheckpointError *Failure     `json:"checkpoint_error"`
	Admission       Admission    `json:"admission"`
	Capabilities    Capabilities `json:"capabilities"`
	Stats           *Stats       `json:"stats"`
}

// Admission is how much of its limits a source uses.
type Admission struct {
	Active        int   `json:"active"`
	Snapshots     int   `json:"snapshots"`
	ReservedBytes int64 `json:"reserved_bytes"`
	Rejected      int64 `json:"rejected"`
}

// Capabilities is what a source can do.
type Capabilities struct {
	Snapshot               bool `json:"snapshot"`
	CaptureResume          bool `json:"capture_resume"`
	Replayable             bool `json:"replayable"`
	CapturesExternalWrites bool `json:"captures_external_writes"`
	BeforeImages           bool `json:"before_images"`
	Coalesced              bool `json:"coalesced"`
}

// Stats are the figures of a source.
type Stats struct {
	Transactions       uint64                   `json:"transactions"`
	Changes            map[api.Op]uint64        `json:"changes"`
	LogBytes           int64                    `json:"log_bytes"`
	Streams            int                      `json:"streams"`
	LagBytes           int64                    `json:"lag_bytes"`
	Ended              map[api.EndReason]uint64 `json:"ended"`
	SpilledBytes       uint64                   `json:"spilled_bytes"`
	SnapshotRows       uint64                   `json:"snapshot_rows"`
	CheckpointFailures uint64                   `json:"checkpoint_failures"`
	WALBytes           *int64                   `json:"wal_bytes"`
	RetainedWALBytes   *int64                   `json:"retained_wal_bytes"`
}

// TableList is the answer of /api/sources/{id}/tables.
type TableList struct {
	Tables []string `json:"tables"`
}

// StreamList is the answer of /api/streams.
type StreamList struct {
	Streams []Stream `json:"streams"`
}

// Stream is an open stream.
type Stream struct {
	ID           string    `json:"id"`
	Source       string    `json:"source"`
	Reader       string    `json:"reader,omitempty"`
	Consumer     string    `json:"consumer,omitempty"`
	Tables       []string  `json:"tables"`
	Ops          []api.Op  `json:"ops"`
	Schema       bool      `json:"schema"`
	Since        time.Time `json:"since"`
	Snapshot     bool      `json:"snapshot"`
	SnapshotRows int64     `json:"snapshot_rows"`
	// SnapshotTotal is how many rows there are, or about as many, nil if that is not known.
	SnapshotTotal *int64 `json:"snapshot_total"`
	Cursor        string `json:"cursor"`
	LagBytes      *int64 `json:"lag_bytes"`
}

// ConsumerList is the answer of /api/consumers.
type ConsumerList struct {
	Consumers []Consumer `json:"consumers"`
}

// Consumer is a named consumer of a source.
type Consumer struct {
	Source          string    `json:"source"`
	Name            string    `json:"name"`
	Cursor          string    `json:"cursor"`
	AckedAt         time.Time `json:"acked_at"`
	Snapshot        bool      `json:"snapshot"`
	Connected       bool      `json:"connected"`
	Reader          string    `json:"reader,omitempty"`
	LagBytes        *int64    `json:"lag_bytes"`
	LagTransactions *int64    `json:"lag_transactions"`
}

// SinkList is the answer of /api/sinks.
type SinkList struct {
	Sinks []Sink `json:"sinks"`
}

// Sink is a sink.
type Sink struct {
	ID              string     `json:"id"`
	Kind            string     `json:"kind"`
	Source          string     `json:"source"`
	Destination     string     `json:"destination"`
	Format          api.Format `json:"format"`
	State           api.State  `json:"state"`
	Since           time.Time  `json:"since,omitzero"`
	Error           *Failure   `json:"error"`
	Attempts        int        `json:"attempts"`
	Cursor          string     `json:"cursor,omitempty"`
	Published       uint64     `json:"published"`
	Failed          uint64     `json:"failed"`
	Retried         uint64     `json:"retried"`
	Parked          uint64     `json:"parked"`
	LagBytes        *int64     `json:"lag_bytes"`
	LagTransactions *int64     `json:"lag_transactions"`
	Delay           Delay      `json:"delay"`
}

// Delay tells of how many changes it was measured how long they took, and how long all together.
type Delay struct {
	Count   uint64  `json:"count"`
	Seconds float64 `json:"seconds"`
}

// Readiness is the answer of /readyz.
type Readiness struct {
	Ready bool `json:"ready"`
	// NotRunning lists the entries that are to run and do not.
	NotRunning []Entry `json:"not_running"`
}

// Position is what ack and reset read: a cursor, or for reset where else to go on.
type Position struct {
	Cursor string `json:"cursor,omitempty"`
	// To is live or snapshot.
	To string `json:"to,omitempty"`
}

// Done is the answer to what has no other.
type Done struct {
	Done bool `json:"done"`
}

// Gap is the data of an event gap.
type Gap struct {
	Failure
	Cause  api.GapCause `json:"cause"`
	Source string       `json:"source"`
	// Nothing is missing up to After, and nothing behind Before.
	After  string `json:"after"`
	Before string `json:"before"`
}

// Problem is the answer to a request that fails.
type Problem struct {
	Error *Failure `json:"error"`
}

// Failure is an error.
type Failure struct {
	Kind      errs.Kind      `json:"kind"`
	Message   string         `json:"message"`
	Retryable bool           `json:"retryable"`
	Details   map[string]any `json:"details,omitempty"`
}

// FailureOf returns what clients see of an error, nil for none.
func FailureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	return &Failure{Kind: errs.KindOf(err), Message: err.Error(), Retryable: errs.Retryable(err), Details: errs.DetailsOf(err)}
}
