package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

// The headers by which the server puts a batch together: https://github.com/nats-io/nats-architecture-and-design, ADR 50.
const (
	headerBatch       = "Nats-Batch-Id"
	headerBatchIndex  = "Nats-Batch-Sequence"
	headerBatchCommit = "Nats-Batch-Commit"
)

// The codes of the server's errors that mean something here.
const (
	wrongLastID       = 10070
	batchDisabled     = 10174
	batchIncomplete   = 10176
	batchUnsupported  = 10177
	batchTooLarge     = 10199
	batchRepeats      = 10201
	messageTooLarge   = 10054
	headerTooLarge    = 10097
	noRespondersValue = "503"
)

const (
	// mostHeader is how large the headers of a message can be, as the server keeps them.
	mostHeader = 60 << 10
	// added is the room for the headers that a message gets when it is sent, besides the ID of the one before it.
	added = 256
)

// publish publishes records, in order, and returns how many the stream has then.
func (d *Destination) publish(ctx context.Context, records []sink.Record) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	done := 0
	for done < len(records) {
		messages, err := d.messages(records[done:])
		if err != nil {
			return done, err
		}
		published, err := d.send(ctx, messages, isAlone(records[done].Change))
		if published > 0 {
			last := records[done+published-1].Change
			d.last = mark{last.Transaction.Generation, last.Position(), last.Snapshot()}
			done += published
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// messages makes messages of records: as many as are sent at once. The error is a rejection of the first.
func (d *Destination) messages(records []sink.Record) ([]*nats.Msg, error) {
	n := d.extent(records)
	messages := make([]*nats.Msg, 0, n)
	for i := range records[:n] {
		m := d.messageOf(&records[i])
		size := int64(m.Size() + len(m.Header.Get(nats.MsgIdHdr)) + added)
		if size > d.conn.MaxPayload() || size-int64(len(m.Data)) > mostHeader {
			if i > 0 {
				return messages, nil
			}
			return nil, &sink.RejectedError{One: true, Err: errors.New("the message needs " + strconv.FormatInt(size, 10) +
				" bytes, and the server takes " + strconv.FormatInt(d.conn.MaxPayload(), 10) + " (max_payload), of them " + strconv.Itoa(mostHeader) + " in headers")}
		}
		messages = append(messages, m)
	}
	return messages, nil
}

// extent returns how many records are sent at once. Transactions of one message each need no batch, for which the server
// syncs files; others need one that ends with a transaction, if that is possible.
func (d *Destination) extent(records []sink.Record) int {
	if !d.atomic {
		return len(records)
	}
	alone := 0
	for alone < len(records) && isAlone(records[alone].Change) {
		alone++
	}
	if alone > 0 && d.chained {
		return alone
	}
	n := min(len(records), d.most)
	for whole := n; whole > 1; whole-- {
		if records[whole-1].Change.Last {
			return whole
		}
	}
	return n // it is within one transaction
}

// isAlone reports whether a change is all that is delivered of its transaction, or of a snapshot, whose rows are many
// messages anyway.
func isAlone(c *api.Change) bool { return c.Last && c.Index == 0 || c.Snapshot() != "" }

// messageOf makes a message of a record.
func (d *Destination) messageOf(record *sink.Record) *nats.Msg {
	c := record.Change
	m := &nats.Msg{Subject: d.subjects.Of(c), Data: record.Value, Header: make(nats.Header, 8)}
	set := func(name, value string) { m.Header[name] = []string{value} }
	id := d.config.Source.String() + "/" + record.Cursor
	if snapshot := c.Snapshot(); snapshot != "" {
		id += "/" + snapshot
		set(headerSnapshot, snapshot)
	}
	set(nats.MsgIdHdr, id)
	set(headerSink, d.id.String())
	set(headerSource, d.config.Source.String())
	set(headerCursor, record.Cursor)
	set(headerOp, string(c.Op))
	if c.Last {
		set(headerLast, "true")
	}
	switch d.config.Format {
	case api.FormatCloudEvents: // as its binding to NATS demands
		set("Content-Type", "application/cloudevents+json")
	case api.FormatFlat:
		if key := d.encoder.AppendKey(nil, c, false); len(key) > 0 {
			set(headerKey, string(key))
		}
		if key := d.encoder.AppendKey(nil, c, true); len(key) > 0 {
			set(headerNewKey, string(key))
		}
	default:
	}
	return m
}

// send publishes messages at once, and returns how many the stream has then.
func (d *Destination) send(ctx context.Context, messages []*nats.Msg, alone bool) (int, error) {
	batched := d.atomic && d.singly == 0 && (!alone || !d.chained)
	switch {
	case len(messages) > 1 && batched:
		return d.sendBatch(ctx, messages)
	case !d.chained:
		messages = messages[:1]
	case d.singly > 0:
		messages = messages[:min(len(messages), d.singly)]
	}
	sent, err := d.sendChain(ctx, messages)
	d.singly = max(d.singly-sent, 0)
	return sent, err
}

// sendBatch publishes messages of which the stream takes all or none.
func (d *Destination) sendBatch(ctx context.Context, messages []*nats.Msg) (int, error) {
	batch := nuid.Next()
	for i, m := range messages {
		m.Header[headerBatch] = []string{batch}
		m.Header[headerBatchIndex] = []string{strconv.Itoa(i + 1)}
		if i < len(messages)-1 {
			if err := d.conn.PublishMsg(m); err != nil {
				return 0, err
			}
		}
	}
	last := messages[len(messages)-1]
	last.Header[headerBatchCommit] = []string{"1"}
	answer, err := d.conn.RequestMsgWithContext(ctx, last)
	if err != nil {
		return 0, err
	}
	if _, err := judge(answer); err != nil {
		return 0, d.learn(err, len(messages))
	}
	return len(messages), nil
}

// sendChain publishes messages one by one without waiting in between. Each names the one before it, so that the stream
// takes none behind one that it did not take.
func (d *Destination) sendChain(ctx context.Context, messages []*nats.Msg) (int, error) {
	inbox := d.conn.NewInbox()
	answers := make(chan *nats.Msg, len(messages))
	subscription, err := d.conn.ChanSubscribe(inbox+".*", answers)
	if err != nil {
		return 0, err
	}
	defer func() { _ = subscription.Unsubscribe() }() // it fails only without a connection
	for i, m := range messages {
		if i > 0 {
			m.Header[nats.ExpectedLastMsgIdHdr] = messages[i-1].Header[nats.MsgIdHdr]
		}
		m.Reply = inbox + "." + strconv.Itoa(i)
		if err := d.conn.PublishMsg(m); err != nil {
			return 0, err
		}
	}
	repeated, outcomes := make([]uint64, len(messages)), make([]error, len(messages))
	for range messages {
		select {
		case answer := <-answers:
			i, _ := strconv.Atoi(answer.Subject[strings.LastIndexByte(answer.Subject, '.')+1:]) // it is what was sent
			repeated[i], outcomes[i] = judge(answer)
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-d.lost:
			return 0, nats.ErrConnectionClosed
		}
	}
	sent := slices.IndexFunc(outcomes, func(err error) bool { return err != nil })
	if sent < 0 {
		return len(messages), d.checkRepeated(ctx, repeated)
	}
	if err := d.checkRepeated(ctx, repeated[:sent]); err != nil {
		return 0, err
	}
	if rejected, ok := errors.AsType[*sink.RejectedError](outcomes[sent]); ok {
		rejected.One = true
	}
	return sent, d.learn(outcomes[sent], len(messages)-sent)
}

// checkRepeated reports whether messages that the server had already are another sink's, as far as the newest of them is
// still there: it may have been taken, or removed, since.
func (d *Destination) checkRepeated(ctx context.Context, sequences []uint64) error {
	if newest := slices.Max(append(sequences, 0)); newest > 0 {
		m, err := d.message(ctx, storedRequest{Sequence: newest})
		if err == nil && m.Header.Get(headerSink) != d.id.String() {
			return errs.New(errs.Invalid, "%s has messages with the IDs of this sink that are of the sink %q: another sink of the "+
				"source %q publishes there; give each a stream of its own", d.shown, m.Header.Get(headerSink), d.config.Source)
		}
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
	}
	return nil
}

// answer is what the server says of a message.
type answer struct {
	jetstream.PubAck
	Error *jetstream.APIError `json:"error"`
}

// judge returns what an answer says, nil if the server has the message, and where that is if it had it before.
func judge(m *nats.Msg) (repeated uint64, err error) {
	if m.Header.Get("Status") == noRespondersValue {
		return 0, nats.ErrNoResponders
	}
	var a answer
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return 0, err
	}
	switch {
	case a.Error == nil && a.Duplicate:
		return a.Sequence, nil
	case a.Error == nil:
		return 0, nil
	case a.Error.ErrorCode == messageTooLarge, a.Error.ErrorCode == headerTooLarge:
		return 0, &sink.RejectedError{Err: a.Error}
	default:
		return 0, a.Error
	}
}

// learn changes how the next n messages are published if an answer demands that.
func (d *Destination) learn(err error, n int) error {
	refused, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || errors.As(err, new(*sink.RejectedError)) {
		return err
	}
	switch refused.ErrorCode {
	case batchDisabled, batchUnsupported:
		d.atomic = false
	case batchIncomplete, batchRepeats: // of which message that is true, and why, the server says only without a batch
		d.singly = n
	case batchTooLarge:
		d.most = max(d.most/2, 1)
	case wrongLastID:
		d.chained = false
	default:
		return err
	}
	return errAgain
}
