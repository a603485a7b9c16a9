package cdc

// Glanced is a Transaction of which can be told at a glance whom it concerns, so that nobody is woken for nothing.
type Glanced interface {
	Transaction
	// Concerns reports whether selection may accept a change of the transaction. Append asks: what would take longer than a
	// few hundred nanoseconds to find out may be.
	Concerns(selection *Selection) bool
	// Passed is called by Append if it has moved streams past the transaction, which nobody will look through for them
	// now, and perhaps nobody at all.
	Passed()
}

const (
	// If there are more groups of streams than this, or they select from more tables together, asking takes too long, and the
	// keeper sees to them.
	groupsAtAGlance, tablesAtAGlance = 8, 64
)

// pass lets all streams that wait pass over the newest transaction, if it concerns none of them and they wait for nothing
// before it. l.mu must be held.
func (l *Log) pass(tx Glanced) bool {
	if len(l.groups) > groupsAtAGlance {
		return false
	}
	tables := 0
	for _, g := range l.groups {
		if len(g.waiting) == 0 {
			continue
		}
		tables += g.selection.tables()
		if g.round.read.at+1 != l.ring.next || g.selection.all() || tables > tablesAtAGlance || tx.Concerns(g.selection) {
			return false
		}
	}
	for _, g := range l.groups {
		if len(g.waiting) > 0 {
			g.round.read = place{l.ring.next, l.total}
		}
	}
	return true
}
