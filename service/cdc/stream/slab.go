package stream

import (
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// Changes and values belong to their receiver, so their memory cannot be used again. It is allocated in slabs,
// which cost a fraction of single allocations. A slab lives as long as anything in it, so slabs are small after a
// pause and grow only while changes keep coming.
const (
	firstSlab = 4   // changes
	lastSlab  = 256 // changes; as many bytes as the allocator's largest size class holds
	maxValues = 1024
)

// slabs hands out the memory of the changes of one stream.
type slabs struct {
	// batch is how many changes the next slab is made for.
	batch         int
	changes       []api.Change
	before, after values
}

// change returns a new change with empty, appendable rows.
func (s *slabs) change() *api.Change {
	if len(s.changes) == 0 {
		s.batch = min(max(firstSlab, 2*s.batch), lastSlab)
		s.changes = make([]api.Change, s.batch)
	}
	c := &s.changes[0]
	c.Before, c.After = s.before.empty(s.batch), s.after.empty(s.batch)
	return c
}

// keep takes the change that was handed out last, now filled in, out of the slabs.
func (s *slabs) keep(c *api.Change) {
	s.changes = s.changes[1:]
	c.Before, c.After = s.before.keep(c.Before), s.after.keep(c.After)
}

// rest is called when the stream is idle: the next slabs are small again.
func (s *slabs) rest() { s.batch = 0 }

// values is a slab of values that rows are cut from.
type values struct {
	free  []sqlapi.Value
	width int // of the widest row so far
}

// empty returns an empty row that one no wider than those before can be appended to in place.
func (v *values) empty(batch int) []sqlapi.Value {
	if len(v.free) < v.width {
		v.free = make([]sqlapi.Value, max(v.width, min(batch*v.width, maxValues)))
	}
	return v.free[:0]
}

// keep takes row out of the slab, if it is still there and did not outgrow it.
func (v *values) keep(row []sqlapi.Value) []sqlapi.Value {
	n := len(row)
	if n == 0 {
		return row
	}
	v.width = max(v.width, n)
	if len(v.free) == 0 || &row[0] != &v.free[0] {
		return row
	}
	v.free = v.free[n:]
	return row[:n:n]
}
