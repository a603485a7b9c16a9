package source

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc/consumer"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

// Catalog knows the sources of an app, running or not and whatever captures them, and opens streams on them. It
// implements api.Engine and api.Meter.
type Catalog struct {
	mu      sync.RWMutex
	sources map[registry.ID]*record
	// newest is the number that the latest generation was made of.
	newest int64
}

// record is what a catalog knows of one source. It is guarded by the catalog's mu.
type record struct {
	info     api.SourceInfo
	logBytes unit.Size
	counters *stream.Counters
	// absent are the readers that have ended.
	absent absences
	// told are the consumers that have heard of a gap and have yet to begin anew.
	told consumer.Told
	// run is the latest run, nil if there was none. It takes subscriptions in StateRunning, and has ended in StateStopped
	// and StateFaulted.
	run *Run
}

func (r *record) runs() bool { return r.info.State == api.StateRunning }

func (r *record) hasEnded() bool { return !r.runs() && r.info.State != api.StateStarting }

var (
	_ api.Engine = (*Catalog)(nil)
	_ api.Meter  = (*Catalog)(nil)
)

// NewCatalog returns an empty catalog.
func NewCatalog() *Catalog { return &Catalog{sources: make(map[registry.ID]*record)} }

// Declare makes a source known, or replaces what is known of it: from the next run on if it is running now.
func (c *Catalog) Declare(engine Engine) {
	info := engine.Info()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.sources[info.ID]
	if r == nil {
		r = &record{counters: stream.NewCounters(), info: api.SourceInfo{State: api.StateStopped}}
		c.sources[info.ID] = r
	}
	info.State, info.Epoch, info.Generation, info.Err = r.info.State, r.info.Epoch, r.info.Generation, r.info.Err
	r.info, r.logBytes = info, engine.Limits().LogBytes
}

// Remove forgets a source. A run that has not ended yet goes on unseen.
func (c *Catalog) Remove(id registry.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sources, id)
}

// begin begins a run of a declared source: its state is starting until the run says otherwise. A run that has not
// ended is an error, because two of the same source must not overlap.
func (c *Catalog) begin(id registry.ID, logger *slog.Logger) (*Run, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.record(id)
	if err != nil {
		return nil, err
	}
	if !r.hasEnded() {
		return nil, errs.New(errs.Conflict, "cdc: source %q: its previous run has not ended", id)
	}
	c.newest = max(c.newest+1, time.Now().UnixMicro())
	r.info.State, r.info.Err = api.StateStarting, nil
	r.info.Epoch++
	r.info.Generation = strconv.FormatInt(c.newest, 16)
	r.run = &Run{id: id, catalog: c, record: r, generation: r.info.Generation, logger: logger, changed: make(chan struct{}, 1)}
	r.run.wanted = wanted{seen: make(map[string]bool), wake: make(chan struct{}, 1)}
	return r.run, nil
}

// ready makes the source available to subscribers, until the run ends.
func (r *Run) ready() {
	r.catalog.mu.Lock()
	defer r.catalog.mu.Unlock()
	r.record.info.State = api.StateRunning
}

// end ends the run: the source is stopped, or faulted if err is not nil. It is idempotent.
func (r *Run) end(err error) {
	r.catalog.mu.Lock()
	defer r.catalog.mu.Unlock()
	if r.record.run != r || r.record.hasEnded() {
		return
	}
	r.record.info.State, r.record.info.Err = api.StateStopped, err
	if err != nil {
		r.record.info.State = api.StateFaulted
	}
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

// Streams implements api.Inspector.
func (c *Catalog) Streams() []api.StreamInfo {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var all []api.StreamInfo
	for _, r := range c.sources {
		if r.runs() {
			all = append(all, r.run.streams.Describe(r.run.session.Newest(), r.run.session.Lag)...)
		}
	}
	slices.SortStableFunc(all, func(a, b api.StreamInfo) int { return cmp.Compare(a.Source.String(), b.Source.String()) })
	return all
}

// Tables implements api.Inspector.
func (c *Catalog) Tables(ctx context.Context, id registry.ID) ([]string, error) {
	run, err := c.runOf(id)
	if err != nil {
		return nil, err
	}
	all, err := run.session.ListTables(ctx)
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "cdc: source %q: list its tables: %w", id, err)
	}
	if info, _ := c.Source(id); len(info.Tables) > 0 {
		all = slices.DeleteFunc(all, func(table string) bool { return !stream.Names(info.Tables, table) })
	}
	slices.Sort(all)
	return all, nil
}

func (r *record) describe() api.SourceInfo {
	info := r.info
	info.Tables = slices.Clone(info.Tables)
	if r.runs() {
		r.run.describe(&info)
	}
	return info
}

// Stats implements api.Meter.
func (c *Catalog) Stats() []api.Stats {
	all, running := c.counted()
	for i, run := range running {
		if run != nil {
			run.streams.Measure(&all[i])
			run.session.Measure(&all[i]) // it may look at files
			if run.consumers != nil {
				all[i].Consumers = run.consumers.Describe(run.session.Lag)
			}
		}
	}
	slices.SortFunc(all, func(a, b api.Stats) int { return cmp.Compare(a.Source.String(), b.Source.String()) })
	return all
}

// counted returns the counters of all sources that have run, and in the same order the runs of those that run now, nil
// for others.
func (c *Catalog) counted() (all []api.Stats, running []*Run) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for id, r := range c.sources {
		if r.run == nil {
			continue
		}
		stats := api.Stats{Source: id}
		r.counters.Fill(&stats)
		all = append(all, stats)
		if running = append(running, nil); r.runs() {
			running[len(running)-1] = r.run
		}
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
	switch {
	case opts.Start == api.Snapshot() && !r.info.Capabilities.Snapshot:
		return errs.New(errs.Invalid, "cdc: source %q: snapshot is true, and %s sources have none", id, r.info.Kind)
	case (opts.Consumer != "" || opts.Start.Generation() != "") && !r.info.Capabilities.Replayable:
		return unreplayable(id, r.info.Kind)
	}
	_, err = stream.Resolve(id, opts, r.logBytes, r.info.Tables)
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
	run, err := c.runOf(id)
	if err != nil {
		return nil, err
	}
	return run.subscribe(ctx, opts)
}

// unreplayable says what the entry of a source lacks for streams with consumer or after.
func unreplayable(id registry.ID, kind registry.Kind) error {
	cure := "give its entry durable: true"
	if kind == api.KindPostgres {
		cure = "remove temporary: true from its entry"
	}
	return errs.New(errs.Invalid, "cdc: source %q: consumer and after are for sources that keep what has committed: %s", id, cure)
}

// Consumers implements api.Consuming.
func (c *Catalog) Consumers(id registry.ID) ([]api.ConsumerInfo, error) {
	run, consumers, err := c.consuming(id)
	if err != nil {
		return nil, err
	}
	return consumers.Describe(run.session.Lag), nil
}

// Forget implements api.Consuming.
func (c *Catalog) Forget(ctx context.Context, id registry.ID, name string) error {
	_, consumers, err := c.consuming(id)
	if err != nil {
		return err
	}
	return consumers.Forget(ctx, name)
}

// Reset implements api.Consuming.
func (c *Catalog) Reset(ctx context.Context, id registry.ID, name string, start api.Start) error {
	run, consumers, err := c.consuming(id)
	if err != nil {
		return err
	}
	p, err := run.begins(start)
	if err != nil {
		return err
	}
	return consumers.Reset(ctx, name, p)
}

func (c *Catalog) consuming(id registry.ID) (*Run, *consumer.Consumers, error) {
	run, err := c.runOf(id)
	if err != nil {
		return nil, nil, err
	}
	consumers, err := run.consuming()
	return run, consumers, err
}

func (c *Catalog) runOf(id registry.ID) (*Run, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, err := c.record(id)
	switch {
	case err != nil:
		return nil, err
	case r.runs():
		return r.run, nil
	case r.info.Err != nil:
		return nil, errs.New(errs.Unavailable, "cdc: source %q is not running (%s): %w", id, r.info.State, r.info.Err)
	case r.info.State == api.StateStopped:
		return nil, errs.New(errs.Unavailable, "cdc: source %q is not running (stopped): name it under lifecycle.requires of what needs it, "+
			"or give it auto_start", id)
	default:
		return nil, errs.New(errs.Unavailable, "cdc: source %q is not running (%s)", id, r.info.State)
	}
}

// record returns what is known of id. c.mu must be held.
func (c *Catalog) record(id registry.ID) (*record, error) {
	if r, ok := c.sources[id]; ok {
		return r, nil
	}
	known := "there are no sources"
	if len(c.sources) > 0 {
		names := make([]string, 0, len(c.sources))
		for other := range c.sources {
			names = append(names, other.String())
		}
		slices.Sort(names)
		known = "the sources are " + strings.Join(names, ", ")
	}
	return nil, errs.New(errs.NotFound, "cdc: source %q: no entry of kind %s or %s has this ID; %s",
		id, api.KindSQLite, api.KindPostgres, known)
}
