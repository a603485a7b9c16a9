package postgres

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/jackc/pglogrepl"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// origin is what all transactions of one run of a source have in common.
type origin struct {
	source     registry.ID
	generation string
	counters   *cdc.Counters
	// fences tells, by *cdc.Selection, the position that a stream's snapshot was taken at: what has committed before is
	// in the snapshot.
	fences sync.Map
}

// transaction is a committed transaction. It implements cdc.Transaction.
type transaction struct {
	arena
	origin *origin
	// relations are named by the slots of the records.
	relations []*relation
	// aborted are the sub-transactions whose records do not count.
	aborted map[uint32]struct{}
	xid     uint32
	// at is where the commit was written, end the position behind it.
	at, end     pglogrepl.LSN
	committedAt time.Time

	once    sync.Once
	header  api.Transaction
	counted atomic.Bool
}

const overhead = int64(unsafe.Sizeof(transaction{}))

// Size implements cdc.Transaction. Records in a file count as if they were in memory.
func (t *transaction) Size() int64 { return t.size() + overhead }

// Open implements cdc.Transaction.
func (t *transaction) Open(selection *cdc.Selection) cdc.Reader {
	t.once.Do(func() {
		t.header = api.Transaction{
			Source: t.origin.source, Generation: t.origin.generation, Sequence: uint64(t.end), LSN: t.end.String(),
			CommitLSN: t.at.String(), XID: t.xid, CommittedAt: t.committedAt,
		}
	})
	if fence, ok := t.origin.fenceOf(selection); ok && fence >= t.end {
		return nothing{}
	}
	return &reader{tx: t, selection: selection, records: t.records(), verdicts: make([]verdict, len(t.relations))}
}

// nothing reads a transaction that a snapshot holds already.
type nothing struct{}

// Next implements cdc.Reader.
func (nothing) Next(*api.Change) error { return io.EOF }

// Close implements cdc.Reader.
func (nothing) Close() {}

// verdict remembers which operations the selection was asked about and which it accepts, a bit each.
type verdict struct{ asked, accepted uint8 }

// reader decodes one transaction for one stream.
type reader struct {
	tx        *transaction
	selection *cdc.Selection
	records   records
	verdicts  []verdict
	index     int
	counts    [4]int
}

// Next implements cdc.Reader.
func (r *reader) Next(change *api.Change) error {
	for {
		record, err := r.records.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				r.count()
			}
			return err
		}
		slot, xid := binary.LittleEndian.Uint32(record[4:]), binary.LittleEndian.Uint32(record[8:])
		if r.tx.aborted != nil {
			if _, aborted := r.tx.aborted[xid]; aborted {
				continue
			}
		}
		op, bit := opOf(record[12])
		if bit < 0 || int(slot) >= len(r.tx.relations) {
			return errCorrupt
		}
		index := r.index
		r.index++
		r.counts[bit]++
		if !r.accepts(slot, op, bit) {
			continue
		}
		rel := r.tx.relations[slot]
		change.Op, change.Table, change.Transaction, change.Index = op, rel.table, &r.tx.header, index
		if err := rel.decode(record[recordHeader:], change); err != nil {
			return fmt.Errorf("table %s.%s: %w", rel.table.Schema, rel.table.Name, err)
		}
		return nil
	}
}

// Close implements cdc.Reader.
func (r *reader) Close() { r.records = records{} }

func (r *reader) accepts(slot uint32, op api.Op, bit int) bool {
	v := &r.verdicts[slot]
	mask := uint8(1) << bit
	if v.asked&mask == 0 {
		v.asked |= mask
		if r.selection.Accepts(r.tx.relations[slot].table, op) {
			v.accepted |= mask
		}
	}
	return v.accepted&mask != 0
}

// count counts the changes, once for all streams.
func (r *reader) count() {
	if r.tx.counted.Swap(true) {
		return
	}
	for bit, op := range [...]api.Op{api.OpInsert, api.OpUpdate, api.OpDelete, api.OpTruncate} {
		r.tx.origin.counters.Changes(op, r.counts[bit])
	}
}

func opOf(b byte) (op api.Op, bit int) {
	switch b {
	case 'I':
		return api.OpInsert, 0
	case 'U':
		return api.OpUpdate, 1
	case 'D':
		return api.OpDelete, 2
	case 'T':
		return api.OpTruncate, 3
	default:
		return "", -1
	}
}

// decode reads the tuples of a change: an old one, marked O if it is whole and K if it is the key, and a new one,
// marked N, as far as there are any.
func (r *relation) decode(data []byte, change *api.Change) error {
	t := tuples{rest: data}
	before, after := change.Before, change.After
	change.Before, change.After = nil, nil
	for len(t.rest) > 0 {
		var err error
		switch mark := t.byte(); mark {
		case 'O', 'K':
			var missing []int
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
