package http

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/inspect"
	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/internal/printable"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// workTimeout is how long the work for an answer may take: less than what a client has to take it.
const workTimeout = 10 * time.Second

// newRoutes is the table of requests.
func (s *Server) newRoutes() http.Handler {
	mux := http.NewServeMux()
	for pattern, answer := range map[string]func(r *http.Request) (any, error){
		"GET /api/status":              func(*http.Request) (any, error) { return s.status(), nil },
		"GET /api/sources":             func(*http.Request) (any, error) { return inspect.SourceList{Sources: s.sources()}, nil },
		"GET /api/sources/{id}":        s.source,
		"GET /api/sources/{id}/tables": s.tables,
		"GET /api/streams":             func(*http.Request) (any, error) { return inspect.StreamList{Streams: s.streams()}, nil },
		"GET /api/consumers":           func(*http.Request) (any, error) { return inspect.ConsumerList{Consumers: s.consumers()}, nil },
		"GET /api/sinks":               func(*http.Request) (any, error) { return inspect.SinkList{Sinks: s.sinks()}, nil },

		"POST /api/sources/{id}/consumers/{name}/ack":   s.acknowledge,
		"POST /api/sources/{id}/consumers/{name}/reset": s.reset,
		"DELETE /api/sources/{id}/consumers/{name}":     s.forget,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, answer) })
	}
	mux.HandleFunc("GET /api/sources/{id}/changes", s.changes)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", s.settings.Metrics)
	addPage(mux)
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) { // by a browser that has the cookie already, or needs none
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if methods := methodsOf(mux, r); len(methods) > 0 {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			failWith(w, r, http.StatusMethodNotAllowed, errs.New(errs.Invalid, "http: %s is for %s, not %s", r.URL.Path, strings.Join(methods, " and "), r.Method))
			return
		}
		fail(w, r, errs.New(errs.NotFound, "http: there is no request %s %s: docs/http.md lists them", r.Method, r.URL.Path))
	})
	return mux
}

// methodsOf lists those by which the path of a request can be asked for.
func methodsOf(mux *http.ServeMux, r *http.Request) []string {
	var known []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "" && pattern != "/" {
			known = append(known, method)
		}
	}
	return known
}

// answer answers with what a function returns, as JSON.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, of func(r *http.Request) (any, error)) {
	r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
	ctx, cancel := context.WithTimeout(r.Context(), workTimeout)
	defer cancel()
	var value any
	err := withoutParameters(r)
	if err == nil {
		value, err = of(r.WithContext(ctx))
	}
	if err != nil {
		fail(w, r, err)
		return
	}
	show(w, r, http.StatusOK, value)
}

// withoutParameters refuses a query, which only requests for changes have.
func withoutParameters(r *http.Request) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(r.URL.Query())) {
		return errs.New(errs.Invalid, "http: there is no parameter %q: %s %s has none", printable.Line(name), r.Method, r.URL.Path)
	}
	return errs.New(errs.Invalid, "http: the query cannot be read: %s %s has none", r.Method, r.URL.Path)
}

// show writes an answer as JSON.
func show(w http.ResponseWriter, _ *http.Request, status int, value any) {
	content, err := json.Marshal(value)
	if err != nil { // no value of ours is that of a cycle or a channel
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(content, '\n')) // the client has gone
}

func fail(w http.ResponseWriter, r *http.Request, err error) { failWith(w, r, statusOf(err), err) }

func failWith(w http.ResponseWriter, r *http.Request, status int, err error) {
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	show(w, r, status, inspect.Problem{Error: inspect.FailureOf(err)})
}

// statusOf returns the code for an error.
func statusOf(err error) int {
	switch errs.KindOf(err) {
	case errs.Invalid:
		return http.StatusBadRequest
	case errs.NotFound:
		return http.StatusNotFound
	case errs.AlreadyExists, errs.Conflict:
		return http.StatusConflict
	case errs.PermissionDenied:
		return http.StatusForbidden
	case errs.Timeout:
		return http.StatusGatewayTimeout
	case errs.Unavailable, errs.Canceled:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// sourceOf returns the source that a path names.
func sourceOf(r *http.Request) (registry.ID, error) {
	id, err := registry.ParseID(r.PathValue("id"), "")
	return id, errs.Wrap(errs.NotFound, err)
}

// decode reads the body of a request.
func decode(r *http.Request, into any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" { // forms of other sites cannot have that
		return errs.New(errs.Invalid, "http: the body must be JSON, and say so: Content-Type: application/json")
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		if quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return errs.New(errs.Invalid, "http: read the body: unknown field %s%s", quoted, suggest.Among(strings.Trim(quoted, `"`), fieldsOf(into)))
		}
		return errs.New(errs.Invalid, "http: read the body: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errs.New(errs.Invalid, "http: the body has more than one value")
	}
	return nil
}

// fieldsOf lists the fields that a body may have.
func fieldsOf(into any) []string {
	var names []string
	for field := range reflect.TypeOf(into).Elem().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
