package cdc

import (
	"cmp"
	"math"
	"strconv"
)

// Position is a place in the log of one run of a source: behind the change of that index in the transaction of that sequence.
// The zero Position lies before everything.
type Position struct {
	Sequence uint64
	Index    int
}

// Behind returns the position behind a whole transaction.
func Behind(sequence uint64) Position { return Position{sequence, math.MaxInt32} }

// Compare returns a negative number if p lies before o, a positive one if it lies behind o, and 0 if they are the same.
func (p Position) Compare(o Position) int {
	return cmp.Or(cmp.Compare(p.Sequence, o.Sequence), cmp.Compare(p.Index, o.Index))
}

// String returns sequence and index with a dot between them.
func (p Position) String() string {
	return strconv.FormatUint(p.Sequence, 10) + "." + strconv.Itoa(p.Index)
}

// Position returns where the change is in the log of its source.
func (c *Change) Position() Position { return Position{c.Transaction.Sequence, c.Index} }
