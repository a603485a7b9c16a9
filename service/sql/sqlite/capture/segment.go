package capture

/*
#include "segment.h"
*/
import "C"

import (
	"fmt"
	"syscall"
	"unsafe"
)

// RecordKind is what a record of a segment file says. See segment.h for what each has in its payload.
type RecordKind uint32

// The kinds.
const (
	SegmentCommit RecordKind = C.WIPPY_SEG_COMMIT
	SegmentMore   RecordKind = C.WIPPY_SEG_MORE
	SegmentAbort  RecordKind = C.WIPPY_SEG_ABORT
	SegmentMark   RecordKind = C.WIPPY_SEG_MARK
	SegmentGap    RecordKind = C.WIPPY_SEG_GAP
	SegmentShape  RecordKind = C.WIPPY_SEG_SHAPE
	SegmentBind   RecordKind = C.WIPPY_SEG_BIND
)

// Gap is why there is a gap.
type Gap uint32

// The reasons.
const (
	GapExternal   Gap = C.WIPPY_GAP_EXTERNAL
	GapLost       Gap = C.WIPPY_GAP_LOST
	GapTooLarge   Gap = C.WIPPY_GAP_TOO_LARGE
	GapUnverified Gap = C.WIPPY_GAP_UNVERIFIED
	GapRestored   Gap = C.WIPPY_GAP_RESTORED
)

// The layout of a segment file, little-endian.
const (
	SegmentMagic    = C.WIPPY_SEG_MAGIC
	SegmentPage     = C.WIPPY_SEG_PAGE
	SegmentSlot     = C.WIPPY_SEG_SLOT
	SegmentSlotStep = C.WIPPY_SEG_SLOT_STEP
	// SegmentRecord, SegmentRows and SegmentSlotSize are what a record, the payload of a commit, and a slot begin with.
	SegmentRecord   = C.sizeof_wippy_seg_record
	SegmentRows     = C.sizeof_wippy_seg_commit
	SegmentSlotSize = C.sizeof_wippy_seg_slot
)

// News is what the hooks of a connection with a segment have seen.
type News struct {
	// Foreign counts commits of other connections, Gap is the sequence of the newest gap that was written for them.
	Foreign uint32
	Gap     uint64
	// Failed counts transactions that could not be written, Err says why.
	Failed uint32
	Err    error
	// Sequence is that of the newest record, End the length of the file. Commit is that of the newest transaction that is handed over,
	// now or later.
	Sequence uint64
	Commit   uint64
	End      int64
}

func errno(rc C.int) error {
	if rc == 0 {
		return nil
	}
	return syscall.Errno(rc)
}

// BeginSegment makes the hooks write each transaction to a segment file before it commits, behind its first end bytes. The
// next sequence is sequence+1. If refuse is set, commits are refused that cannot be written. No transaction may be open. The
// descriptor is the recorder's from now on.
func (r *Recorder) BeginSegment(fd int, end int64, sequence uint64, refuse bool) error {
	return segmentError("begin", C.wippy_segment_begin(r.c, C.int(fd), C.uint64_t(end), C.uint64_t(sequence), flag(refuse)))
}

// Watch makes the hooks count commits of other connections, without a segment file, until EndSegment. It does nothing if they do
// already. No transaction may be open.
func (r *Recorder) Watch() error { return segmentError("watch without", C.wippy_segment_watch(r.c)) }

// SwitchSegment goes on in another file. No transaction may be committing.
func (r *Recorder) SwitchSegment(fd int, end int64) error {
	return segmentError("switch", C.wippy_segment_switch(r.c, C.int(fd), C.uint64_t(end)))
}

func segmentError(step string, rc C.int) error {
	if rc == 0 {
		return nil
	}
	return fmt.Errorf("capture: %s a segment: %w", step, errno(rc))
}

// EndSegment closes the file, if there is one.
func (r *Recorder) EndSegment() { C.wippy_segment_end(r.c) }

// AppendSegment writes a record that is no commit, and returns the length of the file. A gap takes the next sequence, which is
// returned as well; other records are about the sequence given.
func (r *Recorder) AppendSegment(kind RecordKind, detail uint32, sequence uint64, payload []byte) (next uint64, end int64, err error) {
	n := C.uint64_t(sequence)
	rc := C.wippy_segment_append(r.c, C.int(kind), C.uint32_t(detail), &n, unsafe.Pointer(unsafe.SliceData(payload)), C.uint64_t(len(payload)))
	return uint64(n), int64(C.wippy_segment_length(r.c)), segmentError("write to", rc)
}

// MarkSegment is called before a statement that may commit without a hook, RefreshSegment after it: own commits are not those of
// others.
func (r *Recorder) MarkSegment() { C.wippy_segment_mark(r.c) }

// RefreshSegment is the counterpart of MarkSegment.
func (r *Recorder) RefreshSegment(own int) { C.wippy_segment_refresh(r.c, C.uint32_t(own)) }

// LookForOthers looks whether other connections have committed, unless a statement runs. It may be called from any goroutine.
func (r *Recorder) LookForOthers() { C.wippy_segment_look(r.c) }

// News returns what has happened since it was called last. It may be called from any goroutine.
func (r *Recorder) News() News {
	n := C.wippy_segment_news(r.c)
	return News{
		Foreign: uint32(n.foreign), Gap: uint64(n.gap), Failed: uint32(n.failed), Err: errno(n.error),
		Sequence: uint64(n.sequence), Commit: uint64(n.commit), End: int64(n.end),
	}
}

// SyncSegment writes what was written to the disk.
func (r *Recorder) SyncSegment() error { return segmentError("sync", C.wippy_segment_sync(r.c)) }

// ExpectMore says before a statement that changes of it will be recorded when it has ended, and maybe committed.
func (r *Recorder) ExpectMore() { C.wippy_segment_expect(r.c) }

// NameShape says how the segment file calls the shape of a slot.
func (r *Recorder) NameShape(slot int, shape uint32) {
	C.wippy_segment_shape(r.c, C.uint32_t(slot), C.uint32_t(shape))
}
