package segment

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

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
	// bound says that there is a record which says what the tables are that were not known when the transaction was written,
	// and unknown that a table is none of the file's.
	bound, unknown bool
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

// UndoneError means that transactions up to a position were undone, by a loss of power for instance.
type UndoneError struct {
	// Through is the sequence behind which a reader can go on.
	Through uint64
}

// Error implements error.
func (e *UndoneError) Error() string {
	return "segment: transactions up to the position were undone by a loss of power, or the log was put back"
}

// Cursor reads the transactions behind a sequence. It is used by one goroutine at a time.
type Cursor struct {
	log *Log
	// after is the sequence that was read last, or is to be passed over; seen is the newest of which there was a record.
	after, seen uint64
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

// Read returns a cursor that reads what is behind a sequence. The error is ErrTrimmed if that has left, and an UndoneError.
func (l *Log) Read(after uint64) (*Cursor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if after < l.trimmed {
		return nil, ErrTrimmed
	}
	if n := len(l.files); n > 0 && after > max(l.files[n-1].first-1, l.files[n-1].last) {
		return nil, &UndoneError{max(l.files[n-1].first-1, l.files[n-1].last)}
	}
	for _, r := range l.state.Void {
		if r.Undone && after >= r.From && after <= r.To {
			return nil, &UndoneError{r.To + 1}
		}
	}
	return &Cursor{log: l, after: after}, nil
}

// Through returns the sequence up to which all was read, or is none that has committed.
func (c *Cursor) Through() uint64 { return max(c.seen, c.after) }

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
		case errors.Is(err, errTorn):
			err = c.pass(c.buffer.end)
		}
		switch {
		case err != nil:
			return nil, err
		case r.Kind == capture.SegmentShape:
			if err := c.learn(&r); err != nil {
				return nil, err
			}
		case r.Kind == capture.SegmentCommit && r.Sequence == sequence:
			tx, err := c.transaction(&r, c.buffer.end)
			if errors.Is(err, errTorn) { // which the reader is told
				return nil, nil //nolint:nilnil // as documented
			}
			return tx, err
		}
	}
}

// extent returns how far the current file may be read, the newest sequence there that is complete, and whether another follows.
func (c *Cursor) extent() (end int64, last uint64, more bool) {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.files, func(f *file) bool { return f.first == c.first })
	if i < 0 { // it was trimmed, and is read to its end
		return c.buffer.size, math.MaxUint64, true
	}
	return l.files[i].end, l.files[i].last, i < len(l.files)-1
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
	if c.current == nil {
		c.seen = max(c.after, next.first-1)
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
		end, last, more := c.extent()
		tx, err := c.read(end, last)
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
		case !more && c.offset >= end && last > max(c.seen, c.after):
			from := max(c.seen, c.after) + 1
			if c.seen = last; !c.log.areVoid(from, last) {
				c.after = last
				return &Transaction{Sequence: last, At: time.Now().UnixNano(), Gap: capture.GapLost}, nil
			}
			return nil, io.EOF
		case !more:
			return nil, io.EOF
		}
		if now, _, _ := c.extent(); now > end { // it has grown before the next one was begun
			continue
		}
		if ok, err := c.open(); !ok {
			return nil, errors.Join(err, io.EOF)
		}
	}
}

// read returns the next transaction of the file, whose newest complete one is last.
func (c *Cursor) read(end int64, last uint64) (*Transaction, error) {
	c.buffer.end = end
	for {
		begin := c.offset
		r, err := c.header(end)
		if errors.Is(err, errTorn) {
			err = c.pass(end)
		}
		if err != nil {
			return nil, err
		}
		if r.isOwn() {
			if r.Sequence > last { // not all of it may be there yet
				c.offset = begin
				return nil, io.EOF
			}
			if c.isMissing(&r) {
				c.seen, c.offset = r.Sequence-1, begin
				return &Transaction{Sequence: r.Sequence - 1, At: r.At, Gap: capture.GapLost}, nil
			}
			c.seen = max(c.seen, r.Sequence)
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
			if errors.Is(err, errTorn) {
				return &Transaction{Sequence: r.Sequence, At: r.At, Gap: capture.GapLost}, nil
			}
			if tx != nil || err != nil {
				return tx, err
			}
		default: // it is read with the transaction that it belongs to
		}
	}
}

// isMissing reports whether something is missing in front of a transaction. A gap covers what is in front of it.
func (c *Cursor) isMissing(r *Record) bool {
	from := max(c.seen, c.after) + 1
	return r.Kind == capture.SegmentCommit && r.Sequence > from && !c.log.areVoid(from, r.Sequence-1)
}

// pass goes on behind what is damaged. What was there is missed when the next transaction is read.
func (c *Cursor) pass(end int64) (err error) {
	c.offset, err = nextWhole(c.current, c.offset+1, end, c.seen)
	return err
}

// header reads the next record, but for its payload, and goes on behind it. The error is errTorn, and it does not go on, if the record
// is damaged.
func (c *Cursor) header(end int64) (Record, error) {
	if c.offset >= end {
		return Record{}, io.EOF
	}
	if end-c.offset < recordHeader {
		return Record{}, errTorn
	}
	b, err := c.buffer.at(c.offset, recordHeader)
	if err != nil {
		return Record{}, err
	}
	r, crc, ok := parseHeader(b)
	r.Offset = c.offset + recordHeader
	if !ok || r.Length < 0 || r.Length > end-r.Offset {
		return Record{}, errTorn
	}
	if r.Length >= largePayload {
		err = check(c.current, &r, crc)
	} else if b, err = c.buffer.at(c.offset, recordHeader+r.Length); err == nil && checksum(b[8:]) != crc {
		err = errTorn
	}
	if err != nil {
		return Record{}, err
	}
	c.offset = r.next()
	return r, nil
}

// payload reads that of a record that was checked.
func (c *Cursor) payload(r *Record) ([]byte, error) { return c.buffer.at(r.Offset, r.Length) }

// transaction reads a commit with what follows of it, nil and no error if it was rolled back. The error is errTorn if some of it is
// missing or damaged.
func (c *Cursor) transaction(r *Record, end int64) (tx *Transaction, err error) {
	tx = &Transaction{Sequence: r.Sequence, At: r.At}
	defer func() {
		if err != nil {
			tx.Spilled.Release()
		}
	}()
	aborted, more := false, r.Detail != 0
	if err := c.rows(tx, r); err != nil {
		return tx, err
	}
	for follows := true; follows && c.offset < end; {
		begin := c.offset
		next, err := c.header(end)
		if err != nil {
			return tx, err
		}
		switch {
		case next.Kind == capture.SegmentMore && next.Sequence == r.Sequence:
			more, err = false, c.rows(tx, &next)
		case next.Kind == capture.SegmentAbort && next.Sequence == r.Sequence:
			aborted = true
		case next.Kind == capture.SegmentBind && next.Sequence == r.Sequence: // it is looked for below
		case next.Kind == capture.SegmentShape:
			err = c.learn(&next)
		default:
			c.offset, follows = begin, false
		}
		if err != nil {
			return tx, err
		}
	}
	if aborted && !c.revived(r.Sequence) {
		tx.Spilled.Release()
		return nil, nil //nolint:nilnil // as documented
	}
	if err := c.bind(tx, r.next(), end); err != nil {
		return tx, err
	}
	if !c.restoring && (more || tx.unknown || !tx.bound && tx.isUnnamed()) {
		return tx, errTorn
	}
	return tx, nil
}

// revived reports whether a transaction has committed that was rolled back as far as its writer knew.
func (c *Cursor) revived(sequence uint64) bool {
	if !c.restoring {
		c.log.mu.Lock()
		defer c.log.mu.Unlock()
	}
	return slices.Contains(c.log.state.Revived, sequence)
}
