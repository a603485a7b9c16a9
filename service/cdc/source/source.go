package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

// Source captures for as long as it is served. It implements supervisor.Service.
type Source struct {
	id      registry.ID
	engine  Engine
	catalog *Catalog
	logger  *slog.Logger
}

var _ supervisor.Service = (*Source)(nil)

// New returns the source of an entry, which must be declared in catalog before it is served.
func New(engine Engine, catalog *Catalog, logger *slog.Logger) *Source {
	info := engine.Info()
	logger = logger.With("source", info.ID.String())
	if !info.DBResource.IsZero() {
		logger = logger.With("database", info.DBResource.String())
	}
	return &Source{id: info.ID, engine: engine, catalog: catalog, logger: logger}
}

// String implements supervisor.Service.
func (s *Source) String() string { return string(s.engine.Info().Kind) + " " + s.id.String() }

// Serve implements supervisor.Service.
func (s *Source) Serve(ctx context.Context, ready func()) error {
	run, err := s.catalog.begin(s.id, s.logger)
	if err != nil {
		return err
	}
	err = s.run(ctx, run, ready)
	if ctx.Err() != nil {
		err = nil // it was stopped, whatever it was doing
	}
	run.end(err)
	return s.about(err)
}

// run captures until ctx is done or something fails.
func (s *Source) run(ctx context.Context, run *Run, ready func()) error {
	session, err := s.engine.Open(ctx, run)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
		defer cancel()
		session.Close(closing)
	}()
	err = s.prepare(run, session)
	if failed := run.loadConsumers(ctx, run.position().Generation); failed != nil {
		run.streams.Close(failed)
		return failed
	}
	if err != nil {
		run.note(ctx, err)
	} else {
		run.save(ctx, run.saveTimeout, false)
	}
	run.lookForTables(ctx)
	err = s.capture(ctx, run, ready)
	if ctx.Err() != nil {
		err = nil
	}
	run.end(err)
	cause := cmp.Or(s.about(err), errs.New(errs.Unavailable, "cdc: source %q was stopped or replaced; resubscribe once it runs", s.id))
	if session.Resumes() {
		run.streams.Drop(cause)
	} else {
		run.streams.Close(cause)
	}
	run.closeConsumers(context.WithoutCancel(ctx))
	run.save(context.WithoutCancel(ctx), lastSaveTimeout, true)
	return err
}

// prepare makes the streams of a run. An error says why its checkpoint is not known.
func (s *Source) prepare(run *Run, session Session) error {
	info, limits := s.engine.Info(), s.engine.Limits()
	saved, err := session.Saved()
	run.session, run.saveTimeout = session, cmp.Or(limits.SaveTimeout, saveTimeout)
	run.streams = stream.New(stream.Settings{
		Source: s.id, Generation: run.position().Generation, Tables: info.Tables, Limits: limits.Limits, Counters: run.Counters(), Logger: run.logger, Engine: session,
		Left: run.left,
	})
	run.wanted.add(info.Tables)
	run.bootstraps = info.Snapshot
	run.bootstrapped.Store(saved.Bootstrapped)
	return err
}

// capture runs the session's Capture beside what has to be done from time to time.
func (s *Source) capture(ctx context.Context, run *Run, ready func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var capturing sync.WaitGroup
	var captured error
	started := false
	done := make(chan struct{})
	capturing.Go(func() {
		defer close(done)
		captured = run.session.Capture(ctx, run.streams, func() {
			started = true
			run.ready()
			run.logger.InfoContext(ctx, "capture started", run.place()...)
			ready()
		})
	})
	err := run.tend(ctx, s.engine.Limits(), done)
	cancel(err)
	capturing.Wait()
	if started {
		run.logger.InfoContext(ctx, "capture ended", run.place()...)
	}
	return cmp.Or(err, captured)
}

// about says which source err is about, if it does not say so itself.
func (s *Source) about(err error) error { return about(s.id, err) }

func about(id registry.ID, err error) error {
	if _, gap := errors.AsType[*api.GapError](err); gap || err == nil {
		return err
	}
	return fmt.Errorf("cdc: source %q: %w", id, err)
}
