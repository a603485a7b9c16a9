package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

// The headers of messages besides those of the server.
const (
	headerSink   = "Wippy-Sink"
	headerSource = "Wippy-Source"
	headerCursor = "Wippy-Cursor"
	headerOp     = "Wippy-Op"
	// headerLast is on the last message of a transaction.
	headerLast = "Wippy-Last"
	// headerSnapshot names the snapshot that a message is of: one that begins anew has another name.
	headerSnapshot = "Wippy-Snapshot"
	// headerKey is the key of the row, in the format flat, and headerNewKey that after an update that has changed it.
	headerKey    = "Wippy-Key"
	headerNewKey = "Wippy-New-Key"
)

// subjectOverlap is the code of the server's error for a stream whose subjects another one has.
const subjectOverlap = 10065

// find looks for the stream, and creates it if it does not exist.
func (d *Destination) find(ctx context.Context) error {
	patterns := d.subjects.patterns()
	stream, err := d.js.Stream(ctx, d.config.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = d.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: d.config.Stream, Subjects: patterns, Storage: jetstream.FileStorage, AllowAtomicPublish: true,
			Description: "changes of " + d.config.Source.String(),
		})
		if err == nil {
			d.logger.InfoContext(ctx, "the stream was created", "stream", d.config.Stream, "subjects", strings.Join(patterns, ", "))
		}
	}
	if err != nil {
		return d.unusable(err)
	}
	config := &stream.CachedInfo().Config
	if missing := uncovered(patterns, config.Subjects); len(missing) > 0 {
		return errs.New(errs.NotFound, "%s does not take the subjects %s: add them to the stream, or change subject of the sink",
			d.shown, strings.Join(missing, ", "))
	}
	if !config.AllowAtomicPublish && (d.atomic || d.stream == nil) {
		d.logger.InfoContext(ctx, "the stream takes no batches, so that a reader may see a part of a transaction: set allow_atomic of the stream, on a server "+
			"of version 2.12 or newer", "stream", d.config.Stream)
	}
	d.stream, d.atomic = stream, config.AllowAtomicPublish
	return nil
}

// unusable says what to do about a stream that cannot be had.
func (d *Destination) unusable(err error) error {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return errs.New(errs.NotFound, "%s: %w: start the server with JetStream", d.shown, err)
	case ok && refused.ErrorCode == subjectOverlap:
		return errs.New(errs.NotFound, "%s cannot be created: %w: another stream takes these subjects; name that one, or change subject of the sink",
			d.shown, err)
	case ok && refused.Code >= 400 && refused.Code < 500:
		return errs.New(errs.NotFound, "%s cannot be used: %w; create it yourself, with the subjects %s",
			d.shown, err, strings.Join(d.subjects.patterns(), ", "))
	default:
		return err
	}
}

// mark is how far a stream has the changes of the sink.
type mark struct {
	generation string
	position   api.Position
	// snapshot names the snapshot that the message is of, "" if it is of none.
	snapshot string
}

// mostForeign is how many messages of others are passed over in search of the newest of the sink.
const mostForeign = 1000

// look finds out which is the newest message of the sink that the stream has.
func (d *Destination) look(ctx context.Context) error {
	d.last = mark{}
	sequence := uint64(0)
	var newest *stored
	for _, pattern := range d.subjects.patterns() {
		found, err := d.message(ctx, storedRequest{LastOf: pattern})
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
		case err != nil:
			return err
		case found.Sequence > sequence:
			sequence, newest = found.Sequence, found
		}
	}
	for range mostForeign {
		if newest == nil {
			return nil
		}
		if d.isOwn(newest) {
			return d.remember(newest)
		}
		var err error
		if newest, sequence, err = d.before(ctx, sequence); err != nil {
			return err
		}
	}
	d.logger.WarnContext(ctx, "the newest messages of the stream are of others, so that it is not known which of the sink it has: messages may come again that are older than its "+
		"duplicate window; give the sink a stream of its own", "stream", d.config.Stream, "messages", mostForeign)
	return nil
}

// storedRequest asks for a message of a stream: that of a sequence, or the newest of a subject.
type storedRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	LastOf   string `json:"last_by_subj,omitempty"`
}

// stored is a message of a stream.
type stored struct {
	Sequence uint64
	Header   nats.Header
}

// message returns a message as the leader of the stream has it. The client would ask any replica of a stream with
// allow_direct, and one that is behind does not know the newest messages.
func (d *Destination) message(ctx context.Context, wanted storedRequest) (*stored, error) {
	question, err := json.Marshal(wanted)
	if err != nil {
		return nil, err
	}
	m, err := d.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+d.config.Stream, question)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Sequence uint64 `json:"seq"`
			Header   []byte `json:"hdrs"`
		} `json:"message"`
	}
	switch err := json.Unmarshal(m.Data, &answer); {
	case err != nil:
		return nil, err
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, jetstream.ErrMsgNotFound
	case answer.Error != nil:
		return nil, answer.Error
	}
	found := &stored{Sequence: answer.Message.Sequence}
	if len(answer.Message.Header) > 0 {
		found.Header, err = nats.DecodeHeadersMsg(answer.Message.Header)
	}
	return found, err
}

// before returns the message before a sequence, nil if there is none; one that was deleted is passed over.
func (d *Destination) before(ctx context.Context, sequence uint64) (*stored, uint64, error) {
	for sequence--; sequence > 0; sequence-- {
		found, err := d.message(ctx, storedRequest{Sequence: sequence})
		switch {
		case err == nil:
			return found, sequence, nil
		case !errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, 0, err
		case sequence <= d.stream.CachedInfo().State.FirstSeq:
			return nil, 0, nil
		}
	}
	return nil, 0, nil
}

func (d *Destination) isOwn(m *stored) bool {
	return m.Header.Get(headerSink) == d.id.String() && m.Header.Get(headerSource) == d.config.Source.String()
}

// remember notes what the stream has.
func (d *Destination) remember(m *stored) error {
	generation, p, err := api.ParseCursor(m.Header.Get(headerCursor))
	if err != nil {
		return errs.New(errs.Invalid, "%s: message %d: the header %s: %w", d.shown, m.Sequence, headerCursor, err)
	}
	d.last = mark{generation, p, m.Header.Get(headerSnapshot)}
	return nil
}

// there returns how many records, from the first on, the stream has already.
func (d *Destination) there(records []sink.Record) int {
	for i := range records {
		if !d.has(records[i].Change) {
			return i
		}
	}
	return len(records)
}

// has reports whether the stream has a change. A row of a snapshot counts if it is of the same one: the rows of another
// may be in another order.
func (d *Destination) has(c *api.Change) bool {
	if c.Transaction.Generation != d.last.generation || c.Position().Compare(d.last.position) > 0 {
		return false
	}
	snapshot := c.Snapshot()
	return snapshot == "" || snapshot == d.last.snapshot
}
