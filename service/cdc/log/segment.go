package log

import (
	"bytes"
	"sync"
	"sync/atomic"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// segment is a run of records. The newest one of a log may be being filled, the others do not grow any more.
type segment struct {
	// begin is the place of its first record.
	begin place
	// size is how many bytes there are; it grows while the segment is filled. A reader that has seen it may read so far.
	size atomic.Int64
	// content is replaced when the bytes move to a file. A reader that has the old one goes on with that.
	content atomic.Pointer[content]
	// alone says that it holds one large record and is not filled any more.
	alone bool

	// These are guarded by the log's mu. last is the position of the last change of its newest record, largest the size of its largest one,
	// memory how much it needs; readers counts what keeps it: active readers in it, and lists of parked ones that are called
	// for a record in it.
	last    api.Position
	largest int64
	memory  int64
	readers int

	// mu guards the map, but not from the goroutine that appends, which alone writes to it.
	mu     sync.RWMutex
	tables map[uint32]table
}

// table is what a segment knows of the ID of a table.
type table struct {
	shape  Shape
	parked *parked
}

// newSegment returns a segment with room for capacity bytes.
func newSegment(capacity int, alone bool) *segment {
	s := &segment{alone: alone, memory: int64(capacity), tables: make(map[uint32]table)}
	s.content.Store(&content{front: make([]byte, capacity)})
	return s
}

// fits reports whether a record with a front of that size, entries included, can be put into s.
func (s *segment) fits(size int, touched []Touched) bool {
	if s.alone || s.size.Load()+int64(size) > int64(len(s.content.Load().front)) {
		return false
	}
	for _, t := range touched {
		if known, ok := s.tables[t.ID]; ok && known.shape != t.Shape {
			return false
		}
	}
	return true
}

// put writes a record behind the others, where no reader is yet.
func (s *segment) put(tx *Transaction) {
	c := s.content.Load()
	b := appendFront(c.front[s.size.Load():s.size.Load()], tx)
	if !s.alone {
		_ = append(b, tx.Entries...)
		return
	}
	c = &content{front: b}
	if tx.Spilled != nil {
		c.behind = append(c.behind, piece{file: tx.Spilled})
	}
	if len(tx.Entries) > 0 {
		entries := tx.Entries
		if !tx.Owned {
			entries = bytes.Clone(entries)
		}
		c.behind = append(c.behind, piece{memory: entries})
	}
	s.content.Store(c)
}

// learn notes the shapes of a summary.
func (s *segment) learn(touched []Touched, w *waiting) {
	for _, t := range touched {
		if _, known := s.tables[t.ID]; known {
			continue
		}
		s.mu.Lock()
		known := table{shape: t.Shape}
		if w != nil { // readers can wait for it
			known.parked = w.waitFor(t.Shape)
		}
		s.tables[t.ID] = known
		s.mu.Unlock()
	}
}

// shape returns the shape that an ID stands for, nil if it is not known.
func (s *segment) shape(id uint32) Shape {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tables[id].shape
}

func (s *segment) end() int64 { return s.begin.offset + s.size.Load() }

// holds reports whether the record at an offset of the log is in s.
func (s *segment) holds(offset int64) bool { return offset >= s.begin.offset && offset < s.end() }
