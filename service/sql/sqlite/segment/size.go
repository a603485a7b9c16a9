package segment

import (
	"cmp"
	"os"
	"slices"
	"time"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// Size is what a log takes.
type Size struct {
	Bytes int64
	Files int
	// Oldest is when the oldest transaction was committed that is kept, zero if none is.
	Oldest time.Time
	// Trimmed is the sequence up to which all has left, Newest that up to which the log can be read.
	Trimmed, Newest uint64
}

// Size returns what the log takes.
func (l *Log) Size() (s Size) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Files = len(l.files)
	for _, f := range l.files {
		s.Bytes += f.end
		if s.Oldest.IsZero() {
			s.Oldest = f.begins()
		}
	}
	s.Trimmed, s.Newest = l.trimmed, l.trimmed
	if n := len(l.files); n > 0 {
		s.Newest = max(s.Newest, l.files[n-1].first-1, l.files[n-1].last)
	}
	return s
}

// begins returns when the first transaction of the file was committed, or the gap in its place.
func (f *file) begins() time.Time {
	if !f.from.IsZero() || f.end <= capture.SegmentPage {
		return f.from
	}
	opened, err := os.Open(f.path)
	if err != nil {
		return f.from
	}
	defer func() { _ = opened.Close() }() // it was only read
	for at := int64(capture.SegmentPage); ; {
		r, _, err := readHeader(opened, at, f.end)
		if err != nil {
			return f.from
		}
		if r.isOwn() {
			f.from = time.Unix(0, r.At)
			return f.from
		}
		at = r.next()
	}
}

// Behind returns about how many bytes lie behind a sequence, and how many of the sequences up to newest can be read there. What has left
// the log does not count, nor does what is void. Within a file all transactions count alike.
func (l *Log) Behind(sequence, newest uint64) (bytes int64, transactions uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sequence = max(sequence, l.trimmed)
	for _, f := range l.files {
		if all := l.between(f.first-1, f.last); all > 0 && f.last > sequence {
			size := float64(f.end - capture.SegmentPage)
			bytes += int64(size * float64(l.between(max(sequence, f.first-1), f.last)) / float64(all))
		}
	}
	return bytes, l.between(sequence, newest)
}

// between counts the sequences behind one, up to another, that are not void. l.mu must be held.
func (l *Log) between(after, to uint64) (n uint64) {
	for _, r := range slices.SortedFunc(slices.Values(l.state.Void), func(a, b Range) int { return cmp.Compare(a.From, b.From) }) {
		if r.From > to {
			break
		}
		if r.From > after {
			n += r.From - 1 - after
		}
		after = max(after, r.To)
	}
	if to > after {
		n += to - after
	}
	return n
}
