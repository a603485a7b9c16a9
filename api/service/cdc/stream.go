package cdc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/unit"
)

// Streamer opens streams. Methods may be called from any goroutine.
type Streamer interface {
	// Check reports what is wrong with a subscription before it is made: NotFound for an unknown source,
	// Invalid for options that the source does not accept.
	Check(id registry.ID, opts StreamOptions) error
	// Subscribe opens a stream. It delivers every transaction that commits after Subscribe has returned, or, with a
	// snapshot, after the moment that the snapshot shows. Besides the errors of Check it is Unavailable when the source
	// is not running, has no room for another stream, or cannot begin the snapshot: while a transaction is open on a
	// SQLite database, Subscribe waits for its end until ctx is done.
	Subscribe(ctx context.Context, id registry.ID, opts StreamOptions) (Stream, error)
}

// Stream delivers the changes of one source to one reader. Next, Poll and Ready are for one goroutine at a time;
// Close, Err and Ack may be called from any. A reader that falls too far behind is cut off with an error; the
// writer and other streams never wait for it.
type Stream interface {
	// Next waits for the next change. It returns io.EOF after Close, the cause if the stream has ended for
	// another reason, and ctx's error if ctx is done first, which does not end the stream.
	Next(ctx context.Context) (*Change, error)
	// Poll returns the next change if there is one by now, else nil, nil; its errors are those of Next.
	Poll() (*Change, error)
	// Ready returns a channel that receives a value when Poll may have something new: a change, or the end of the
	// stream, by Close too.
	Ready() <-chan struct{}
	// Err returns why the stream has ended, nil while it is open and after Close.
	Err() error
	// Ack acknowledges all changes of a stream with ManualAck or a Consumer up to a position that it has delivered. The
	// error is Invalid for a later position and for other streams, and Unavailable for one of a consumer that has
	// ended.
	Ack(position Position) error
	// Close ends the stream. It waits for a call of Next or Poll that is at work, and for the reading of a snapshot. It
	// is idempotent.
	Close()
}

// Abandoner is a Stream that can be closed by another than its reader.
type Abandoner interface {
	// Abandon is Close for when the reader has ended before its stream: what it leaves unread is told in the log of the
	// program, unless it comes again.
	Abandon()
}

// Snapshotting is a Stream that may begin with a snapshot.
type Snapshotting interface {
	// Start returns where its snapshot begins, zero if it has none.
	Start() Position
	// EndSnapshot ends the stream with err if its snapshot is being read, which takes one of few places, and reports
	// whether it was. It may be called from any goroutine.
	EndSnapshot(err error) bool
}

// Abandon closes a stream whose reader has ended.
func Abandon(s Stream) {
	if a, ok := s.(Abandoner); ok {
		a.Abandon()
		return
	}
	s.Close()
}

// The bounds of StreamOptions.
const (
	DefaultBuffer   = 64
	MaxBuffer       = 65536
	DefaultMaxBytes = 16 * unit.MiB
)

// StreamOptions says what a stream delivers and how far it may fall behind. The zero value means: all changes,
// default limits.
type StreamOptions struct {
	// Tables selects tables, bare or qualified, in any case; nil means all that the source captures.
	Tables []string
	// Ops selects operations among Ops(); nil means all.
	Ops []Op
	// Schema is whether OpSchema is delivered too, whatever Ops selects.
	Schema bool
	// Start says where the stream begins.
	Start Start
	// Consumer names the consumer that the stream is of; "" means none. Its first stream begins as the other options
	// say, the next ones behind what it has acknowledged by Ack, over restarts. A snapshot that it has not acknowledged
	// to the last row begins anew. There is one stream of a consumer at a time, a second one is a Conflict.
	Consumer string
	// Reader says who reads, in the words of messages. Owner names the reader over its restarts, "" if it has none: what its
	// streams miss between two lives is told.
	Reader, Owner string
	// Held is for a reader that handles changes behind the back of the goroutine that reads them: the consumer is the
	// stream's until that is closed, also when it has told its end, and is not forgotten meanwhile.
	Held bool
	// Markers is whether OpBegin and OpEnd are delivered around a snapshot.
	Markers bool
	// ManualAck is whether changes are acknowledged by Ack alone. Otherwise a transaction is acknowledged when its last
	// change is handed over, and a snapshot when its reader comes back after the last row, or closes the stream.
	ManualAck bool
	// Buffer is about how many rows of a snapshot are read ahead of the reader, 1 to MaxBuffer; 0 means DefaultBuffer.
	// Changes of the log are not decoded ahead.
	Buffer int
	// MaxBytes is how much of the log may be unread before the stream is ended, at most the source's log_bytes; 0 means
	// DefaultMaxBytes, or log_bytes if that is less. A stream with a snapshot may then fall behind further until it has
	// caught up: that is kept for it outside the log, if the engine can.
	MaxBytes unit.Size
}

// Resolved returns the options with defaults filled in for a source of logBytes, or an Invalid error that names the
// option.
func (o StreamOptions) Resolved(logBytes unit.Size) (StreamOptions, error) {
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = min(DefaultMaxBytes, logBytes)
	}
	after, resumes := o.Start.After()
	switch {
	case o.Buffer < 1 || o.Buffer > MaxBuffer:
		return o, invalid("buffer is %d, must be 1 to %d", o.Buffer, MaxBuffer)
	case o.MaxBytes < 1 || o.MaxBytes > logBytes:
		return o, invalid("max_bytes is %d, must be 1 to the source's log_bytes (%d)", int64(o.MaxBytes), int64(logBytes))
	case o.Tables != nil && len(o.Tables) == 0:
		return o, invalid("tables is empty: name a table, or leave it out for all")
	case o.Ops != nil && len(o.Ops) == 0:
		return o, invalid("ops is empty: name an operation, or leave it out for all")
	case slices.Contains(o.Tables, ""):
		return o, invalid("tables has an empty name")
	case o.Consumer != "" && !consumerName.MatchString(o.Consumer):
		return o, invalid("consumer is %q: use letters, digits and . _ : / -, 128 at most", o.Consumer)
	case o.Consumer != "" && resumes:
		return o, invalid("consumer and after are both given: a consumer goes on behind what it has acknowledged, leave out one of them")
	case resumes && after.InSnapshot():
		return o, invalid("after lies within a snapshot, which no stream can go on with: begin anew with a snapshot, " +
			"and keep the cursor of its last row")
	}
	for _, op := range o.Ops {
		if !slices.Contains(Ops(), op) {
			return o, invalid("ops has %q, which is not known: use %s", op, registry.Or(Ops()))
		}
	}
	return o, nil
}

func invalid(format string, args ...any) error {
	return errs.Wrap(errs.Invalid, fmt.Errorf(format, args...))
}

// All returns the changes of a stream as they come, for a range statement. The last pair has the error that Next has
// returned and no change: why the stream has ended, or ctx's error. After Close there is no such pair. A range that was
// left, or whose ctx was done, can be followed by another, which goes on behind the last change.
func All(ctx context.Context, stream Stream) iter.Seq2[*Change, error] {
	return func(yield func(*Change, error) bool) {
		for {
			c, err := stream.Next(ctx)
			if errors.Is(err, io.EOF) || !yield(c, err) || err != nil {
				return
			}
		}
	}
}
