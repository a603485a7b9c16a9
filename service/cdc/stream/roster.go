package stream

import (
	"cmp"
	"slices"
	"sync"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// roster knows the open streams of a run. Its lock is the last one that is taken.
type roster struct {
	mu   sync.Mutex
	open map[*Stream]struct{}
}

// add makes a stream known that was opened. It may have ended already.
func (r *roster) add(s *Stream) {
	r.mu.Lock()
	if r.open == nil {
		r.open = make(map[*Stream]struct{})
	}
	r.open[s] = struct{}{}
	r.mu.Unlock()
	if s.left() {
		r.remove(s)
	}
}

func (r *roster) remove(s *Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, s)
}

// left reports whether the stream has ended and read everything that it may.
func (s *Stream) left() bool { return s.streams.admission.hasLeft(&s.place) }

// Of says that the stream is that of a consumer.
func (s *Stream) Of(consumer string) {
	s.streams.roster.mu.Lock()
	defer s.streams.roster.mu.Unlock()
	s.consumer = consumer
}

// Describe describes the open streams, the oldest first. A stream that has read everything is at newest; lag tells how much lies
// behind a position that is not in the log.
func (s *Streams) Describe(newest api.Position, lag func(api.Position) (bytes, transactions int64)) []api.StreamInfo {
	s.roster.mu.Lock()
	open := make([]*Stream, 0, len(s.roster.open))
	infos := make([]api.StreamInfo, 0, len(s.roster.open))
	for one := range s.roster.open {
		open = append(open, one)
	}
	slices.SortFunc(open, func(a, b *Stream) int { return cmp.Compare(a.number, b.number) })
	for _, one := range open {
		infos = append(infos, api.StreamInfo{
			ID: one.number, Source: s.settings.Source, Reader: one.opts.Reader, Consumer: one.consumer, Since: one.since,
			Tables: slices.Clone(one.opts.Tables), Ops: slices.Clone(one.opts.Ops), Schema: one.opts.Schema,
		})
	}
	s.roster.mu.Unlock()
	for i, one := range open {
		one.describe(&infos[i], newest, lag)
	}
	return infos
}

// describe sets what changes while the stream is read.
func (s *Stream) describe(info *api.StreamInfo, newest api.Position, lag func(api.Position) (bytes, transactions int64)) {
	sequence, behind, waits := s.reader.Progress()
	position := api.Behind(sequence)
	if waits {
		position = newest
	}
	if sc := s.scanning.Load(); sc != nil {
		info.Snapshot, info.SnapshotRows, info.SnapshotTotal, position = true, sc.count.Load(), sc.total.Load(), sc.start
	}
	if info.LagBytes = behind; behind < 0 {
		info.LagBytes, _ = lag(position)
	}
	info.Cursor = position.Cursor(s.streams.settings.Generation)
}
