package cdc

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// Declaration is what is known of a source whether it runs or not.
type Declaration struct {
	// Info describes the source. The fields that change while it runs are ignored.
	Info api.SourceInfo
	// LogBytes bounds max_bytes of its streams.
	LogBytes unit.Size
}

// Source is a source that runs. Methods may be called from any goroutine.
type Source interface {
	// Subscribe opens a stream; see api.Streamer.
	Subscribe(ctx context.Context, opts api.StreamOptions) (api.Stream, error)
	// Describe sets those fields of info that change while the source runs.
	Describe(info *api.SourceInfo)
	// Measure sets the gauges of stats.
	Measure(stats *api.Stats)
}

// Catalog knows the sources of one engine, running or not, and opens streams on them. It implements api.Engine and api.Meter.
type Catalog struct {
	mu      sync.RWMutex
	sources map[registry.ID]*record
	// newest is the number that the latest generation was made of.
	newest int64
}

// record is what a catalog knows of one source. It is guarded by the catalog's mu.
type record struct {
	Declaration
	running  Source
	counters *Counters
	// run is the latest run, nil if there was none.
	run *Run
}

var (
	_ api.Engine = (*Catalog)(nil)
	_ api.Meter  = (*Catalog)(nil)
)

// NewCatalog returns an empty catalog.
func NewCatalog() *Catalog { return &Catalog{sources: make(map[registry.ID]*record)} }

// Declare makes a source known, or replaces what is known of it: from the next run on if it is running now.
func (c *Catalog) Declare(d Declaration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.sources[d.Info.ID]
	if r == nil {
		r = &record{counters: NewCounters()}
		c.sources[d.Info.ID] = r
	}
	state, epoch, generation, err := r.Info.State, r.Info.Epoch, r.Info.Generation, r.Info.Err
	r.Declaration = d
	r.Info.State, r.Info.Epoch, r.Info.Generation, r.Info.Err = cmp.Or(state, api.StateStopped), epoch, generation, err
}

// Remove forgets a source. A run that has not ended yet goes on unseen.
func (c *Catalog) Remove(id registry.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sources, id)
}

// Begin begins a run of a declared source: its state is starting until the run says otherwise. A run that has not
// ended is an error, because two of the same source must not overlap.
func (c *Catalog) Begin(id registry.ID) (*Run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.record(id)
	if err != nil {
		return nil, err
	}
	if r.run != nil && !r.run.ended {
		return nil, errs.New(errs.Conflict, "cdc: source %q: its previous run has not ended", id)
	}
	c.newest = max(c.newest+1, time.Now().UnixMicro())
	r.Info.State, r.Info.Err = api.StateStarting, nil
	r.Info.Epoch++
	r.Info.Generation = strconv.FormatInt(c.newest, 16)
	r.run = &Run{catalog: c, record: r, generation: r.Info.Generation}
	return r.run, nil
}

// Sources implements api.Inspector.
func (c *Catalog) Sources() []api.SourceInfo {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]api.SourceInfo, 0, len(c.sources))
	for _, r := range c.sources {
		all = append(all, r.describe())
	}
	slices.SortFunc(all, func(a, b api.SourceInfo) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	return all
}

// Source implements api.Inspector.
func (c *Catalog) Source(id registry.ID) (api.SourceInfo, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r, ok := c.sources[id]; ok {
		return r.describe(), true
	}
	return api.SourceInfo{}, false
}

// Stats implements api.Meter.
func (c *Catalog) Stats() []api.Stats {
	all, running := c.counted()
	for i, source := range running {
		if source != nil {
			source.Measure(&all[i]) // it may look at files
		}
	}
	slices.SortFunc(all, func(a, b api.Stats) int { return cmp.Compare(a.Source.String(), b.Source.String()) })
	return all
}

// counted returns the counters of all sources that have run, and those that run now, nil for others, in the same order.
func (c *Catalog) counted() (all []api.Stats, running []Source) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for id, r := range c.sources {
		if r.run == nil {
			continue
		}
		stats := api.Stats{Source: id}
		r.counters.fill(&stats)
		all, running = append(all, stats), append(running, r.running)
	}
	return all, running
}

// Check implements api.Streamer.
func (c *Catalog) Check(id registry.ID, opts api.StreamOptions) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, err := c.record(id)
	if err != nil {
		return err
	}
	if opts.Snapshot == api.SnapshotAlways && !r.Info.Capabilities.Snapshot {
		return errs.New(errs.Invalid, "cdc: source %q: snapshot is true, and %s sources have none", id, r.Info.Kind)
	}
	_, err = resolve(id, opts, r.LogBytes, r.Info.Tables)
	return err
}

// Subscribe implements api.Streamer.
func (c *Catalog) Subscribe(ctx context.Context, id registry.ID, opts api.StreamOptions) (api.Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.Check(id, opts); err != nil {
		return nil, err
	}
	source, err := c.runningSource(id)
	if err != nil {
		return nil, err
	}
	return source.Subscribe(ctx, opts)
}

func (c *Catalog) runningSource(id registry.ID) (Source, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, err := c.record(id)
	switch {
	case err != nil:
		return nil, err
	case r.running != nil:
		return r.running, nil
	case r.Info.Err != nil:
		return nil, errs.New(errs.Unavailable, "cdc: source %q is not running (%s): %w", id, r.Info.State, r.Info.Err)
	case r.Info.State == api.StateStopped:
		return nil, errs.New(errs.Unavailable, "cdc: source %q is not running (stopped): name it under lifecycle.requires of what needs it, "+
			"or give it auto_start", id)
	default:
		return nil, errs.New(errs.Unavailable, "cdc: source %q is not running (%s)", id, r.Info.State)
	}
}

// record returns what is known of id. c.mu must be held.
func (c *Catalog) record(id registry.ID) (*record, error) {
	if r, ok := c.sources[id]; ok {
		return r, nil
	}
	return nil, errs.New(errs.NotFound, "cdc: source %q: no source has this ID", id)
}

func (r *record) describe() api.SourceInfo {
	info := r.Info
	info.Tables = slices.Clone(info.Tables)
	if r.running != nil {
		r.running.Describe(&info)
	}
	return info
}

// Run is one run of a source, from Begin to End.
type Run struct {
	catalog    *Catalog
	record     *record
	generation string
	ended      bool // guarded by catalog.mu
}

// Generation names the run. Names of later runs are greater as strings; they consist of hexadecimal digits.
func (r *Run) Generation() string { return r.generation }

// Counters returns those of the source, which go on over its runs.
func (r *Run) Counters() *Counters { return r.record.counters }

// Ready makes the source available to subscribers, until End.
func (r *Run) Ready(source Source) {
	r.catalog.mu.Lock()
	defer r.catalog.mu.Unlock()
	r.record.running = source
	r.record.Info.State = api.StateRunning
}

// End ends the run: the source is stopped, or faulted if err is not nil. It is idempotent.
func (r *Run) End(err error) {
	r.catalog.mu.Lock()
	defer r.catalog.mu.Unlock()
	if r.ended {
		return
	}
	r.ended = true
	r.record.running = nil
	r.record.Info.State, r.record.Info.Err = api.StateStopped, err
	if err != nil {
		r.record.Info.State = api.StateFaulted
	}
}
