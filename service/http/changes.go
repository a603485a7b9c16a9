package http

import (
	"cmp"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/printable"
	"github.com/wippy-cdc/runtime/internal/suggest"
)

// wanted is what a request for changes asks for.
type wanted struct {
	source registry.ID
	opts   api.StreamOptions
	format api.Format
	// events says that they are sent as events, else as lines; eventSource that the client has asked for events by name.
	events, eventSource bool
}

// changes streams the changes of a source until the client goes or the stream ends.
func (s *Server) changes(w http.ResponseWriter, r *http.Request) {
	asked, err := parse(r)
	if err != nil {
		fail(w, r, err)
		return
	}
	if err := s.ofNoSink(asked); err != nil {
		fail(w, r, err)
		return
	}
	if !s.readers.enter() {
		fail(w, r, errs.New(errs.Unavailable, "http: the app is about to end"))
		return
	}
	defer s.readers.leave()
	connection := http.NewResponseController(w)
	start := s.startOf(asked)
	stream, err := s.settings.Sources.Subscribe(r.Context(), asked.source, asked.opts)
	if err = s.yetToStart(asked.source, err); err != nil && !asked.toldAsEvent(err) {
		_ = connection.SetWriteDeadline(time.Now().Add(answerTimeout)) // it may have waited for long
		fail(w, r, err)
		return
	}
	if s, ok := stream.(api.Snapshotting); ok && s.Start() != (api.Position{}) {
		start = "" // the rows of the snapshot come first
	}
	d := &delivery{
		wanted: asked, w: w, connection: connection, encoder: s.settings.Encoder, stream: stream, start: start,
		silence: cmp.Or(s.settings.silence, silence), logger: s.settings.Logger,
	}
	d.conn, _ = r.Context().Value(connKey{}).(net.Conn)
	if err != nil {
		defer d.begin(r.Context())()
		d.end(err)
		return
	}
	defer stream.Close()
	if asked.opts.Consumer != "" {
		defer s.readers.add(asked.source, asked.opts.Consumer, d)()
	}
	defer d.begin(r.Context())()
	d.run(r.Context())
}

// ofNoSink refuses a stream of the consumer that a sink is: its position is the sink's alone.
func (s *Server) ofNoSink(asked *wanted) error {
	if asked.opts.Consumer == "" || s.settings.Sinks == nil {
		return nil
	}
	for _, sink := range s.settings.Sinks.Sinks() {
		if sink.Source == asked.source && sink.ID.String() == asked.opts.Consumer {
			return errs.New(errs.PermissionDenied, "http: consumer %q is the sink of that name, which alone reads for it: choose another name", sink.ID)
		}
	}
	return nil
}

// yetToStart says so if a source is not known because the app has not come to it yet.
func (s *Server) yetToStart(id registry.ID, err error) error {
	if !errs.Is(err, errs.NotFound) || s.settings.Entries == nil {
		return err
	}
	for _, entry := range s.settings.Entries() {
		if entry.ID == id.String() && (entry.Kind == string(api.KindSQLite) || entry.Kind == string(api.KindPostgres)) {
			return errs.New(errs.Unavailable, "http: source %q has yet to start", id)
		}
	}
	return err
}

// toldAsEvent reports whether a client is told by an event why there is no stream: EventSource shows no body of an error, and does not
// come back after one.
func (a *wanted) toldAsEvent(err error) bool {
	_, gap := errors.AsType[*api.GapError](err)
	return gap || a.eventSource && (errs.Retryable(err) || errs.Is(err, errs.Conflict))
}

// startOf returns a cursor behind which lies all that a stream without a snapshot will deliver that is opened now, "" if there
// is none, or if it cannot be gone back to.
func (s *Server) startOf(asked *wanted) string {
	info, known := s.settings.Sources.Source(asked.source)
	switch after, resumes := asked.opts.Start.After(); {
	case !known || !info.Capabilities.Replayable || asked.opts.Consumer != "":
		return ""
	case resumes:
		return after.Cursor(asked.opts.Start.Generation())
	default:
		return info.Cursor
	}
}

// parameters are those of a request for changes.
func parameters() []string {
	return []string{"tables", "ops", "snapshot", "markers", "after", "consumer", "format"}
}

// parse reads a request for changes.
func parse(r *http.Request) (*wanted, error) {
	id, err := sourceOf(r)
	if err != nil {
		return nil, err
	}
	asked := &wanted{source: id, format: api.FormatJSON, opts: api.StreamOptions{Reader: readerOf(r)}}
	if asked.events, err = asEvents(r.Header.Values("Accept")); err != nil {
		return nil, err
	}
	asked.eventSource = asked.events && strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "text/event-stream")
	if r.Method != http.MethodGet || r.ContentLength != 0 { // a body would hide that the client has gone
		return nil, errs.New(errs.Invalid, "http: a request for changes is a GET and has no body")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, errs.New(errs.Invalid, "http: the query cannot be read: %w", err)
	}
	for name, values := range query {
		if err := asked.set(name, values); err != nil {
			return nil, err
		}
	}
	return asked, asked.begin(query, r.Header.Get("Last-Event-ID"))
}

// set sets what a parameter says that does not depend on others.
func (a *wanted) set(name string, values []string) error {
	if len(values) > 1 && name != "tables" && name != "ops" {
		return errs.New(errs.Invalid, "http: %s is given %d times", name, len(values))
	}
	switch name {
	case "tables":
		a.opts.Tables = words(values)
	case "ops":
		for _, word := range words(values) {
			a.opts.Ops = append(a.opts.Ops, api.Op(word))
		}
	case "consumer":
		if a.opts.Consumer = values[0]; values[0] == "" {
			return errs.New(errs.Invalid, "http: consumer is empty: give a name, or leave it out")
		}
	case "format":
		a.format = api.Format(values[0])
		if !slices.Contains(api.Formats(), a.format) {
			return errs.New(errs.Invalid, "http: format %q is not known: use %s", values[0], registry.Or(api.Formats()))
		}
	case "markers":
		if a.opts.Markers = values[0] == "true"; !a.opts.Markers && values[0] != "false" {
			return errs.New(errs.Invalid, "http: markers is %q: use true or false", values[0])
		}
	case "snapshot", "after":
	default:
		return errs.New(errs.Invalid, "http: there is no parameter %q%s", printable.Line(name), suggest.Among(name, parameters()))
	}
	return nil
}

// words takes lists apart.
func words(values []string) []string { return strings.Split(strings.Join(values, ","), ",") }

// begin sets where the stream begins. What a browser remembers goes before what the address says, but for consumers, whose
// position is kept here.
func (a *wanted) begin(query url.Values, last string) error {
	snapshot := false
	if query.Has("snapshot") {
		word := query.Get("snapshot")
		if snapshot = word == "true"; !snapshot && word != "false" {
			return errs.New(errs.Invalid, "http: snapshot is %q: use true or false", word)
		}
		if a.opts.Start = api.Live(); snapshot {
			a.opts.Start = api.Snapshot()
		}
	}
	after := query.Get("after")
	if snapshot && after != "" {
		return errs.New(errs.Invalid, "http: snapshot and after are both given: a stream begins with a snapshot or behind a position, not both")
	}
	if last != "" && a.opts.Consumer == "" {
		if after = last; withinSnapshot(last) && query.Get("snapshot") != "false" && !query.Has("after") { // it begins anew
			after, a.opts.Start = "", api.Snapshot()
		}
	}
	if after == "" {
		if query.Has("after") && last == "" {
			return errs.New(errs.Invalid, "http: after is empty: give a cursor, or leave it out")
		}
		return nil
	}
	start, err := api.AfterCursor(after)
	a.opts.Start = start
	return err
}

func withinSnapshot(cursor string) bool {
	_, p, err := api.ParseCursor(cursor)
	return err == nil && p.InSnapshot()
}

// asEvents reports whether a client wants events rather than lines.
func asEvents(accept []string) (bool, error) {
	for one := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, _, err := mime.ParseMediaType(one)
		switch {
		case err != nil && strings.TrimSpace(one) != "":
			return false, errs.New(errs.Invalid, "http: Accept has %q, which is no media type", printable.Line(one))
		case kind == "application/x-ndjson" || kind == "application/jsonl":
			return false, nil
		case kind == "" || kind == "text/event-stream" || kind == "text/*" || kind == "*/*":
			return true, nil
		}
	}
	return false, errs.New(errs.Invalid, "http: changes are sent as text/event-stream or application/x-ndjson: Accept has neither")
}

// readerOf says who sends a request, for messages and for the list of streams.
func readerOf(r *http.Request) string {
	const longest = 64
	agent, _, _ := strings.Cut(r.UserAgent(), " ")
	if agent = printable.Line(agent); agent == "" || len(agent) > longest {
		agent = "a client"
	} else if strings.HasPrefix(agent, "Mozilla/") { // so begin all of them
		agent = "a browser"
	}
	if r.RemoteAddr == "" || r.RemoteAddr == "@" {
		return agent + " by the socket"
	}
	return fmt.Sprintf("%s at %s", agent, r.RemoteAddr)
}
