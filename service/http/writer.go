package http

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/inspect"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

const (
	// keepAlive is how often something is sent when there is no change.
	keepAlive = 15 * time.Second
	// A write takes so much, and a buffer that has grown larger than the other is given back.
	chunk   = 32 << 10
	largest = 256 << 10
	// stuckAfter is how long a write takes before it is looked whether the stream goes on, and farewell how long it may
	// take from then on if it does not.
	stuckAfter = time.Second
	farewell   = 5 * time.Second
	// Looks at a write that is stuck, one each stuckAfter, after which a stream that reads its snapshot is ended.
	snapshotLooks = 30
	// silence is how long a client may say nothing about what was sent to it until it is taken for gone.
	silence = 30 * time.Second
	// comeBack is how long browsers wait before they try again, in milliseconds.
	comeBack = "retry: 2000\n\n"
)

// delivery sends the changes of a stream to a client. It belongs to the goroutine of its connection, but for generation and
// stream.Err.
type delivery struct {
	*wanted
	w          http.ResponseWriter
	connection *http.ResponseController
	encoder    api.Encoder
	stream     api.Stream
	// start is a cursor behind which the stream begins, "" if that is not known.
	start string
	// generation is that of the changes, nil before the first.
	generation atomic.Pointer[string]
	buffer     []byte
	row        []byte
	stuck      *time.Timer
	looks      atomic.Int32
	// conn is what w writes to, silence how long the client may keep still, and alone the timer of that.
	conn    net.Conn
	silence time.Duration
	alone   *time.Timer
	logger  *slog.Logger
}

// begin sends the head of the answer: from then on the client misses nothing. over must be called at the end.
func (d *delivery) begin(ctx context.Context) (over func()) {
	h := d.w.Header()
	h.Set("Connection", "close")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	h.Set("Content-Type", "application/x-ndjson")
	if d.events {
		h.Set("Content-Type", "text/event-stream")
		d.buffer = append(d.buffer, comeBack...)
		if d.start != "" {
			d.buffer = append(d.buffer, "id: "+d.start+"\n\n"...)
		}
	}
	d.w.WriteHeader(http.StatusOK)
	_ = d.connection.SetWriteDeadline(time.Time{})
	d.stuck = time.AfterFunc(stuckAfter, d.look)
	d.alone = time.AfterFunc(d.silence/2, d.listen)
	unhook := context.AfterFunc(ctx, func() { _ = d.connection.SetWriteDeadline(time.Now()) })
	_ = d.flush() // run notices
	_ = d.connection.Flush()
	return func() {
		unhook()
		d.stuck.Stop()
		d.alone.Stop()
	}
}

// run sends changes until the stream or ctx ends, or the client cannot be written to.
func (d *delivery) run(ctx context.Context) {
	quiet := time.NewTicker(keepAlive)
	defer quiet.Stop()
	for ctx.Err() == nil {
		c, err := d.stream.Poll()
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			d.end(err)
			return
		case c != nil:
			if err := d.add(c); err != nil {
				d.end(err)
				return
			}
			if len(d.buffer) < chunk {
				continue
			}
		}
		if d.flush() != nil {
			return
		}
		if c != nil {
			continue
		}
		select {
		case <-d.stream.Ready():
		case <-quiet.C:
			d.buffer = append(d.buffer, d.nothing()...)
		case <-ctx.Done():
		}
	}
}

// nothing is what is sent while there is no change.
func (d *delivery) nothing() string {
	if d.events {
		return ":\n\n"
	}
	return "\n"
}

// add adds a change to what is sent next.
func (d *delivery) add(c *api.Change) (err error) {
	if d.generation.Load() == nil {
		d.generation.Store(&c.Transaction.Generation)
	}
	before := len(d.buffer)
	if d.events {
		d.buffer = append(c.AppendCursor(append(d.buffer, "id: "...)), "\ndata: "...)
	}
	if err = d.encode(c); err != nil {
		d.buffer = d.buffer[:before]
		return err
	}
	if d.events {
		d.buffer = append(d.buffer, '\n')
	}
	d.buffer = append(d.buffer, '\n')
	return nil
}

// encode adds the text of a change. A flat row alone would not say which one it is, nor a delete anything.
func (d *delivery) encode(c *api.Change) (err error) {
	if d.format != api.FormatFlat {
		d.buffer, err = d.encoder.AppendChange(d.buffer, d.format, c)
		return err
	}
	if d.row, err = d.encoder.AppendChange(d.row[:0], d.format, c); err == nil {
		d.buffer = api.AppendEnvelope(d.buffer, d.encoder, c.Cursor(), c, d.row)
	}
	return err
}

// end says why the stream has ended, as the last thing that is sent.
func (d *delivery) end(err error) {
	if gap, ok := errors.AsType[*api.GapError](err); ok {
		why := inspect.FailureOf(err)
		why.Details = nil // it is what follows
		d.tell("gap", inspect.Gap{
			Failure: *why, Cause: gap.Cause, Source: gap.Source.String(),
			After: gap.After.Cursor(gap.Generation), Before: gap.Before.Cursor(gap.Generation),
		})
	} else {
		d.tell("end", inspect.FailureOf(err))
	}
	_ = d.flush() // the client has gone
}

// tell adds an event that is no change.
func (d *delivery) tell(event string, data any) {
	content, err := json.Marshal(data)
	if err != nil { // an error's details are strings, numbers and booleans
		content, _ = json.Marshal(inspect.FailureOf(errs.New(errs.Internal, "http: %w", err)))
	}
	if d.events {
		d.buffer = append(append(d.buffer, "event: "+event+"\ndata: "...), content...)
		d.buffer = append(d.buffer, "\n\n"...)
		return
	}
	d.buffer = append(append(d.buffer, `{"$event":"`+event+`",`...), content[1:]...)
	d.buffer = append(d.buffer, '\n')
}

// flush sends what was added.
func (d *delivery) flush() error {
	if len(d.buffer) == 0 {
		return nil
	}
	d.looks.Store(0)
	d.stuck.Reset(stuckAfter)
	_, err := d.w.Write(d.buffer)
	if err == nil {
		err = d.connection.Flush()
	}
	d.stuck.Stop()
	if d.buffer = d.buffer[:0]; cap(d.buffer) > largest {
		d.buffer = nil
	}
	return err
}

// look gives up a write that is stuck when the stream has ended: its client reads nothing, and could not be told. A stream that
// reads its snapshot is ended then: others wait for its place.
func (d *delivery) look() {
	if s, ok := d.stream.(api.Snapshotting); ok && d.looks.Add(1) >= snapshotLooks {
		s.EndSnapshot(errs.New(errs.Unavailable, "http: the client has read nothing for %s, and others wait to read a snapshot: begin anew, "+
			"and read on", snapshotLooks*stuckAfter))
	}
	if d.stream != nil && d.stream.Err() == nil {
		d.stuck.Reset(stuckAfter)
		return
	}
	_ = d.connection.SetWriteDeadline(time.Now().Add(farewell))
}

// listen cuts a client off that has gone without a word: its stream, and the name of its consumer, are free for the next one.
func (d *delivery) listen() {
	if !vanished(d.conn, d.silence) {
		d.alone.Reset(d.silence / 2)
		return
	}
	d.logger.Info("a client has not answered for long and is taken for gone", "source", d.source.String(), "reader", d.opts.Reader,
		"consumer", d.opts.Consumer, "silence", d.silence)
	_ = d.conn.Close() // which ends the request
}
