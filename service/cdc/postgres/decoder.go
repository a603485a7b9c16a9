package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

const (
	// What is kept in memory of all transactions that have not committed; beyond it the largest spills.
	openMemory = int64(64 * unit.MiB)
	// What is kept of one transaction at all.
	maxTransaction = int64(8 * unit.GiB)
	// Transactions up to this size are copied out of a buffer that is used again.
	smallTransaction = int64(64 * unit.KiB)
)

// building is a transaction that is being received.
type building struct {
	*transaction
	// slots are those of the relations, by the server's ID.
	slots map[uint32]uint32
	// own are descriptions that came inside this transaction while it was streamed: others do not know them yet.
	own map[uint32]*relation
	// lost is why its records were dropped, nil if they were not.
	lost error
}

// decoder sorts the messages of pgoutput into transactions. It is used by one goroutine.
type decoder struct {
	// describe looks a relation up in the catalogs, once they show what transaction xid has done to it; if they do not yet,
	// the details are provisional.
	describe func(ctx context.Context, xid uint32, m *pglogrepl.RelationMessage) (details, error)
	// commit is handed each transaction that has committed, in order; lost is why its records are gone, if they are.
	commit func(ctx context.Context, tx *transaction, lost error) error
	// limit is openMemory, but in tests, and most what is kept of one transaction at all.
	limit, most int64

	relations map[uint32]*relation
	// provisional says that some of relations are.
	provisional bool
	// current is a transaction that is sent as a whole, stream the one that is being streamed, streams all of those by
	// their IDs.
	current *building
	stream  *building
	streams map[uint32]*building
	scratch []byte
	memory  int64
}

func newDecoder(most int64) *decoder {
	return &decoder{
		limit: openMemory, most: most,
		relations: make(map[uint32]*relation), streams: make(map[uint32]*building),
	}
}

// close drops what has not committed.
func (d *decoder) close() {
	if d.current != nil {
		d.current.drop()
	}
	for _, b := range d.streams {
		b.drop()
	}
}

func (d *decoder) begin(xid uint32) *building {
	return &building{transaction: &transaction{xid: xid}, slots: make(map[uint32]uint32)}
}

// decode takes one message, whose memory it does not keep.
func (d *decoder) decode(ctx context.Context, data []byte) error {
	if len(data) == 0 {
		return errMessage(0)
	}
	switch kind := data[0]; kind {
	case 'I', 'U', 'D':
		return d.change(kind, data[1:])
	case 'T':
		return d.truncate(data[1:])
	case 'R':
		return d.relation(ctx, data[1:])
	case 'B', 'C', 'S', 'E', 'c', 'A':
		return d.control(ctx, data)
	default:
		return nil // origins, types and logical messages
	}
}

func errMessage(kind byte) error {
	return fmt.Errorf("the server sent a message %q out of place", kind)
}

// into returns the transaction that a message belongs to, the sub-transaction, and the rest of the message.
func (d *decoder) into(data []byte) (b *building, xid uint32, rest []byte, err error) {
	switch {
	case d.stream != nil && len(data) >= 4:
		return d.stream, binary.BigEndian.Uint32(data), data[4:], nil
	case d.stream == nil && d.current != nil:
		return d.current, 0, data, nil
	default:
		return nil, 0, nil, errMessage('I')
	}
}

func (d *decoder) change(op byte, data []byte) error {
	b, xid, rest, err := d.into(data)
	if err != nil {
		return err
	}
	if len(rest) < 4 {
		return errMessage(op)
	}
	return d.add(b, binary.BigEndian.Uint32(rest), xid, op, rest[4:])
}

// truncate adds one record for each table.
func (d *decoder) truncate(data []byte) error {
	b, xid, rest, err := d.into(data)
	if err != nil {
		return err
	}
	if len(rest) < 5 || len(rest)-5 < 4*int(binary.BigEndian.Uint32(rest)) {
		return errMessage('T')
	}
	for i := range int(binary.BigEndian.Uint32(rest)) {
		if err := d.add(b, binary.BigEndian.Uint32(rest[5+4*i:]), xid, 'T', nil); err != nil {
			return err
		}
	}
	return nil
}

// ignores reports whether changes of a relation are not kept.
func (b *building) ignores(slot uint32) bool { return b.lost != nil || b.relation(slot).internal() }

// add adds a record to b.
func (d *decoder) add(b *building, id, xid uint32, op byte, data []byte) error {
	slot, known := b.slots[id]
	if !known {
		rel := b.own[id]
		if rel == nil {
			rel = d.relations[id]
		}
		if rel == nil {
			return fmt.Errorf("the server sent a change of relation %d without describing it", id)
		}
		slot = uint32(len(b.touched)) //nolint:gosec // a transaction uses few relations
		b.touched = append(b.touched, log.Touched{ID: slot, Shape: rel})
		b.slots[id] = slot
	}
	if b.ignores(slot) {
		return nil
	}
	before := int64(len(b.memory))
	code := codeOf(op)
	b.record(slot, xid, code, data)
	d.memory += int64(len(b.memory)) - before
	if d.memory > d.limit {
		d.spill()
	}
	if b.size() > d.most {
		d.lose(b, fmt.Errorf("transaction %d is larger than %s", b.xid, unit.Size(d.most)))
	}
	return nil
}

// spill makes room by moving the largest open transaction to a file.
func (d *decoder) spill() {
	largest := d.current
	for _, b := range d.streams {
		if largest == nil || len(b.memory) > len(largest.memory) {
			largest = b
		}
	}
	n := int64(len(largest.memory))
	err := largest.spill()
	if err != nil {
		d.lose(largest, err)
		return
	}
	d.memory -= n
}

// lose gives up on the records of b: the transaction will be a gap.
func (d *decoder) lose(b *building, err error) {
	d.memory -= int64(len(b.memory))
	b.drop()
	b.lost = err
}

// spoil gives up on the transaction that is being received, if there is one.
func (d *decoder) spoil(err error) {
	b := d.current
	if d.stream != nil {
		b = d.stream
	}
	if b != nil && b.lost == nil {
		d.lose(b, err)
	}
}

// control takes the messages that begin and end transactions.
func (d *decoder) control(ctx context.Context, data []byte) error {
	var message pglogrepl.Message
	err := whole(func() (err error) {
		message, err = pglogrepl.ParseV2(data, d.stream != nil)
		return err
	})
	if err != nil {
		return err
	}
	switch m := message.(type) {
	case *pglogrepl.BeginMessage:
		if d.open() {
			return errMessage('B')
		}
		if err := d.settle(ctx); err != nil {
			return err
		}
		d.current = d.begin(m.Xid)
		d.current.memory = d.scratch[:0]
		d.scratch = nil
	case *pglogrepl.CommitMessage:
		if d.current == nil {
			return errMessage('C')
		}
		b := d.current
		d.current = nil
		return d.end(ctx, b, m.CommitLSN, m.TransactionEndLSN, m.CommitTime)
	case *pglogrepl.StreamStartMessageV2:
		if d.open() {
			return errMessage('S')
		}
		b := d.streams[m.Xid]
		if b == nil {
			b = d.begin(m.Xid)
			d.streams[m.Xid] = b
		}
		d.stream = b
	case *pglogrepl.StreamStopMessageV2:
		d.stream = nil
	case *pglogrepl.StreamCommitMessageV2:
		b := d.streams[m.Xid]
		if b == nil {
			return errMessage('c')
		}
		delete(d.streams, m.Xid)
		if err := d.adopt(ctx, b); err != nil {
			return err
		}
		return d.end(ctx, b, m.CommitLSN, m.TransactionEndLSN, m.CommitTime)
	case *pglogrepl.StreamAbortMessageV2:
		d.abort(m.Xid, m.SubXid)
	}
	return nil
}

// abort forgets a streamed transaction, or what one of its sub-transactions has done.
func (d *decoder) abort(xid, sub uint32) {
	b := d.streams[xid]
	switch {
	case b == nil: // nothing of it was streamed
	case xid == sub:
		delete(d.streams, xid)
		d.memory -= int64(len(b.memory))
		b.drop()
	default:
		b.abort(sub)
	}
}

// end hands over a transaction that has committed.
func (d *decoder) end(ctx context.Context, b *building, at, end pglogrepl.LSN, when time.Time) error {
	tx := b.transaction
	tx.at, tx.end, tx.committedAt = at, end, when
	d.memory -= int64(len(tx.memory))
	if n := int64(len(tx.memory)); n <= smallTransaction {
		if b.xid != 0 && d.scratch == nil {
			d.scratch = tx.memory[:0]
		}
		tx.memory = bytes.Clone(tx.memory)
	}
	return d.commit(ctx, tx, b.lost)
}

// open reports whether a transaction that is sent as a whole has not ended yet.
func (d *decoder) open() bool { return d.current != nil || d.stream != nil }
