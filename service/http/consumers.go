package http

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/inspect"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// consumer names a consumer among all sources.
type consumer struct {
	source registry.ID
	name   string
}

// readers are the streams that clients read: all are waited for, and those of consumers are found by name.
type readers struct {
	mu     sync.Mutex
	closed bool
	open   map[consumer]*delivery
	all    sync.WaitGroup
}

// enter counts a stream in, unless the server closes. It must leave.
func (r *readers) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.all.Add(1)
	return true
}

func (r *readers) leave() { r.all.Done() }

// wait waits until all have left, and lets none in.
func (r *readers) wait() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.all.Wait()
}

// add makes the stream of a consumer known until remove is called.
func (r *readers) add(source registry.ID, name string, d *delivery) (remove func()) {
	key := consumer{source, name}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = make(map[consumer]*delivery)
	}
	r.open[key] = d
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.open[key] == d {
			delete(r.open, key)
		}
	}
}

func (r *readers) of(key consumer) *delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open[key]
}

// named returns the consumer that a path names, of a source that there is.
func (s *Server) named(r *http.Request) (consumer, error) {
	id, err := sourceOf(r)
	if err == nil {
		err = s.settings.Sources.Check(id, api.StreamOptions{Consumer: r.PathValue("name")})
	}
	return consumer{id, r.PathValue("name")}, err
}

// acknowledge acknowledges all changes up to a cursor on the stream of a consumer that a client reads.
func (s *Server) acknowledge(r *http.Request) (any, error) {
	key, err := s.named(r)
	if err != nil {
		return nil, err
	}
	var body inspect.Position
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.To != "" || body.Cursor == "" {
		return nil, errs.New(errs.Invalid, `http: ack: the body must be {"cursor": "…"}: that of the last change that is done`)
	}
	generation, p, err := api.ParseCursor(body.Cursor)
	if err == nil {
		err = s.readers.acknowledge(key, generation, p)
	}
	if err != nil {
		return nil, fmt.Errorf("http: source %q: consumer %q: ack: %w", key.source, key.name, err)
	}
	return inspect.Done{Done: true}, nil
}

func (r *readers) acknowledge(key consumer, generation string, p api.Position) error {
	d := r.of(key)
	if d == nil {
		return errs.New(errs.Invalid, "no client reads its stream: open it by GET /api/sources/%s/changes?consumer=%s, and acknowledge "+
			"what it delivers while it is open", key.source, url.QueryEscape(key.name))
	}
	if delivered := d.generation.Load(); delivered == nil || *delivered != generation {
		return errs.New(errs.Invalid, "%s was not delivered by this stream", p.Cursor(generation))
	}
	return d.stream.Ack(p)
}

// forget ends a consumer.
func (s *Server) forget(r *http.Request) (any, error) {
	key, err := s.named(r)
	if err != nil {
		return nil, err
	}
	return inspect.Done{Done: true}, s.settings.Sources.Forget(r.Context(), key.source, key.name)
}

// reset makes a consumer go on elsewhere.
func (s *Server) reset(r *http.Request) (any, error) {
	key, err := s.named(r)
	if err != nil {
		return nil, err
	}
	var body inspect.Position
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	start, err := startOf(&body)
	if err != nil {
		return nil, err
	}
	return inspect.Done{Done: true}, s.settings.Sources.Reset(r.Context(), key.source, key.name, start)
}

// startOf returns where to go on.
func startOf(p *inspect.Position) (api.Start, error) {
	switch {
	case p.Cursor != "" && p.To == "":
		return api.AfterCursor(p.Cursor)
	case p.Cursor == "" && p.To == "live":
		return api.Live(), nil
	case p.Cursor == "" && p.To == "snapshot":
		return api.Snapshot(), nil
	default:
		return api.Start{}, errs.New(errs.Invalid, `http: reset: the body must be {"cursor": "…"}, {"to": "live"} or {"to": "snapshot"}`)
	}
}
