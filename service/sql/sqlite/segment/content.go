package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/wippy-cdc/runtime/internal/tempfile"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

func (c *Cursor) learn(r *Record) error {
	text, err := c.payload(r)
	if err == nil {
		c.shapes[r.Detail] = &Shape{Text: text}
	}
	return err
}

// rows adds the payload of a record to a transaction.
func (c *Cursor) rows(tx *Transaction, r *Record) error {
	front := int64(capture.SegmentRows)
	if r.Length < front {
		return errTorn
	}
	if r.Length < largePayload {
		payload, err := c.payload(r)
		if err != nil {
			return err
		}
		n, err := c.tables(tx, payload)
		if err != nil {
			return err
		}
		if len(tx.Rows) == 0 {
			tx.Rows = payload[n:]
		} else {
			tx.Rows = append(slices.Clip(tx.Rows), payload[n:]...)
		}
		return nil
	}
	head, err := c.buffer.at(r.Offset, front)
	if err != nil {
		return err
	}
	front += int64(binary.LittleEndian.Uint32(head[28:]))
	if front > r.Length {
		return errTorn
	}
	if head, err = c.buffer.at(r.Offset, front); err != nil {
		return err
	}
	if _, err = c.tables(tx, head); err != nil {
		return err
	}
	return c.large(tx, r.Offset+front, r.Length-front)
}

// large adds rows that stay in the file.
func (c *Cursor) large(tx *Transaction, from, size int64) error {
	if tx.Spilled != nil || len(tx.Rows) > 0 { // only what an engine has added behind a commit can be there twice
		rows := make([]byte, size)
		if _, err := c.current.ReadAt(rows, from); err != nil {
			return fmt.Errorf("segment: read a record: %w", err)
		}
		tx.Rows = append(tx.Rows, rows...)
		return nil
	}
	again, err := os.Open(c.current.Name())
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	tx.Spilled = tempfile.NewPart(again, from, size)
	return nil
}

// tables reads what the payload of a commit begins with, and returns the length.
func (c *Cursor) tables(tx *Transaction, b []byte) (int, error) {
	for op := range tx.Counts {
		tx.Counts[op] += binary.LittleEndian.Uint32(b[4*op:])
	}
	tables, end := binary.LittleEndian.Uint32(b[24:]), capture.SegmentRows+int(binary.LittleEndian.Uint32(b[28:]))
	at := capture.SegmentRows
	const fixed = 16
	if end > len(b) {
		return 0, errTorn
	}
	for range tables {
		if at+fixed > end {
			return 0, errTorn
		}
		slot, ops := binary.LittleEndian.Uint32(b[at:]), binary.LittleEndian.Uint32(b[at+4:])
		shape, n := binary.LittleEndian.Uint32(b[at+8:]), int(binary.LittleEndian.Uint32(b[at+12:]))
		at += fixed
		if at+n > end {
			return 0, errTorn
		}
		tx.unknown = tx.unknown || shape != 0 && c.shapes[shape] == nil
		tx.note(Table{Slot: slot, Ops: ops, Name: string(b[at:][:n]), Shape: c.shapes[shape]})
		at += n
	}
	return end, nil
}

// note adds a table, which may be there already.
func (tx *Transaction) note(t Table) {
	for i := range tx.Tables {
		if have := &tx.Tables[i]; have.Slot == t.Slot {
			have.Ops |= t.Ops
			if have.Shape == nil {
				have.Shape = t.Shape
			}
			return
		}
	}
	tx.Tables = append(tx.Tables, t)
}

// bind looks behind a transaction for the shapes of its tables that were not known when it was written.
func (c *Cursor) bind(tx *Transaction, from, end int64) error {
	if !tx.isUnnamed() {
		return nil
	}
	defer func(back int64) { c.offset = back }(c.offset)
	for c.offset = from; c.offset < end; {
		r, err := c.header(end)
		if err != nil {
			return err
		}
		switch {
		case r.Kind == capture.SegmentShape:
			if err := c.learn(&r); err != nil {
				return err
			}
		case r.Kind == capture.SegmentBind && r.Sequence == tx.Sequence:
			b, err := c.payload(&r)
			if err != nil {
				return err
			}
			for ; len(b) >= 8; b = b[8:] {
				shape := c.shapes[binary.LittleEndian.Uint32(b[4:])]
				tx.bindSlot(binary.LittleEndian.Uint32(b), shape)
				tx.unknown = tx.unknown || shape == nil
			}
			tx.bound = true
			return nil
		}
	}
	return nil
}

func (tx *Transaction) bindSlot(slot uint32, shape *Shape) {
	for i := range tx.Tables {
		if tx.Tables[i].Slot == slot {
			tx.Tables[i].Shape = shape
		}
	}
}

// Binding is the payload of a record that says which shapes the slots of a transaction stand for.
func Binding(slots map[uint32]uint32) (payload []byte) {
	for slot, shape := range slots {
		payload = binary.LittleEndian.AppendUint32(payload, slot)
		payload = binary.LittleEndian.AppendUint32(payload, shape)
	}
	return payload
}

// isUnnamed reports whether it was not known what a table is when the transaction was written, or that it is not captured.
func (tx *Transaction) isUnnamed() bool {
	return slices.ContainsFunc(tx.Tables, func(t Table) bool { return t.Shape == nil })
}

// buffer reads a file in large pieces. What it has returned is not written to again.
type buffer struct {
	file io.ReaderAt
	// size is that of the file when it was opened; what is behind end may be written anew.
	size, end int64
	// bytes begin at from.
	bytes []byte
	from  int64
}

const readAhead = 256 << 10

func (b *buffer) at(offset, n int64) ([]byte, error) {
	if i := offset - b.from; i >= 0 && i+n <= int64(len(b.bytes)) {
		return b.bytes[i:][:n:n], nil
	}
	b.bytes, b.from = make([]byte, max(n, min(readAhead, b.end-offset))), offset
	read, err := b.file.ReadAt(b.bytes, offset)
	b.bytes = b.bytes[:read]
	if int64(read) >= n {
		return b.bytes[:n:n], nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, fmt.Errorf("segment: read a record: %w", err)
}
