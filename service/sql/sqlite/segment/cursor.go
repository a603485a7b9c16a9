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

// Transaction is a committed transaction, or a gap, as a segment file holds it.
type Transaction struct {
	Sequence uint64
	// At is in Unix nanoseconds.
	At int64
	// Gap is why there is a gap in this place, 0 for a transaction.
	Gap capture.Gap
	// Tables are those that it may have changed, and Counts says by capture.Op how many records there are.
	Tables []Table
	Counts [capture.OpSchema + 1]uint32
	// Spilled is a part of the file if there are many records, and must be released; Rows are the others.
	Spilled *tempfile.Part
	Rows    []byte
}

// Table is a table of a transaction.
type Table struct {
	Slot, Ops uint32
	Name      string
	// Shape is what was written of its shape, nil if it is not known.
	Shape *Shape
}

// Shape is what was written of a shape. It is the same pointer for all transactions of a file that have it.
type Shape struct {
	Text []byte
}

// ErrTrimmed means that the transactions behind a position have left the log.
var ErrTrimmed = errors.New("segment: the position has left the log")

// ErrUndone means that transactions up to a position were undone by a loss of power.
var ErrUndone = errors.New("segment: transactions up to the position were undone by a loss of power")

// Cursor reads the transactions behind a sequence. It is used by one goroutine at a time.
type Cursor struct {
	log *Log
	// after is the sequence that was read last, or is to be passed over.
	after uint64
	// current is the file that is read, up to offset, and first its first sequence.
	current *os.File
	first   uint64
	offset  int64
	shapes  map[uint32]*Shape
	buffer  buffer
	// restoring says that the log's mu is held.
	restoring bool
}

// largePayload is the size of records that are not read into memory.
const largePayload = 4 << 20

// Read returns a cursor that reads what is behind a sequence. The error is ErrTrimmed if that has left, and ErrUndone.
func (l *Log) Read(after uint64) (*Cursor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if after < l.trimmed {
		return nil, ErrTrimmed
	}
	for _, r := range l.state.Void {
		if r.Undone && after >= r.From && after <= r.To {
			return nil, ErrUndone
		}
	}
	return &Cursor{log: l, after: after}, nil
}

// Close lets go of the file.
func (c *Cursor) Close() {
	if c.current != nil {
		_ = c.current.Close() // it was only read
		c.current = nil
	}
}

// cursorOf returns a cursor over one file that is not written.
func cursorOf(l *Log, path string, end int64) (*Cursor, error) {
	opened, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	return &Cursor{
		log: l, restoring: true, current: opened, offset: capture.SegmentPage, shapes: make(map[uint32]*Shape), buffer: buffer{file: opened, size: end, end: end},
	}, nil
}

// find returns the transaction of a sequence, nil if it is not there or has not committed. l.mu must be held.
func (c *Cursor) find(sequence uint64) (*Transaction, error) {
	for {
		r, err := c.header(c.buffer.end)
		switch {
		case errors.Is(err, io.EOF):
			return nil, nil //nolint:nilnil // as documented
		case err != nil:
			return nil, err
		case r.Kind == capture.SegmentShape:
			if err := c.learn(&r); err != nil {
				return nil, err
			}
		case r.Kind == capture.SegmentCommit && r.Sequence == sequence:
			return c.transaction(&r, c.buffer.end)
		}
	}
}

// extent returns how far the current file may be read, and whether another follows.
func (c *Cursor) extent() (end int64, more bool) {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.files, func(f *file) bool { return f.first == c.first })
	if i < 0 { // it was trimmed, and is read to its end
		return c.buffer.size, true
	}
	return l.files[i].end, i < len(l.files)-1
}

// open goes on to the file that holds what is behind after, or to the next one; false if there is none.
func (c *Cursor) open() (bool, error) {
	l := c.log
	l.mu.Lock()
	var next *file
	for _, f := range l.files {
		if c.current == nil && f.first <= c.after+1 || c.current != nil && f.first > c.first {
			next = f
			if c.current != nil {
				break
			}
		}
	}
	trimmed := c.current != nil && next != nil && c.after < l.trimmed
	l.mu.Unlock()
	switch {
	case trimmed:
		return false, ErrTrimmed
	case next == nil && c.current == nil:
		return false, ErrTrimmed
	case next == nil:
		return false, nil
	}
	opened, err := os.Open(next.path)
	if errors.Is(err, os.ErrNotExist) {
		return false, ErrTrimmed
	}
	if err != nil {
		return false, fmt.Errorf("segment: %w", err)
	}
	c.Close()
	info, err := opened.Stat()
	if err != nil {
		return false, errors.Join(fmt.Errorf("segment: %w", err), opened.Close())
	}
	c.current, c.first, c.offset, c.shapes = opened, next.first, capture.SegmentPage, make(map[uint32]*Shape)
	c.buffer = buffer{file: opened, size: info.Size()}
	return true, nil
}

// Next returns the next transaction or gap, io.EOF if there is none by now. What it returns is good for ever.
func (c *Cursor) Next() (*Transaction, error) {
	for {
		if c.current == nil {
			if _, err := c.open(); err != nil {
				return nil, err
			}
		}
		end, more := c.extent()
		tx, err := c.read(end)
		switch {
		case tx != nil:
			if tx.Sequence <= c.after {
				tx.Spilled.Release()
				continue
			}
			c.after = tx.Sequence
			return tx, nil
		case err != nil && !errors.Is(err, io.EOF):
			return nil, err
		case !more:
			return nil, io.EOF
		}
		if now, _ := c.extent(); now > c.offset { // it has grown before the next one was begun
			continue
		}
		if ok, err := c.open(); !ok {
			return nil, errors.Join(err, io.EOF)
		}
	}
}

// read returns the next transaction of the file, nil and no error if what was read is none.
func (c *Cursor) read(end int64) (*Transaction, error) {
	c.buffer.end = end
	for {
		r, err := c.header(end)
		if err != nil {
			return nil, err
		}
		switch r.Kind {
		case capture.SegmentGap:
			return &Transaction{Sequence: r.Sequence, At: r.At, Gap: capture.Gap(r.Detail)}, nil
		case capture.SegmentShape:
			if err := c.learn(&r); err != nil {
				return nil, err
			}
		case capture.SegmentCommit:
			if r.Sequence <= c.after || c.log.isVoid(r.Sequence) {
				continue
			}
			tx, err := c.transaction(&r, end)
			if tx != nil || err != nil {
				return tx, err
			}
		default: // it is read with the transaction that it belongs to
		}
	}
}

// header reads the next record, but for its payload, and goes on behind it.
func (c *Cursor) header(end int64) (Record, error) {
	if c.offset >= end {
		return Record{}, io.EOF
	}
	b, err := c.buffer.at(c.offset, recordHeader)
	if err != nil {
		return Record{}, err
	}
	r, _, ok := parseHeader(b)
	r.Offset = c.offset + recordHeader
	if !ok || r.Length < 0 || r.Length > end-r.Offset {
		return Record{}, c.damaged()
	}
	c.offset = r.next()
	return r, nil
}

func (c *Cursor) damaged() error {
	return fmt.Errorf("%s is damaged at byte %d", c.current.Name(), c.offset)
}

func (c *Cursor) payload(r *Record) ([]byte, error) {
	whole, err := c.buffer.at(r.Offset-recordHeader, recordHeader+r.Length)
	if err != nil {
		return nil, err
	}
	_, crc, _ := parseHeader(whole)
	if checksum(whole[8:]) != crc {
		return nil, c.damaged()
	}
	return whole[recordHeader:], nil
}

// transaction reads a commit with what follows of it, nil and no error if it was rolled back.
func (c *Cursor) transaction(r *Record, end int64) (*Transaction, error) {
	tx := &Transaction{Sequence: r.Sequence, At: r.At}
	aborted := false
	err := c.rows(tx, r)
	for err == nil && c.offset < end {
		var follows Record
		before := c.offset
		if follows, err = c.header(end); err != nil {
			break
		}
		switch {
		case follows.Kind == capture.SegmentMore:
			err = c.rows(tx, &follows)
			continue
		case follows.Kind == capture.SegmentAbort:
			aborted = true
			continue
		case follows.Kind == capture.SegmentBind && follows.Sequence == tx.Sequence:
			continue // it is looked for below
		case follows.Kind == capture.SegmentShape:
			err = c.learn(&follows)
			continue
		}
		c.offset = before
		break
	}
	if err == nil && aborted && !c.revived(r.Sequence) {
		tx.Spilled.Release()
		return nil, nil //nolint:nilnil // as documented
	}
	if err == nil {
		err = c.bind(tx, r.next(), end)
	}
	if err != nil {
		tx.Spilled.Release()
		return nil, err
	}
	return tx, nil
}

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
		return c.damaged()
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
		return c.damaged()
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
	for range tables {
		if end > len(b) || at+fixed > end {
			return 0, c.damaged()
		}
		slot, ops := binary.LittleEndian.Uint32(b[at:]), binary.LittleEndian.Uint32(b[at+4:])
		shape, n := binary.LittleEndian.Uint32(b[at+8:]), int(binary.LittleEndian.Uint32(b[at+12:]))
		at += fixed
		if at+n > end {
			return 0, c.damaged()
		}
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
	if !slices.ContainsFunc(tx.Tables, func(t Table) bool { return t.Shape == nil }) {
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
				tx.bindSlot(binary.LittleEndian.Uint32(b), c.shapes[binary.LittleEndian.Uint32(b[4:])])
			}
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

func (l *Log) isVoid(sequence uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.state.Void, func(r Range) bool { return sequence >= r.From && sequence <= r.To })
}

// revived reports whether a transaction has committed that was rolled back as far as its writer knew.
func (c *Cursor) revived(sequence uint64) bool {
	if !c.restoring {
		c.log.mu.Lock()
		defer c.log.mu.Unlock()
	}
	return slices.Contains(c.log.state.Revived, sequence)
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
