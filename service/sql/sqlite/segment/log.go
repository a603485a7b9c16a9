package segment

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
)

// Settings are what a log is for. They are kept beside the segments.
type Settings struct {
	// Source is the entry ID of the source.
	Source string `json:"source"`
	// Generation names the log.
	Generation string `json:"generation"`
	// Tables are those that are captured, nil for all.
	Tables []string `json:"tables"`
	// Refuse says that commits are refused that cannot be written.
	Refuse bool `json:"refuse,omitempty"`
	// MaxBytes and MaxAge are what is kept at most.
	MaxBytes int64         `json:"max_bytes"`
	MaxAge   time.Duration `json:"max_age"`
	// Bootstrapped says that a snapshot was delivered in full for which the source had asked.
	Bootstrapped bool `json:"bootstrapped,omitempty"`
}

// state is what the settings file holds.
type state struct {
	Settings
	// Void are the transactions that have not committed, though they are in the segments, and Revived those that have, though
	// the segments say that they were rolled back: what crashes have left.
	Void    []Range  `json:"void,omitempty"`
	Revived []uint64 `json:"revived,omitempty"`
	// Gap is what has to be told in front of all that follows.
	Gap capture.Gap `json:"gap,omitempty"`
	// Newest is the first sequence of the newest file, or the one that the first file begins with.
	Newest uint64 `json:"newest"`
	// Begun says that there is a file.
	Begun bool `json:"begun,omitempty"`
}

// Range is some sequences, both ends included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
	// Undone says that they may have been delivered before: a reader behind one of them is told.
	Undone bool `json:"undone,omitempty"`
}

const (
	settingsFile  = "log.json"
	consumersFile = "consumers.json"
)

// Log is the segments of one database. The writer's connection writes to the newest one, see capture.Recorder; what is kept here is
// which files there are, and how far they may be read. Methods may be called from any goroutine.
type Log struct {
	dir string

	mu sync.Mutex
	// saved is what the settings file has of state.
	state, saved state
	files        []*file
	// trimmed is the sequence up to which all has left.
	trimmed uint64
	// incomplete says that the newest file is missing.
	incomplete bool
}

// file is a segment file of a log.
type file struct {
	path  string
	first uint64
	// end is how far it may be read: it grows while the file is written. last is the newest sequence there, 0 if there is none, and at
	// when it was written.
	end  int64
	last uint64
	at   time.Time
	// from is when its first transaction was committed, zero if that was not looked at or there is none.
	from time.Time
}

// ReadConsumers reads what WriteConsumers has kept; v stays as it is if there is nothing.
func (l *Log) ReadConsumers(v any) error {
	err := readJSON(filepath.Join(l.dir, consumersFile), v)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("%w; put the file of a backup in its place, or delete it: then its consumers begin anew, as their streams say", err)
}

// WriteConsumers keeps v as JSON, for one goroutine at a time.
func (l *Log) WriteConsumers(v any) error { return writeJSON(filepath.Join(l.dir, consumersFile), v) }

// Dir returns where the log of a database file is.
func Dir(database string) string { return database + "-cdc" }

// Exists reports whether there is a log in a directory.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, settingsFile))
	return err == nil
}

// ErrDamaged means that a log cannot go on: what it needs for that is damaged or missing.
var ErrDamaged = errors.New("segment: the log is damaged")

// Open opens a log that exists. The error is ErrDamaged if it must be set aside.
func Open(dir string) (*Log, error) {
	l := &Log{dir: dir}
	if err := readJSON(filepath.Join(dir, settingsFile), &l.saved); err != nil {
		return nil, err
	}
	l.Revert()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("segment: %w", err)
	}
	for _, e := range entries {
		first, ok := firstOf(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("segment: %w", err)
		}
		f := &file{path: filepath.Join(dir, e.Name()), first: first, end: info.Size(), at: info.ModTime()}
		l.files = append(l.files, f)
	}
	slices.SortFunc(l.files, func(a, b *file) int { return cmp.Compare(a.first, b.first) })
	for i, f := range l.files[:max(0, len(l.files)-1)] {
		f.last = l.files[i+1].first - 1
	}
	switch n := len(l.files); {
	case n > 0:
		l.trimmed = l.files[0].first - 1
		l.incomplete = l.files[n-1].first < l.state.Newest
	case l.state.Begun:
		return nil, fmt.Errorf("%w: there is no segment in %s", ErrDamaged, dir)
	default:
		l.trimmed = l.state.Newest - 1
	}
	return l, nil
}

// Settings returns those of the log.
func (l *Log) Settings() Settings {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.Settings
}

// Set changes the settings.
func (l *Log) Set(settings Settings) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.state.Settings
	if reflect.DeepEqual(before, settings) {
		return nil
	}
	l.state.Settings = settings
	err := l.save()
	if err != nil {
		l.state.Settings = before
	}
	return err
}

func (l *Log) save() error {
	if err := writeJSON(filepath.Join(l.dir, settingsFile), &l.state); err != nil {
		return err
	}
	l.saved = l.state
	l.saved.Void, l.saved.Revived = slices.Clone(l.state.Void), slices.Clone(l.state.Revived)
	return nil
}

// Revert takes back what Restore, and Lose, have found out, because it could not be kept.
func (l *Log) Revert() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = l.saved
	l.state.Void, l.state.Revived = slices.Clone(l.saved.Void), slices.Clone(l.saved.Revived)
}

// Next makes the next segment file, behind a sequence. It returns the file, its length, and the newest sequence, which is a greater one
// if there is a gap to tell.
func (l *Log) Next(sequence uint64, unsynced bool) (made *os.File, end int64, newest uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.files); n > 0 && l.files[n-1].first > sequence { // it has none, and its name
		sequence = l.files[n-1].first
		l.void(Range{From: sequence, To: sequence})
	}
	first := sequence + 1
	var records []byte
	if l.state.Gap != 0 {
		sequence++
		gap := Record{Kind: capture.SegmentGap, Detail: uint32(l.state.Gap), Sequence: sequence, At: time.Now().UnixNano()}
		records = appendRecord(nil, &gap, nil)
	}
	begin := Begin{Generation: l.state.Generation, Boot: bootID(), First: first, Unsynced: unsynced}
	if made, err = l.add(begin, records); err != nil {
		return nil, 0, 0, err
	}
	before := l.state
	l.state.Gap, l.state.Newest, l.state.Begun = 0, first, true
	if err := l.save(); err != nil { // the gap would be told twice
		l.state = before
		return nil, 0, 0, errors.Join(err, made.Close(), l.discard())
	}
	return made, capture.SegmentPage + int64(len(records)), sequence, nil
}

// Discard deletes the newest file, to which nothing was written: the one before goes on.
func (l *Log) Discard() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.discard()
	if n := len(l.files); n > 0 {
		l.state.Newest = l.files[n-1].first
	}
	return errors.Join(err, l.save())
}

// discard is Discard, but for what the settings file says. l.mu must be held.
func (l *Log) discard() error {
	last := len(l.files) - 1
	path := l.files[last].path
	l.files = l.files[:last]
	return os.Remove(path)
}

// add makes a file that begins with records. l.mu must be held.
func (l *Log) add(begin Begin, records []byte) (*os.File, error) {
	first := begin.First
	made, err := create(l.dir, begin, records)
	if err != nil {
		return nil, err
	}
	if err := syncDir(l.dir); err != nil {
		return nil, errors.Join(err, made.Close(), os.Remove(made.Name()))
	}
	if n := len(l.files); n > 0 {
		l.files[n-1].last = first - 1
	}
	l.files = append(l.files, &file{path: made.Name(), first: first, end: capture.SegmentPage + int64(len(records)), at: time.Now()})
	return made, nil
}

// bootID names the run of the operating system, "" if that cannot be told.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// Publish says how far the newest file may be read, and that sequence is the newest there.
func (l *Log) Publish(end int64, sequence uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.files[len(l.files)-1]
	f.end, f.last, f.at = max(f.end, end), max(f.last, sequence), time.Now()
}

// Full reports whether the newest file is large enough.
func (l *Log) Full(end int64) bool {
	const largest, parts = 16 << 20, 8
	l.mu.Lock()
	defer l.mu.Unlock()
	return end >= min(largest, l.state.MaxBytes/parts)
}

// Trim deletes files that are too old or too many, but not the newest. A file that cannot be deleted is found again by Open.
func (l *Log) Trim() (err error) {
	for _, f := range l.cutOff() { // without the lock, which the writer takes for each commit
		if removed := os.Remove(f.path); !errors.Is(removed, os.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}
	return err
}

// cutOff takes out of the log what Trim deletes.
func (l *Log) cutOff() []*file {
	l.mu.Lock()
	defer l.mu.Unlock()
	var size int64
	for _, f := range l.files {
		size += f.end
	}
	n := 0
	for ; n < len(l.files)-1; n++ {
		f := l.files[n]
		if size <= l.state.MaxBytes && time.Since(f.at) <= l.state.MaxAge {
			break
		}
		size -= f.end
		l.trimmed = l.files[n+1].first - 1
	}
	left := l.files[:n]
	l.files = l.files[n:]
	return left
}

// Stop notes how the database was left when the writer's connection was closed in good order.
func (l *Log) Stop(stop Stop) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return setStop(l.files[len(l.files)-1].path, &stop)
}
