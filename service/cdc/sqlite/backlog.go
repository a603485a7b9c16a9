package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// backlog packs transactions into blocks. The newest block is in memory, and so is the oldest while it is being read; those
// between are in temporary files. It implements cdc.Backlog.
//
// A packed transaction is its sequence, the time of its commit, its sample, the length of its records (8 bytes each),
// and the records. What cannot be packed is kept as it is and has no records; a transaction that has spilled is its own
// sample.
type backlog struct {
	selection *cdc.Selection
	origin    *origin
	// newest is being filled, oldest being read.
	newest, oldest []byte
	files          []*segment
	// samples are what transactions are put together with, kept what is needed once, in the order of the transactions.
	samples []sql.Packable
	kept    []cdc.Transaction
}

const (
	packedHeader = 32
	blockSize    = 1 << 20
	// A file is given back when its blocks have been read, so it must not be too large.
	segmentSize = 64 << 20
	// asItIs and ownSample stand in the place of a sample.
	asItIs    = ^uint64(0)
	ownSample = asItIs - 1
)

func newBacklog(origin *origin, selection *cdc.Selection) *backlog {
	return &backlog{selection: selection, origin: origin}
}

// Push implements cdc.Backlog. It counts the changes of the transaction, because that is not done later.
func (b *backlog) Push(tx cdc.Transaction) (kept bool, err error) {
	t, known := tx.(*transaction)
	if !known {
		return true, b.keep(tx)
	}
	if selected, err := b.selects(t); !selected || err != nil {
		return false, err
	}
	if err := t.pass(); err != nil {
		return false, err
	}
	rows, packable := t.rows.(sql.Packable)
	if !packable {
		return true, b.keep(tx)
	}
	return true, b.pack(t.sequence, rows.CommittedAt(), b.sampleOf(t, rows), rows.Records())
}

// selects reports whether there is anything in a transaction for the stream.
func (b *backlog) selects(t *transaction) (bool, error) {
	r := t.Open(b.selection)
	defer r.Close()
	err := r.Next(new(api.Change))
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return true, err
}

// keep keeps a transaction as it is.
func (b *backlog) keep(tx cdc.Transaction) error {
	b.kept = append(b.kept, tx)
	return b.pack(0, time.Time{}, asItIs, nil)
}

// sampleOf returns the number of a sample for rows.
func (b *backlog) sampleOf(t *transaction, rows sql.Packable) uint64 {
	for i, sample := range slices.Backward(b.samples) {
		if sample.Like(rows) {
			return uint64(i) //nolint:gosec // an index is never negative
		}
	}
	sample, packable := rows.With(nil, time.Time{}).(sql.Packable)
	if packable && rows.Spilled() == 0 {
		b.samples = append(b.samples, sample)
		return uint64(len(b.samples)) - 1
	}
	b.kept = append(b.kept, &transaction{rows: sample, origin: t.origin, sequence: t.sequence})
	return ownSample
}

func (b *backlog) pack(sequence uint64, at time.Time, sample uint64, records []byte) error {
	if len(b.newest) > 0 && len(b.newest)+packedHeader+len(records) > blockSize {
		if err := b.moveOut(); err != nil {
			return err
		}
	}
	for _, field := range [4]uint64{sequence, uint64(at.UnixNano()), sample, uint64(len(records))} {
		b.newest = binary.LittleEndian.AppendUint64(b.newest, field)
	}
	b.newest = append(b.newest, records...)
	return nil
}

// moveOut moves the newest block to a file, or makes it the oldest if there is none before it.
func (b *backlog) moveOut() error {
	if len(b.files) == 0 && len(b.oldest) == 0 {
		b.oldest, b.newest = b.newest, nil
		return nil
	}
	if n := len(b.files); n == 0 || b.files[n-1].to >= segmentSize {
		s, err := newSegment()
		if err != nil {
			return err
		}
		b.files = append(b.files, s)
	}
	if err := b.files[len(b.files)-1].write(b.newest); err != nil {
		return err
	}
	b.origin.counters.Spilled(int64(len(b.newest)))
	b.newest = b.newest[:0]
	return nil
}

// moveIn makes the next block the oldest, if there is one. Values will point into it, so it is never used again.
func (b *backlog) moveIn() error {
	if len(b.files) == 0 {
		b.oldest, b.newest = b.newest, nil
		return nil
	}
	first := b.files[0]
	var err error
	if b.oldest, err = first.read(); err != nil {
		return err
	}
	if len(first.blocks) == 0 {
		b.files = b.files[1:]
		return first.file.Close()
	}
	return nil
}

// Pop implements cdc.Backlog.
func (b *backlog) Pop() (cdc.Transaction, error) {
	if len(b.oldest) == 0 {
		if err := b.moveIn(); err != nil || len(b.oldest) == 0 {
			return nil, err
		}
	}
	var field [4]uint64
	for i := range field {
		field[i] = binary.LittleEndian.Uint64(b.oldest[8*i:])
	}
	end := packedHeader + field[3]
	records := b.oldest[packedHeader:end:end]
	b.oldest = b.oldest[end:]
	t := &transaction{origin: b.origin, sequence: field[0]}
	t.counted.Store(true)
	at := time.Unix(0, int64(field[1])) //nolint:gosec // bits are kept
	switch sample := field[2]; sample {
	case asItIs:
		return b.release(), nil
	case ownSample:
		own, ok := b.release().(*transaction)
		if !ok {
			return nil, errors.New("the sample of a transaction is missing")
		}
		rows, ok := own.rows.(sql.Packable)
		if !ok {
			return nil, errors.New("the sample of a transaction cannot be used")
		}
		t.rows = rows.With(records, at)
	default:
		t.rows = b.samples[sample].With(records, at)
	}
	return t, nil
}

// release removes the oldest of what is kept as it is.
func (b *backlog) release() cdc.Transaction {
	tx := b.kept[0]
	b.kept[0] = nil
	b.kept = b.kept[1:]
	return tx
}

// Close implements cdc.Backlog.
func (b *backlog) Close() {
	for _, s := range b.files {
		_ = s.file.Close() // it has no name any more
	}
	*b = backlog{}
}

// segment is an unlinked temporary file of blocks.
type segment struct {
	file     *os.File
	from, to int64
	// blocks are the lengths of those between from and to.
	blocks []int
}

func newSegment() (*segment, error) {
	file, err := os.CreateTemp("", "wippy-backlog-*")
	if err != nil {
		return nil, fmt.Errorf("make a temporary file: %w", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("unlink a temporary file: %w", err), file.Close())
	}
	return &segment{file: file}, nil
}

func (s *segment) write(block []byte) error {
	n, err := s.file.WriteAt(block, s.to)
	if err != nil {
		return fmt.Errorf("write a temporary file: %w", err)
	}
	s.to += int64(n)
	s.blocks = append(s.blocks, n)
	return nil
}

func (s *segment) read() ([]byte, error) {
	block := make([]byte, s.blocks[0])
	if _, err := s.file.ReadAt(block, s.from); err != nil {
		return nil, fmt.Errorf("read a temporary file: %w", err)
	}
	s.from += int64(len(block))
	s.blocks = s.blocks[1:]
	return block, nil
}
