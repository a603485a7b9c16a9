package source

import (
	"context"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/consumer"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

// loadConsumers makes the consumers of a run, if its engine has any.
func (r *Run) loadConsumers(ctx context.Context, generation string) error {
	store, err := r.session.Consumers()
	if err != nil {
		r.unconsumed = err
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	r.consumers, err = consumer.New(ctx, consumer.Settings{Source: r.id, Generation: generation, Store: store, Told: &r.record.told})
	return err
}

// Consumers returns those of the run, nil if it has none. They are there from before Capture on.
func (r *Run) Consumers() *consumer.Consumers { return r.consumers }

// consuming returns the consumers of the run, or why there are none.
func (r *Run) consuming() (*consumer.Consumers, error) {
	if r.consumers == nil {
		return nil, errs.New(errs.KindOf(r.unconsumed), "cdc: source %q: %w", r.id, r.unconsumed)
	}
	return r.consumers, nil
}

// consume opens the stream of a named consumer.
func (r *Run) consume(ctx context.Context, opts api.StreamOptions) (api.Stream, error) {
	consumers, err := r.consuming()
	if err != nil {
		return nil, err
	}
	claim, err := consumers.Claim(opts.Consumer, opts.Reader)
	if err != nil {
		return nil, err
	}
	if opts.Held {
		claim.Hold()
	}
	opts.ManualAck, opts.Consumer = true, ""
	opened, err := r.openClaimed(ctx, claim, opts)
	if err != nil {
		claim.Release()
		return nil, err
	}
	opened.Of(claim.Name())
	if after, known := claim.Position(); known && !after.InSnapshot() {
		opened.CatchUp(after, r.session.Lag)
	}
	return claim.Connect(opened), nil
}

// openClaimed opens the stream of a consumer where that goes on, or begins.
func (r *Run) openClaimed(ctx context.Context, claim *consumer.Claim, opts api.StreamOptions) (*stream.Stream, error) {
	p, known := claim.Position()
	switch {
	case !known && (opts.Start == api.Snapshot() || opts.Start == api.Start{} && r.bootstraps), known && p.InSnapshot():
		return r.beginSnapshot(ctx, claim, opts)
	case !known:
		return r.beginLive(ctx, claim, opts)
	case claim.Told() && opts.Start == api.Snapshot():
		r.logger.WarnContext(ctx, "a consumer that has missed changes begins anew with a snapshot", "consumer", claim.Name())
		return r.beginSnapshot(ctx, claim, opts)
	}
	err := claim.Gap(r.session.Newest())
	var opened *stream.Stream
	if err == nil {
		opened, err = r.openBehind(ctx, opts, p)
	}
	if err != nil {
		claim.Tell(err)
		return nil, err
	}
	return opened, nil
}

// beginSnapshot opens a stream that begins with a snapshot, and writes where that is.
func (r *Run) beginSnapshot(ctx context.Context, claim *consumer.Claim, opts api.StreamOptions) (*stream.Stream, error) {
	opened, err := r.streams.OpenSnapshot(ctx, opts, claim.Emptied)
	if err != nil {
		return nil, err
	}
	return begun(ctx, claim, opened, opened.Start())
}

// beginLive opens a stream that begins with what commits from now on, and writes where that is.
func (r *Run) beginLive(ctx context.Context, claim *consumer.Claim, opts api.StreamOptions) (*stream.Stream, error) {
	p := r.session.Newest()
	opened, err := r.openAfter(ctx, opts, p)
	if err != nil {
		return nil, err
	}
	if missed := r.session.Missed(); missed != nil {
		opened.Close()
		return nil, about(r.id, missed)
	}
	return begun(ctx, claim, opened, p)
}

func begun(ctx context.Context, claim *consumer.Claim, opened *stream.Stream, p api.Position) (*stream.Stream, error) {
	if err := claim.Begin(ctx, p); err != nil {
		opened.Close()
		return nil, err
	}
	return opened, nil
}

// resume opens a stream behind a position that its reader keeps.
func (r *Run) resume(ctx context.Context, opts api.StreamOptions, after api.Position) (api.Stream, error) {
	if err := r.reached(opts.Start, after); err != nil {
		return nil, err
	}
	opened, err := r.openBehind(ctx, opts, after)
	if err != nil {
		return nil, err
	}
	opened.CatchUp(after, r.session.Lag)
	return opened, nil
}

// openBehind opens a stream behind a position up to which its reader has everything.
func (r *Run) openBehind(ctx context.Context, opts api.StreamOptions, after api.Position) (*stream.Stream, error) {
	if err := r.missedBehind(after); err != nil {
		return nil, err
	}
	opened, err := r.openAfter(ctx, opts, after)
	if err != nil {
		return nil, err
	}
	if err := r.missedBehind(after); err != nil { // it has happened before the stream was there to be told
		opened.Close()
		return nil, err
	}
	return opened, nil
}

func (r *Run) missedBehind(after api.Position) error {
	if rewinder, ok := r.session.(Rewinder); ok {
		return rewinder.MissedBehind(after)
	}
	return nil
}

// reached says why no stream can begin behind a position; nil if the source has come to it.
func (r *Run) reached(start api.Start, after api.Position) error {
	if asked, generation := start.Generation(), r.position().Generation; asked != "" && asked != generation {
		return errs.New(errs.Invalid, "cdc: source %q: after is a cursor of generation %q, and the source is of %q: "+
			"begin anew with a snapshot", r.id, asked, generation)
	}
	if r.session.Ahead(after) {
		return errs.New(errs.Invalid, "cdc: source %q: after is a position that the source has not come to: take the cursor of a change", r.id)
	}
	return nil
}

// begins returns where a consumer goes on that is to begin there.
func (r *Run) begins(start api.Start) (api.Position, error) {
	after, resumes := start.After()
	switch {
	case start == api.Snapshot():
		return api.SnapshotOf(r.session.Newest().Sequence), nil
	case !resumes:
		return r.session.Latest(), nil
	case after.InSnapshot():
		return after, errs.New(errs.Invalid, "cdc: source %q: after lies within a snapshot, which no stream can go on with: begin anew with a snapshot", r.id)
	default:
		return after, r.reached(start, after)
	}
}

// openAfter opens a stream behind a position, from the log, or after that was rewound.
func (r *Run) openAfter(ctx context.Context, opts api.StreamOptions, after api.Position) (*stream.Stream, error) {
	opts.Start = api.After(after)
	opened, err := r.streams.Open(opts)
	rewinder, again := r.session.(Rewinder)
	if !again || !stream.HasLeft(err) {
		return opened, err
	}
	err = rewinder.Rewind(ctx, after, func() error {
		var err error
		opened, err = r.streams.OpenAgain(opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return opened, nil
}

// saveConsumers writes what consumers have acknowledged.
func (r *Run) saveConsumers(ctx context.Context) {
	if r.consumers == nil {
		return
	}
	saving, cancel := context.WithTimeout(ctx, r.saveTimeout)
	defer cancel()
	r.noteConsumers(ctx, r.consumers.Save(saving))
}

// closeConsumers writes what consumers have acknowledged, for the last time.
func (r *Run) closeConsumers(ctx context.Context) {
	if r.consumers == nil {
		return
	}
	saving, cancel := context.WithTimeout(ctx, lastSaveTimeout)
	defer cancel()
	r.noteConsumers(ctx, r.consumers.Close(saving))
}
