package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	resourceapi "github.com/wippy-cdc/runtime/api/resource"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/supervisor"
)

// Settings is what sinks need of the program.
type Settings struct {
	Engine  api.Engine
	Encoder api.Encoder
	// Directory has the databases of sources, for what is parked.
	Directory resourceapi.Directory
	// AppDir is where relative paths of files start from.
	AppDir string
	Logger *slog.Logger
}

// Config is the configuration of sinks of any kind.
type Config interface {
	registry.Config
	// Sink returns what it has in common with others.
	Sink() *api.SinkConfig
}

// Kind says what sinks of one kind have of their own.
type Kind struct {
	Name registry.Kind
	// Shown says where the sink delivers, without anything secret.
	Shown string
	// Open returns the destination. It reads files, but connects to nothing: Deliver does.
	Open func(Settings) (Destination, error)
}

// Sink delivers for as long as it is served. It implements supervisor.Service.
type Sink struct {
	id       registry.ID
	config   *api.SinkConfig
	kind     Kind
	settings Settings
	catalog  *Catalog
	logger   *slog.Logger
}

var _ supervisor.Service = (*Sink)(nil)

// String implements supervisor.Service.
func (s *Sink) String() string { return string(s.kind.Name) + " " + s.id.String() }

// Serve implements supervisor.Service.
func (s *Sink) Serve(ctx context.Context, ready func()) error {
	state := s.catalog.begin(s.id)
	err := s.run(ctx, state, sync.OnceFunc(func() {
		state.enter(api.StateRunning, nil)
		ready()
	}))
	if ctx.Err() != nil {
		err = nil // it was stopped, whatever it was doing
	}
	state.end(s.about(err))
	return s.about(err)
}

// about says which sink err is about.
func (s *Sink) about(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cdc: sink %q: %w", s.id, err)
}

// run delivers until ctx is done or the sink cannot go on.
func (s *Sink) run(ctx context.Context, state *state, ready func()) error {
	destination, err := s.kind.Open(s.settings)
	if err != nil {
		return err
	}
	defer destination.Close()
	parked, err := s.openParked(ctx, state)
	if err != nil {
		return err
	}
	d := &delivery{sink: s, state: state, destination: destination, parked: parked, delays: newDelays(s.config.Retry)}
	for {
		stream, err := s.subscribe(ctx)
		if err != nil {
			return err
		}
		ready()
		before := state.progress()
		err = d.deliverAll(ctx, stream)
		stream.Close()
		gap, lost := errors.AsType[*api.GapError](err)
		if lost && s.config.BeginsAnew() {
			s.logger.ErrorContext(ctx, "changes were lost, the sink begins anew with a snapshot", "cause", what(gap))
			continue
		}
		// A stream that has ended for a reason that passes is opened again, unless that leads nowhere. A gap would be met again.
		if lost || ctx.Err() != nil || !errs.Retryable(err) || state.progress() == before {
			return s.explain(err)
		}
		s.logger.WarnContext(ctx, "the stream of the sink has ended and is opened again", "error", err)
	}
}

// subscribe opens the stream of the consumer that the sink is.
func (s *Sink) subscribe(ctx context.Context) (api.Stream, error) {
	opts := api.StreamOptions{
		Tables: s.config.Tables, Ops: s.config.Ops, Schema: s.config.Schema, Markers: true, ManualAck: true,
		Consumer: s.id.String(), Reader: "sink " + s.id.String(), Held: true,
	}
	if s.config.Snapshot != nil {
		if opts.Start = api.Live(); *s.config.Snapshot {
			opts.Start = api.Snapshot()
		}
	}
	stream, err := s.settings.Engine.Subscribe(ctx, s.config.Source, opts)
	if gap, ok := errors.AsType[*api.GapError](err); ok && s.config.BeginsAnew() {
		s.logger.ErrorContext(ctx, "changes were lost, the sink begins anew with a snapshot", "cause", what(gap))
		stream, err = s.settings.Engine.Subscribe(ctx, s.config.Source, opts)
	}
	return stream, s.explain(err)
}

// explain turns a gap into what a sink can do about it: nothing by itself.
func (s *Sink) explain(err error) error {
	gap, ok := errors.AsType[*api.GapError](err)
	if !ok {
		return err
	}
	return errs.New(errs.Invalid, "changes of source %[1]q were lost (%[2]s); to go on with the first change behind them, type "+
		"`wippy consumers reset %[3]s --source %[1]s --to %[4]s` in the directory of the app; with --to live, everything that was committed until then "+
		"is passed over, too; with --to snapshot, or snapshot: true of the sink, it begins anew with a snapshot; then %[5]s",
		s.config.Source, what(gap), s.id, gap.Before.Cursor(gap.Generation), reload())
}

// reload says how a sink begins again that has ended.
func reload() string { return fmt.Sprintf("reload the app: `kill -HUP %d`", os.Getpid()) }

// what says what has happened, without the cure that is for scripts.
func what(gap *api.GapError) string {
	if gap.Err == nil {
		return string(gap.Cause)
	}
	return string(gap.Cause) + ": " + gap.Err.Error()
}

// External returns what the sink keeps at its source: the consumer that it is.
func (s *Sink) External() registry.ExternalState { return consumer{s} }

// consumer is the external state of a sink.
type consumer struct{ sink *Sink }

// Place implements registry.ExternalState.
func (c consumer) Place() any { return c.sink.config.Source }

// Release implements registry.ExternalState: the source must run.
func (c consumer) Release(ctx context.Context) error {
	err := c.sink.settings.Engine.Forget(ctx, c.sink.config.Source, c.sink.id.String())
	if errs.Is(err, errs.NotFound) || errs.Is(err, errs.Invalid) { // it is gone, with its source perhaps, or was never there
		return nil
	}
	return c.sink.about(err)
}
