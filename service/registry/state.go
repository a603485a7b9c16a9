package registry

import (
	"bytes"
	"iter"
	"maps"
	"reflect"
	"slices"

	"github.com/wippy-cdc/runtime/api/registry"
)

// State is what an app declares at one moment, free of problems and in starting order. It is immutable; the zero
// State declares nothing.
type State struct {
	records []*record
	byID    map[registry.ID]*record
}

// newState marks what is to be started: entries with auto_start and all that they require.
func newState(records []*record) *State {
	s := &State{records: records, byID: make(map[registry.ID]*record, len(records))}
	for _, rec := range records {
		s.byID[rec.entry.ID] = rec
	}
	for _, rec := range slices.Backward(records) {
		if rec.entry.Start = rec.entry.Start || rec.entry.Lifecycle.AutoStart; !rec.entry.Start {
			continue
		}
		for _, id := range rec.entry.Requires {
			s.byID[id].entry.Start = true
		}
	}
	return s
}

// Starting returns the state with the entries of ids, and all that they require, to be started as well.
func (s *State) Starting(ids ...registry.ID) *State {
	return s.choosing(func(entry *registry.Entry) bool { return entry.Start || slices.Contains(ids, entry.ID) })
}

// Idle returns the state with nothing to be started.
func (s *State) Idle() *State {
	return s.choosing(func(entry *registry.Entry) bool {
		entry.Lifecycle.AutoStart = false
		return false
	})
}

// With returns the state with one more entry, which nothing requires.
func (s *State) With(entry *registry.Entry) *State {
	records := append(slices.Clone(s.records), &record{entry: entry})
	return (&State{records: records}).choosing(func(entry *registry.Entry) bool { return entry.Start })
}

// choosing returns the state with the entries to be started that starts chooses, and all that they require. It is
// given copies.
func (s *State) choosing(starts func(*registry.Entry) bool) *State {
	records := make([]*record, len(s.records))
	for i, rec := range s.records {
		entry := *rec.entry
		entry.Start = starts(&entry)
		records[i] = &record{entry: &entry, refs: rec.refs, files: rec.files}
	}
	return newState(records)
}

// Entries yields the entries, each after those that it requires.
func (s *State) Entries() iter.Seq[*registry.Entry] {
	return func(yield func(*registry.Entry) bool) {
		for _, rec := range s.records {
			if !yield(rec.entry) {
				return
			}
		}
	}
}

// Entry returns the entry of id, nil if there is none.
func (s *State) Entry(id registry.ID) *registry.Entry {
	if rec := s.byID[id]; rec != nil {
		return rec.entry
	}
	return nil
}

// Len returns the number of entries.
func (s *State) Len() int { return len(s.records) }

// plan returns what must be done to come from one state to another. An entry that has changed is updated; those
// that require it are stopped before and added again after it. An entry that is stopped, or has failed, is added again.
func plan(from, to *State, stopped func(*registry.Entry) bool) registry.ChangeSet {
	down := make(map[registry.ID]bool)
	for _, old := range from.records {
		down[old.entry.ID] = stopped(old.entry)
	}
	changed := make(map[registry.ID]bool)
	gone := make(map[registry.ID]bool)
	for _, old := range from.records {
		id := old.entry.ID
		now := to.byID[id]
		gone[id] = now == nil || now.entry.Kind != old.entry.Kind
		changed[id] = gone[id] || down[id] || !same(old, now)
	}
	maps.DeleteFunc(changed, func(_ registry.ID, yes bool) bool { return !yes })
	replaced := dependents([]*State{from, to}, changed)

	var set registry.ChangeSet
	for _, old := range slices.Backward(from.records) {
		if id := old.entry.ID; gone[id] || (replaced[id] && !down[id]) {
			set.Ended = append(set.Ended, registry.Ended{Entry: old.entry, Delete: gone[id]})
		}
	}
	for _, now := range to.records {
		id := now.entry.ID
		switch runs := from.byID[id] != nil && !down[id]; {
		case !runs || gone[id] || replaced[id]:
			set.Applied = append(set.Applied, registry.Applied{Entry: now.entry})
		case changed[id]:
			set.Applied = append(set.Applied, registry.Applied{Entry: now.entry, Update: true})
		}
	}
	return set
}

// same reports whether nothing has changed that a running entry would notice; where it is written is not.
func same(a, b *record) bool {
	x, y := *a.entry, *b.entry
	x.Position, y.Position = registry.Position{}, registry.Position{}
	return reflect.DeepEqual(x, y) && maps.EqualFunc(a.files, b.files, bytes.Equal)
}
