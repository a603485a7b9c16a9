package cdc

// slot is a transaction's place in the log.
type slot struct {
	tx Transaction
	// end is the number of bytes appended to the log up to and including tx.
	end int64
}

// ring is a queue whose elements keep their index for life: the first ever pushed has 0. It grows as needed and
// gives the memory back when it is empty.
type ring struct {
	slots       []slot // the length is a power of two
	first, next uint64
}

const (
	minRing = 64
	// An empty ring of more slots than this is given back.
	maxIdleRing = 4096
)

func (r *ring) len() int { return int(r.next - r.first) } //nolint:gosec // at most len(r.slots)

// at returns the slot of index i, which must be in the ring.
func (r *ring) at(i uint64) *slot {
	return &r.slots[i&uint64(len(r.slots)-1)] //nolint:gosec // not called on an empty ring
}

func (r *ring) push(s slot) {
	if r.len() == len(r.slots) {
		r.grow()
	}
	r.next++
	*r.at(r.next - 1) = s
}

// pop removes the oldest element.
func (r *ring) pop() {
	*r.at(r.first) = slot{}
	r.first++
	if r.first == r.next && len(r.slots) > maxIdleRing {
		r.slots = nil
	}
}

func (r *ring) grow() {
	grown := ring{slots: make([]slot, max(minRing, 2*len(r.slots))), first: r.first, next: r.next}
	for i := r.first; i < r.next; i++ {
		*grown.at(i) = *r.at(i)
	}
	*r = grown
}
