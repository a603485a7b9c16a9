package postgres

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/log"
)

// origin is what all transactions of one run of a source have in common.
type origin struct {
	source     registry.ID
	database   string
	generation string
}

// transaction is what the server has sent of one transaction.
type transaction struct {
	arena
	// touched are its relations, by the slots that records carry.
	touched []log.Touched
	// counts says how many records there are, by the sub-transaction that has made them, 0 if it was sent as a whole; aborted
	// are those whose records do not count.
	counts  map[uint32]*log.Counts
	aborted []uint32
	xid     uint32
	// at is where the commit was written, end the position behind it.
	at, end     pglogrepl.LSN
	committedAt time.Time
}

// relation returns that of a slot.
func (t *transaction) relation(slot uint32) *relation {
	rel, _ := t.touched[slot].Shape.(*relation)
	return rel
}

// record adds a record, and counts it.
func (t *transaction) record(slot, xid uint32, code log.Code, tuples []byte) {
	t.add(slot, xid, code, tuples)
	t.touched[slot].Codes |= 1 << code
	counts := t.counts[xid]
	if counts == nil {
		if t.counts == nil {
			t.counts = make(map[uint32]*log.Counts)
		}
		counts = new(log.Counts)
		t.counts[xid] = counts
	}
	counts[code]++
}

// abort makes what a sub-transaction has done not count.
func (t *transaction) abort(sub uint32) {
	if t.counts[sub] != nil { // else nothing of it was streamed
		delete(t.counts, sub)
		t.aborted = append(t.aborted, sub)
	}
}

// logged returns the transaction as the log takes it, which owns what has spilled from then on.
func (t *transaction) logged() *log.Transaction {
	head := binary.LittleEndian.AppendUint64(nil, uint64(t.at))
	head = binary.LittleEndian.AppendUint32(head, t.xid)
	for _, sub := range t.aborted {
		head = binary.LittleEndian.AppendUint32(head, sub)
	}
	tx := &log.Transaction{
		Sequence: uint64(t.end), At: t.committedAt, Touched: t.touched, Head: head, Voids: len(t.aborted) > 0,
		Spilled: t.file, Entries: t.memory, Owned: true,
	}
	for _, counts := range t.counts {
		for code, n := range counts {
			tx.Counts[code] += n
		}
	}
	return tx
}

// headLength is the size of the head of a record without aborted sub-transactions: where the commit was written, and the
// transaction's ID.
const headLength = 12

// Void implements stream.Engine: what sub-transactions have done that were rolled back does not count.
func (r *run) Void(head, entry []byte) bool {
	for rest := head[headLength:]; len(rest) >= 4; rest = rest[4:] {
		if [4]byte(rest) == [4]byte(entry[log.EntryHeader:]) {
			return true
		}
	}
	return false
}

// rowDecoder decodes transactions for one stream. It implements stream.Decoder.
type rowDecoder struct {
	origin *origin
	header *api.Transaction
}

// Begin implements stream.Decoder.
func (d *rowDecoder) Begin(record *log.Record) {
	end := pglogrepl.LSN(record.Sequence)
	d.header = &api.Transaction{
		Source: d.origin.source, Engine: api.EnginePostgres, Database: d.origin.database, Generation: d.origin.generation,
		Sequence: record.Sequence, LSN: end.String(), CommittedAt: record.At,
		CommitLSN: pglogrepl.LSN(binary.LittleEndian.Uint64(record.Head)).String(), XID: binary.LittleEndian.Uint32(record.Head[8:]),
	}
}

// Decode implements stream.Decoder.
func (d *rowDecoder) Decode(entry *log.Entry, change *api.Change) error {
	rel, ok := entry.Shape.(*relation)
	if !ok || len(entry.Bytes) < recordHeader {
		return errCorrupt
	}
	change.Transaction = d.header
	return rel.decode(entry.Bytes[recordHeader:], change)
}

var errCorrupt = errors.New("the kept records are corrupt")

// codeOf returns the operation of a message of pgoutput.
func codeOf(kind byte) log.Code {
	switch kind {
	case 'I':
		return log.Insert
	case 'U':
		return log.Update
	case 'D':
		return log.Delete
	default:
		return log.Truncate
	}
}

// decode reads the tuples of a change: an old one, marked O if it is whole and K if it is the key, and a new one,
// marked N, as far as there are any.
func (r *relation) decode(data []byte, change *api.Change) error {
	t := tuples{rest: data}
	before, after := change.Before, change.After
	change.Before, change.After, change.KeyOnly = nil, nil, false
	for len(t.rest) > 0 {
		var err error
		switch mark := t.byte(); mark {
		case 'O', 'K':
			var missing []int
			change.KeyOnly = mark == 'K'
			change.Before, err = t.row(r.forms, before, &missing)
		case 'N':
			change.After, err = t.row(r.forms, after, &change.Unchanged)
		default:
			err = errCorrupt
		}
		if err != nil {
			return err
		}
	}
	if r.full && change.Before != nil && change.After != nil {
		for _, i := range change.Unchanged {
			change.After[i] = change.Before[i]
		}
		change.Unchanged = nil
	}
	return nil
}
