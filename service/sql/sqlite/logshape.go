package sqlite

import (
	"bytes"
	"cmp"
	"encoding/gob"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/capture"
	"github.com/wippy-cdc/runtime/service/sql/sqlite/segment"
)

// nameShapes says how the segment file calls the shapes of slots that were resolved since it was called last.
func (s *captureSession) nameShapes() {
	d := s.durable
	if d == nil {
		return
	}
	for ; s.shapes.named < s.shapes.known(); s.shapes.named++ {
		if shape := s.shapes.bySlot[s.shapes.named]; shape != nil {
			s.recorder.NameShape(s.shapes.named, d.name(s.recorder, shape))
		}
	}
}

// name returns what the segment file calls a shape, which is described there from now on; 0 if there was no room for that.
func (d *durable) name(r *capture.Recorder, shape *Shape) uint32 {
	id := d.names[shape]
	if id == 0 {
		id = uint32(len(d.names) + 1) //nolint:gosec // there are not that many
		d.names[shape] = id
	}
	if !d.described[id] {
		if _, _, err := r.AppendSegment(capture.SegmentShape, id, 0, shape.encode()); err == nil {
			d.described[id] = true // else it is tried again when a transaction has it
		}
	}
	if !d.described[id] {
		return 0
	}
	return id
}

// keep is called when a transaction has committed that is in the segment file: it writes what is still missing there, and lets it be
// read.
func (d *durable) keep(s *captureSession, summary *capture.Summary) {
	end := summary.End
	if summary.Unnamed {
		slots := make(map[uint32]uint32)
		for _, t := range summary.Touched {
			if int(t.Slot) < len(s.shapes.bySlot) && s.shapes.bySlot[t.Slot] != nil {
				slots[t.Slot] = d.name(s.recorder, s.shapes.bySlot[t.Slot])
			}
		}
		_, now, err := s.recorder.AppendSegment(capture.SegmentBind, 0, summary.Sequence, segment.Binding(slots))
		if err == nil {
			end = now
		}
	}
	d.flush(s.recorder)
	d.publish(end, summary.Sequence)
	if d.log.Full(end) {
		if err := d.roll(s); err != nil {
			d.logger.Error("the log of a durable source cannot go on in a new file, and grows", "error", err)
		}
	}
}

// roll goes on in a new file, which describes all shapes again.
func (d *durable) roll(s *captureSession) error {
	news := s.recorder.News()
	s.db.tellNews(news)
	if news.Commit > d.kept { // it goes to the file that is left
		return nil
	}
	d.publish(news.End, news.Sequence)
	file, end, sequence, err := d.log.Next(news.Sequence, d.unsynced)
	if err != nil {
		return err
	}
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = s.recorder.SwitchSegment(fd, end)
	}
	err = errors.Join(err, file.Close())
	if err != nil {
		return errors.Join(err, d.log.Discard())
	}
	d.publish(end, sequence)
	d.names, d.described = make(map[*Shape]uint32), make(map[uint32]bool)
	for slot, shape := range s.shapes.bySlot {
		if shape != nil {
			s.recorder.NameShape(slot, d.name(s.recorder, shape))
		}
	}
	return d.log.Trim()
}

// shapeText is a Shape in a segment file.
type shapeText struct {
	Table    *sqlapi.Table
	Reals    []int
	Defaults []string
	Strict   bool
}

func (s *Shape) encode() []byte {
	var text bytes.Buffer
	if err := gob.NewEncoder(&text).Encode(shapeText{s.table, s.reals, s.defaults, s.isStrict}); err != nil {
		panic("sqlite: a shape cannot be written: " + err.Error()) // it has nothing but words and numbers
	}
	return text.Bytes()
}

func decodeShape(text []byte) (*Shape, error) {
	var t shapeText
	if err := gob.NewDecoder(bytes.NewReader(text)).Decode(&t); err != nil || t.Table == nil {
		return nil, fmt.Errorf("sqlite: the shape of a table: %w", cmp.Or(err, io.ErrUnexpectedEOF))
	}
	for len(t.Defaults) < len(t.Table.Columns) {
		t.Defaults = append(t.Defaults, "")
	}
	return &Shape{table: t.Table, reals: t.Reals, defaults: t.Defaults, isStrict: t.Strict}, nil
}
