package sink

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Catalog knows the sinks of an app, running or not. It implements api.SinkInspector.
type Catalog struct {
	settings Settings

	mu    sync.Mutex
	sinks map[registry.ID]*state
}

var _ api.SinkInspector = (*Catalog)(nil)

// NewCatalog returns an empty catalog.
func NewCatalog(settings Settings) *Catalog {
	return &Catalog{settings: settings, sinks: make(map[registry.ID]*state)}
}

// New returns the sink of an entry, which must be declared before it is served.
func (c *Catalog) New(id registry.ID, config *api.SinkConfig, kind Kind) *Sink {
	logger := c.settings.Logger.With("sink", id.String(), "source", config.Source.String())
	return &Sink{id: id, config: config, kind: kind, settings: c.settings, catalog: c, logger: logger}
}

// Declare makes a sink known, or replaces what is known of it, until what it returns is called.
func (c *Catalog) Declare(s *Sink) (withdraw func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.sinks[s.id]
	if one == nil {
		one = &state{info: api.SinkInfo{State: api.StateStopped, Since: time.Now()}}
		one.info.Stats.Delay = newHistogram()
		c.sinks[s.id] = one
	}
	one.declare(api.SinkInfo{
		ID: s.id, Kind: s.kind.Name, Source: s.config.Source, Destination: s.kind.Shown, Format: s.config.Format,
	})
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.sinks, s.id)
	}
}

// begin begins a run of a declared sink.
func (c *Catalog) begin(id registry.ID) *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.sinks[id]
	if one == nil {
		one = &state{info: api.SinkInfo{ID: id}}
		one.info.Stats.Delay = newHistogram()
		c.sinks[id] = one
	}
	one.enter(api.StateStarting, nil)
	return one
}

// Sinks implements api.SinkInspector.
func (c *Catalog) Sinks() []api.SinkInfo {
	c.mu.Lock()
	all := make([]api.SinkInfo, 0, len(c.sinks))
	for _, one := range c.sinks {
		all = append(all, one.describe())
	}
	c.mu.Unlock()
	consumers := make(map[registry.ID][]api.ConsumerInfo)
	for i := range all {
		source := all[i].Source
		if _, asked := consumers[source]; !asked {
			consumers[source], _ = c.settings.Engine.Consumers(source) // of a source that does not run nothing is known
		}
		lag(&all[i], consumers[source])
	}
	slices.SortFunc(all, func(a, b api.SinkInfo) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return all
}

// lag sets how much a sink has not delivered, as far as it is known: how many rows of its snapshot are left is not.
func lag(info *api.SinkInfo, consumers []api.ConsumerInfo) {
	info.Stats.LagBytes, info.Stats.LagTransactions = -1, -1
	for i := range consumers {
		if consumers[i].Name == info.ID.String() && !consumers[i].Snapshot {
			info.Stats.LagBytes, info.Stats.LagTransactions = consumers[i].LagBytes, consumers[i].LagTransactions
		}
	}
}

// state is what is known of a sink while it runs, and afterwards.
type state struct {
	mu   sync.Mutex
	info api.SinkInfo
	// done counts the records that were confirmed or put aside.
	done uint64
}

// declare replaces what the entry says.
func (s *state) declare(info api.SinkInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.info
	info.State, info.Since, info.Err, info.Cursor, info.Stats = now.State, now.Since, now.Err, now.Cursor, now.Stats
	s.info = info
}

// enter notes that the sink is in another state.
func (s *state) enter(now api.State, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info.State != now {
		s.info.Since = time.Now()
	}
	s.info.State, s.info.Err, s.info.Attempts = now, err, 0
}

// end notes that the sink is stopped, or faulted if err is not nil.
func (s *state) end(err error) {
	if err != nil {
		s.enter(api.StateFaulted, err)
		return
	}
	s.enter(api.StateStopped, nil)
}

// describe returns a copy.
func (s *state) describe() api.SinkInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := s.info
	info.Stats.Delay.Counts = slices.Clone(info.Stats.Delay.Counts)
	return info
}

// failed notes an attempt that has failed, and returns how many have since the last that has not.
func (s *state) failed(err error) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info.Stats.Failed++
	s.info.Attempts++
	s.info.Err = err
	return s.info.Attempts
}

// refused notes an attempt that the destination has rejected.
func (s *state) refused() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info.Stats.Failed++
}

// retried notes that another attempt begins.
func (s *state) retried() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info.Stats.Retried++
}

// confirmed notes records that the destination has confirmed, and returns how many attempts had failed before.
func (s *state) confirmed(records []Record) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for i := range records {
		observe(&s.info.Stats.Delay, now.Sub(records[i].Change.Transaction.CommittedAt))
	}
	s.info.Stats.Published += uint64(len(records))
	s.done += uint64(len(records))
	s.info.Cursor = records[len(records)-1].Cursor
	failed := s.info.Attempts
	s.info.Attempts, s.info.Err = 0, nil
	return failed
}

// parked notes a record that was put aside.
func (s *state) parked(record *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done++
	s.info.Cursor = record.Cursor
	s.info.Attempts, s.info.Err = 0, nil
}

// holds notes how many records are put aside.
func (s *state) holds(rows uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info.Stats.Parked = rows
}

// progress returns how many records the sink is done with.
func (s *state) progress() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

// newHistogram returns an empty histogram of delays.
func newHistogram() api.Histogram {
	bounds := []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200}
	return api.Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
}

func observe(h *api.Histogram, d time.Duration) {
	seconds := max(d.Seconds(), 0)
	i, _ := slices.BinarySearch(h.Bounds, seconds)
	h.Counts[i]++
	h.Sum += seconds
}
