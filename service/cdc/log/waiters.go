package log

import (
	"iter"
	"strings"
)

// Interest says for which transactions a reader that waits is to be woken. It may say too much.
type Interest struct {
	// Tables are names of tables in any case, bare or behind a schema, which does not count; nil means all.
	Tables []string
	// Codes are operations on them.
	Codes Codes
}

// waiting is the parked readers by the tables that they wait for. It is guarded by the log's mu.
type waiting struct {
	all parked
	// none is for tables that no reader can wait for.
	none    parked
	byTable map[string]*parked
	// called are the lists of which readers are to be woken by the log's goroutine.
	called []*parked
	// pruneAt is the number of lists at which those are looked for that no reader is in.
	pruneAt int
}

// parked is a list of the readers that wait for changes of one table.
type parked struct {
	first, last *link
	n           int
	// codes are the operations that they wait for, or more.
	codes Codes
	// calledFor is not 0 if those are to be woken that wait for one of these operations, because of the record at place, in
	// segment, or records behind it. left is how many readers have yet to be looked at.
	calledFor Codes
	segment   *segment
	place     place
	left      int
}

// link is the place of a reader in a list.
type link struct {
	reader         *Reader
	list           *parked
	previous, next *link
}

// of returns the list of a table; name is folded.
func (w *waiting) of(name string) *parked {
	list := w.byTable[name]
	if list == nil {
		list = new(parked)
		w.byTable[name] = list
	}
	return list
}

// waitFor returns the list of a shape's table.
func (w *waiting) waitFor(shape Shape) *parked {
	if shape == nil {
		return &w.none
	}
	return w.of(fold(shape.Table().Name))
}

// leastPruned is the number of lists that are not worth looking through.
const leastPruned = 1024

// prune forgets lists that no reader is in, if there are many. s is the only segment that lists are called for by Append.
func (w *waiting) prune(s *segment) {
	if len(w.byTable) < max(w.pruneAt, leastPruned) {
		return
	}
	used := make(map[*parked]struct{})
	for _, t := range s.tables {
		used[t.parked] = struct{}{}
	}
	for name, list := range w.byTable {
		if _, needed := used[list]; !needed && list.n == 0 && list.calledFor == 0 {
			delete(w.byTable, name)
		}
	}
	w.pruneAt = 2 * len(w.byTable)
}

// fold is how names are compared: the case of ASCII letters does not count, and neither does a schema.
func fold(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// add parks a reader.
func (w *waiting) add(r *Reader) {
	if r.interest.Tables == nil {
		w.all.push(&r.links[0])
	}
	for i, name := range r.interest.Tables {
		w.of(name).push(&r.links[i])
	}
}

// remove is the opposite of add.
func (w *waiting) remove(r *Reader) {
	for i := range r.links {
		r.links[i].list.cut(&r.links[i])
	}
}

func (p *parked) push(l *link) {
	l.list = p
	p.append(l)
	p.n++
	p.codes |= l.reader.interest.Codes
}

func (p *parked) append(l *link) {
	l.previous, l.next = p.last, nil
	if p.last == nil {
		p.first = l
	} else {
		p.last.next = l
	}
	p.last = l
}

func (p *parked) cut(l *link) {
	p.unlink(l)
	if p.n--; p.n == 0 {
		p.codes = 0
	}
}

func (p *parked) unlink(l *link) {
	if l.previous == nil {
		p.first = l.next
	} else {
		l.previous.next = l.next
	}
	if l.next == nil {
		p.last = l.previous
	} else {
		l.next.previous = l.previous
	}
}

// call finds out which readers wait for the record at a place: none, one, or several, whose lists are called then.
func (w *waiting) call(s *segment, touched []Touched, at place) (one *Reader, several bool) {
	codes := Codes(0)
	for _, t := range touched {
		codes |= t.Codes
	}
	one, several = w.all.alone(codes, nil)
	for i := 0; i < len(touched) && !several; i++ {
		one, several = s.tables[touched[i].ID].parked.alone(touched[i].Codes, one)
	}
	if !several {
		return one, false
	}
	w.callList(&w.all, codes, s, at)
	for _, t := range touched {
		w.callList(s.tables[t.ID].parked, t.Codes, s, at)
	}
	return nil, true
}

// alone returns the only reader of the list and other, if there is no more than one.
func (p *parked) alone(codes Codes, other *Reader) (one *Reader, several bool) {
	switch {
	case p.n == 0 || p.codes&codes == 0:
		return other, false
	case p.n == 1 && (other == nil || other == p.first.reader):
		return p.first.reader, false
	default:
		return nil, true
	}
}

func (w *waiting) callList(p *parked, codes Codes, s *segment, at place) {
	if p.n == 0 || p.codes&codes == 0 {
		return
	}
	if p.calledFor == 0 {
		p.segment, p.place = s, at
		s.readers++
		w.called = append(w.called, p)
	}
	p.calledFor |= codes
	p.left = p.n
}

// uncall is the opposite of callList, when its readers were looked at.
func (p *parked) uncall() {
	p.segment.readers--
	p.calledFor, p.segment, p.place, p.left = 0, nil, place{}, 0
}

// uncall is for when no reader is parked any more.
func (w *waiting) uncall() {
	for _, list := range w.called {
		list.uncall()
	}
	w.called = nil
}

// readers returns all that are parked, each once. They may be removed meanwhile.
func (w *waiting) readers() iter.Seq[*Reader] {
	return func(yield func(*Reader) bool) {
		if !w.all.each(yield) {
			return
		}
		for _, list := range w.byTable {
			if !list.each(yield) {
				return
			}
		}
	}
}

// each calls yield for the readers whose first place is in the list, until it returns false.
func (p *parked) each(yield func(*Reader) bool) bool {
	for l := p.first; l != nil; {
		next, r := l.next, l.reader
		if l == &r.links[0] && !yield(r) {
			return false
		}
		l = next
	}
	return true
}
