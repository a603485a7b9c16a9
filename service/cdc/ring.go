package cdc

// slot is a transaction's place in the log.
type slot struct {
	tx   Transaction
	size int64
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
	// Transactions are taken from the ring up to this many at a time, which together are no larger than maxTaken
	// unless it is only one: the fewer the visits to the log, the less they are in the writer's way.
	takenAtOnce = 32
	maxTaken    = 64 << 10

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

// from appends to list the slot of index i, before which the total was start, and some that follow.
func (r *ring) from(i uint64, start int64, list []slot) []slot {
	list = append(list, *r.at(i))
	for i++; i < r.next && len(list) < takenAtOnce && r.at(i).end-start <= maxTaken; i++ {
		list = append(list, *r.at(i))
	}
	return list
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
