package segment

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// The header page of a file: these bytes, the slots (see capture/segment.h), what the file was begun with, and how it was left. The
// latter two are JSON behind their length and checksum.
const (
	magic    = "wippycdc\x01"
	beginsAt = 512
	stopsAt  = 2048
)

// Begin is what a segment file is begun with.
type Begin struct {
	// Generation names the log: cursors of one generation can be compared.
	Generation string `json:"generation"`
	// Boot names the run of the operating system.
	Boot string `json:"boot"`
	// First is the first sequence that can be in the file.
	First uint64 `json:"first"`
	// Unsynced says that SQLite does not wait for the disk, so that nothing is certain after a power loss.
	Unsynced bool `json:"unsynced,omitempty"`
}

// Stop is what the database was like when a connection was closed in good order, after which it is not written by us.
type Stop struct {
	Database Footprint `json:"database"`
	Log      Footprint `json:"log"`
}

// Footprint is what can be seen of a file without opening it. The zero Footprint is that of a file that does not exist.
type Footprint struct {
	Device   uint64 `json:"device,omitempty"`
	Inode    uint64 `json:"inode,omitempty"`
	Size     int64  `json:"size,omitempty"`
	Modified int64  `json:"modified,omitempty"`
	// Born is when the file was made, 0 if that is not known: a copy may get the inode of what it takes the place of, and keep size
	// and time.
	Born int64 `json:"born,omitempty"`
}

// name is that of the file whose first sequence is given. Names sort as sequences do.
func name(first uint64) string { return fmt.Sprintf("%016x.segment", first) }

// firstOf returns the first sequence that a file has by its name, false if it is not a segment's.
func firstOf(name string) (first uint64, ok bool) {
	digits, isSegment := strings.CutSuffix(name, ".segment")
	first, err := strconv.ParseUint(digits, 16, 64)
	return first, isSegment && err == nil && len(digits) == 16
}

// create makes a segment file with records behind its header page, which is written out: a store into a hole could meet a full disk.
func create(dir string, begin Begin, records []byte) (file *os.File, err error) {
	path := filepath.Join(dir, name(begin.First))
	file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	page := make([]byte, capture.SegmentPage)
	copy(page, magic)
	if err = putJSON(page, beginsAt, begin); err == nil {
		_, err = file.WriteAt(append(page, records...), 0)
	}
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("segment: %w", err), file.Close(), os.Remove(path))
	}
	return file, nil
}

func putJSON(page []byte, at int, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(page[at:], uint32(len(text))) //nolint:gosec // it is short
	binary.LittleEndian.PutUint32(page[at+4:], crc32.Checksum(text, castagnoli))
	copy(page[at+8:], text)
	return nil
}

func getJSON(page []byte, at int, v any) bool {
	n, crc := binary.LittleEndian.Uint32(page[at:]), binary.LittleEndian.Uint32(page[at+4:])
	if n == 0 || int(n) > len(page)-at-8 {
		return false
	}
	text := page[at+8:][:n]
	return crc32.Checksum(text, castagnoli) == crc && json.Unmarshal(text, v) == nil
}

// setStop notes how a file is left, or that it is not.
func setStop(path string, stop *Stop) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	page := make([]byte, capture.SegmentPage)
	if stop != nil {
		err = putJSON(page, stopsAt, stop)
	}
	if err == nil {
		_, err = file.WriteAt(page[stopsAt:], stopsAt)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// tail is what is known of the newest segment file after its writer has ended, in good order or not.
type tail struct {
	path  string
	begin Begin
	stop  *Stop
	slot  Slot
	// slotted says that there is a slot, tornSlot that one is not whole.
	slotted, tornSlot bool
	// damaged says that the header page tells nothing of the file, and cut that there are bytes behind its last record.
	damaged, cut bool
	// end is where the valid records end.
	end int64
	// records are all of them, without payloads.
	records []Record
}

// read reads the header page of a file.
func readPage(file io.ReaderAt) (page []byte, begin Begin, err error) {
	page = make([]byte, capture.SegmentPage)
	if _, err := file.ReadAt(page, 0); err != nil {
		return page, begin, fmt.Errorf("segment: read the header page: %w", err)
	}
	if string(page[:len(magic)]) != magic || !getJSON(page, beginsAt, &begin) {
		return page, Begin{}, errors.New("segment: the header page is damaged")
	}
	return page, begin, nil
}

// readTail reads a file up to its last whole record. What is damaged in between is passed over: a cursor tells of it.
func readTail(path string) (*tail, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	t := &tail{path: path, end: capture.SegmentPage}
	page, begin, err := readPage(file)
	if err != nil {
		t.damaged = true
		begin.First, _ = firstOf(filepath.Base(path))
	}
	t.begin = begin
	t.slot, t.slotted, t.tornSlot = readSlot(page)
	var stop Stop
	if getJSON(page, stopsAt, &stop) {
		t.stop = &stop
	}
	newest := begin.First - 1
	for at := t.end; at < info.Size(); {
		r, crc, err := readHeader(file, at, info.Size())
		if err == nil {
			err = check(file, &r, crc)
		}
		if errors.Is(err, errTorn) {
			at, err = nextWhole(file, at+1, info.Size(), newest)
			t.cut = at == info.Size()
			if err == nil {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		t.records = append(t.records, r)
		newest = max(newest, r.Sequence)
		at, t.end = r.next(), r.next()
	}
	return t, nil
}

// begun reports whether a connection has written to the file: there is more than what it was made with.
func (t *tail) begun() bool {
	return t.slotted || t.tornSlot || t.damaged || t.cut ||
		slices.ContainsFunc(t.records, func(r Record) bool { return r.Kind != capture.SegmentGap })
}

// extend cuts off what is behind the valid end, and appends records there.
func (t *tail) extend(records []byte) error {
	if !t.cut && len(records) == 0 {
		return nil
	}
	file, err := os.OpenFile(t.path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	if err = file.Truncate(t.end); err == nil {
		_, err = file.WriteAt(records, t.end)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("segment: %w", err)
	}
	t.end += int64(len(records))
	return nil
}
