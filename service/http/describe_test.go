//go:build sqlite_preupdate_hook

package http_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/inspect"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/supervisor"
	httpservice "github.com/wippy-cdc/runtime/service/http"
	"github.com/wippy-cdc/runtime/service/metrics"
)

// sinks is a set of sinks.
type sinks []api.SinkInfo

func (s sinks) Sinks() []api.SinkInfo { return s }

func TestWhatRunsIsDescribed(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := newHouse(t, true, func(s *httpservice.Settings) {
		s.Entries = func() []supervisor.EntryStatus {
			return []supervisor.EntryStatus{
				{ID: "app:db", Kind: "db.sql.sqlite", Status: supervisor.Status{State: supervisor.Running, Since: since, Attempts: 1}},
				{ID: "app:done", Kind: "process.service", Status: supervisor.Status{State: supervisor.Completed}},
			}
		}
		s.Sinks = sinks{{
			ID: registry.ID{Namespace: "app", Name: "out"}, Kind: "cdc.sink.webhook", Source: cdcID, Destination: "https://example.com", Format: api.FormatFlat,
			State: api.StateFaulted, Since: since, Err: errs.New(errs.Unavailable, "no answer"), Attempts: 3, Cursor: "g-1",
			Stats: api.SinkStats{Published: 5, Failed: 3, Retried: 2, Parked: 1, LagBytes: 7, LagTransactions: -1},
		}}
		s.Metrics = metrics.Handler(s.Sources, s.Sinks, s.Logger)
	})
	stream, err := h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{
		Consumer: "one", Tables: []string{"users"}, Ops: []api.Op{api.OpInsert}, Reader: "the test",
	})
	require.NoError(t, err)
	defer stream.Close()
	h.exec(t, "INSERT INTO users (name) VALUES ('ada')")

	status := askedFor[inspect.Status](t, h.ask("GET", "/api/status", ""))
	require.Equal(t, h.dir, status.App.Dir)
	require.True(t, status.Ready)
	require.Equal(t, []inspect.Entry{
		{ID: "app:db", Kind: "db.sql.sqlite", State: "running", Since: since, Attempts: 1}, {ID: "app:done", Kind: "process.service", State: "completed"},
	}, status.Entries)
	require.Len(t, status.Sources, 1)
	one := status.Sources[0]
	require.Equal(t, "app:cdc db.cdc.sqlite running sqlite app:db", one.ID+" "+one.Kind+" "+string(one.State)+" "+one.Engine+" "+one.DBResource)
	require.NotEmpty(t, one.Generation+one.LSN)
	require.True(t, one.Capabilities.Replayable)
	require.Equal(t, 1, one.Admission.Active)
	require.Equal(t, uint64(1), one.Stats.Changes[api.OpInsert])
	require.Equal(t, one, askedFor[inspect.Source](t, h.ask("GET", "/api/sources/app:cdc", "")))
	require.Equal(t, status.Sources, askedFor[inspect.SourceList](t, h.ask("GET", "/api/sources", "")).Sources)

	require.Len(t, status.Streams, 1)
	require.Equal(t, "app:cdc/1", status.Streams[0].ID)
	require.Equal(t, "the test", status.Streams[0].Reader)
	require.Equal(t, "one", status.Streams[0].Consumer)
	require.Equal(t, []string{"users"}, status.Streams[0].Tables)
	require.Equal(t, []api.Op{api.OpInsert}, status.Streams[0].Ops)
	require.Positive(t, *status.Streams[0].LagBytes)
	require.NotEmpty(t, status.Streams[0].Cursor)
	require.Equal(t, status.Streams, askedFor[inspect.StreamList](t, h.ask("GET", "/api/streams", "")).Streams)

	require.Len(t, status.Consumers, 1)
	require.Equal(t, "one", status.Consumers[0].Name)
	require.True(t, status.Consumers[0].Connected)
	require.Equal(t, "the test", status.Consumers[0].Reader)
	require.Equal(t, int64(1), *status.Consumers[0].LagTransactions)
	require.Equal(t, status.Consumers, askedFor[inspect.ConsumerList](t, h.ask("GET", "/api/consumers", "")).Consumers)

	seven := int64(7)
	require.Equal(t, []inspect.Sink{{
		ID: "app:out", Kind: "cdc.sink.webhook", Source: "app:cdc", Destination: "https://example.com", Format: "flat", State: "faulted", Since: since,
		Error: &inspect.Failure{Kind: errs.Unavailable, Message: "no answer", Retryable: true}, Attempts: 3, Cursor: "g-1",
		Published: 5, Failed: 3, Retried: 2, Parked: 1, LagBytes: &seven,
	}}, askedFor[inspect.SinkList](t, h.ask("GET", "/api/sinks", "")).Sinks)

	h.ask("GET", "/api/sources/app:cdc/changes?consumer=app:out", "").refused(t, http.StatusForbidden, errs.PermissionDenied, "is the sink of that name")

	figures := h.ask("GET", "/metrics", "")
	require.Equal(t, http.StatusOK, figures.StatusCode)
	require.Contains(t, figures.body, `wippy_cdc_streams{source="app:cdc"} 1`)
}

// Lists without anything in them are lists, so that programs need not ask.
func TestEmptyListsAreLists(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	for path, body := range map[string]string{
		"/api/sources": `{"sources":[]}`, "/api/streams": `{"streams":[]}`, "/api/consumers": `{"consumers":[]}`, "/api/sinks": `{"sinks":[]}`,
	} {
		a := s.ask("GET", path, "")
		require.Equal(t, body+"\n", a.body)
		require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	}
	s.ask("GET", "/api/sources/app:cdc", "").refused(t, http.StatusNotFound, errs.NotFound, "there are no sources")
	s.ask("GET", "/api/sources/nonsense!", "").refused(t, http.StatusNotFound, errs.NotFound, "is not an entry ID")
	s.ask("GET", "/api/source", "").refused(t, http.StatusNotFound, errs.NotFound, "docs/http.md lists them")
	s.ask("POST", "/api/source", "").refused(t, http.StatusNotFound, errs.NotFound, "there is no request POST /api/source")
	s.ask("GET", "/api/status?x=1", "").refused(t, http.StatusBadRequest, errs.Invalid, `there is no parameter "x": GET /api/status has none`)
	s.ask("GET", "/api/status?%zz", "").refused(t, http.StatusBadRequest, errs.Invalid, "the query cannot be read")
	for path, methods := range map[string]string{
		"/api/status": "GET, HEAD", "/": "GET, HEAD", "/api/sources/app:cdc/changes": "GET, HEAD",
		"/api/sources/app:cdc/consumers/reader": "DELETE", "/api/sources/app:cdc/consumers/reader/ack": "POST",
	} {
		a := s.ask("PUT", path, "")
		a.refused(t, http.StatusMethodNotAllowed, errs.Invalid, ", not PUT")
		require.Equal(t, methods, a.Header.Get("Allow"))
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	state := supervisor.Status{State: supervisor.Backoff, Err: errors.New("no disk")}
	s := serve(t, func(s *httpservice.Settings) {
		s.Entries = func() []supervisor.EntryStatus {
			return []supervisor.EntryStatus{
				{ID: "app:cdc", Kind: "db.cdc.sqlite", Status: state}, {ID: "app:db", Status: supervisor.Status{State: supervisor.Running}},
			}
		}
	})
	require.Equal(t, "ok\n", s.ask("GET", "/healthz", "").body)
	a := s.ask("GET", "/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
	var ready inspect.Readiness
	require.NoError(t, json.Unmarshal([]byte(a.body), &ready))
	require.Equal(t, inspect.Readiness{NotRunning: []inspect.Entry{
		{ID: "app:cdc", Kind: "db.cdc.sqlite", State: "backoff", Error: &inspect.Failure{Kind: errs.Unknown, Message: "no disk"}},
	}}, ready)
	for _, running := range []supervisor.State{supervisor.Running, supervisor.Completed} {
		state = supervisor.Status{State: running}
		require.True(t, askedFor[inspect.Readiness](t, s.ask("GET", "/readyz", "")).Ready)
	}
	for _, not := range []supervisor.State{supervisor.Unknown, supervisor.Starting, supervisor.Failed, supervisor.Stopped} {
		state = supervisor.Status{State: not}
		require.Equal(t, http.StatusServiceUnavailable, s.ask("GET", "/readyz", "").StatusCode)
	}
}

func TestThePageIsServed(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	a := s.ask("GET", "/", "")
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", a.Header.Get("Content-Type"))
	require.Contains(t, a.body, "<title>wippy")
	for _, path := range []string{"/index.html", "/page", "/page/", "/page/nothing", "/page/index.html"} {
		s.ask("GET", path, "").refused(t, http.StatusNotFound, errs.NotFound, "there is no request")
	}
}
