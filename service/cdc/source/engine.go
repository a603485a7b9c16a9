package source

import (
	"context"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/consumer"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

// Engine is what sources of one kind have of their own.
type Engine interface {
	// Info describes the source; the fields that change while it runs are ignored.
	Info() api.SourceInfo
	// Limits returns what bounds its log and its streams, and how often the checkpoint is written.
	Limits() Limits
	// Open makes everything ready for a run of the source, but for capturing. The session must be closed.
	Open(ctx context.Context, run *Run) (Session, error)
}

// Limits is the part of a source's configuration that all engines have.
type Limits struct {
	stream.Limits
	StatusInterval time.Duration
	// AckInterval is how often the positions of consumers are written.
	AckInterval time.Duration
	// SaveTimeout is how long a checkpoint, or what consumers have acknowledged, waits for the database; 0 is a moment, as
	// it is right for one whose writers wait meanwhile.
	SaveTimeout time.Duration
}

// Rewinder is a session that can append again what has left the log.
type Rewinder interface {
	// Rewind calls open when everything behind a position will be appended again, and nothing is appended meanwhile. It
	// returns what open does, or why it cannot be called: a GapError if something behind the position is gone.
	Rewind(ctx context.Context, after api.Position, open func() error) error
	// MissedBehind returns a GapError for a stream that begins behind a position, if it misses something that no change
	// tells.
	MissedBehind(after api.Position) error
}

// Session is one run of a source, as its engine sees it. Methods may be called from any goroutine, but Capture and
// Close are called once, in this order.
type Session interface {
	stream.Engine
	// Saved is the checkpoint that the run goes on from, or why it is not known: then the source begins anew.
	Saved() (Checkpoint, error)
	// Capture calls ready when it captures, and appends what commits to the log of streams until ctx is done or
	// something fails. Nothing is appended after it has returned.
	Capture(ctx context.Context, streams *stream.Streams, ready func()) error
	// Missed returns, once, what the next stream has to be told that begins without a snapshot and not behind a position:
	// it would miss something. The stream has been opened. It is nil if there is nothing.
	Missed() error
	// ListTables lists what the source can capture changes of now, schema.table each.
	ListTables(ctx context.Context) ([]string, error)
	// Check is called each status interval. Its error ends the run.
	Check(ctx context.Context) error
	// Save writes the checkpoint: how far the source is, and what c says. There is nothing to tell if it is not kept at
	// all.
	Save(ctx context.Context, c Checkpoint) error
	// Consumers returns where the positions of named consumers are kept. The error says what the entry lacks; then
	// streams have neither Consumer nor After. It is called once, before Capture.
	Consumers() (consumer.Store, error)
	// Newest is the position behind which a stream begins that is opened now.
	Newest() api.Position
	// Latest is the position behind everything that has committed, as far as the source knows.
	Latest() api.Position
	// Ahead reports whether a position lies behind everything that has committed, so that no change can have it.
	Ahead(p api.Position) bool
	// Lag tells how much lies behind a position, -1 for what is not known.
	Lag(p api.Position) (bytes, transactions int64)
	// Resumes reports whether the next run goes on where the streams of this one were, so that they need not read what
	// is left.
	Resumes() bool
	// Describe sets the fields of info that change while the source runs and are the engine's, Measure the gauges.
	Describe(info *api.SourceInfo)
	Measure(stats *api.Stats)
	// Close lets go of everything.
	Close(ctx context.Context)
}

// Checkpoint is what a source remembers over its runs besides its position.
type Checkpoint struct {
	// Bootstrapped says that a snapshot was delivered in full for which the entry had asked.
	Bootstrapped bool
	// Stopped says that the source was stopped, and has captured nothing since.
	Stopped bool
}
