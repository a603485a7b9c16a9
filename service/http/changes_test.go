//go:build sqlite_preupdate_hook

package http_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/inspect"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/supervisor"
	httpservice "github.com/wippy-cdc/runtime/service/http"
)

const path = "/api/sources/app:cdc/changes"

// tail is a client that reads changes.
type tail struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Reader
	hangUp   context.CancelFunc
	// start is where the stream has said that it begins.
	start string
}

// event is an event as browsers see it; id is "" if it has none.
type event struct{ id, name, data string }

// tail asks for changes and returns when the stream is open.
func (h *house) tail(t *testing.T, query string, headers ...string) *tail {
	t.Helper()
	return h.tailOf(t, path+query, headers...)
}

func (h *house) tailOf(t *testing.T, of string, headers ...string) *tail {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url(of), http.NoBody)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := h.client.Do(request) //nolint:bodyclose // close does
	require.NoError(t, err)
	tl := &tail{t: t, response: response, lines: bufio.NewReader(response.Body), hangUp: cancel}
	t.Cleanup(tl.close)
	require.Equal(t, http.StatusOK, response.StatusCode)
	return tl
}

func (tl *tail) close() {
	tl.hangUp()
	_ = tl.response.Body.Close()
}

// line returns the next line, false at the end.
func (tl *tail) line() (string, bool) {
	tl.t.Helper()
	text, err := tl.lines.ReadString('\n')
	if err == io.EOF {
		require.Empty(tl.t, text)
		return "", false
	}
	require.NoError(tl.t, err)
	return strings.TrimSuffix(text, "\n"), true
}

// event returns the next event; nil at the end.
func (tl *tail) event() *event {
	tl.t.Helper()
	e := new(event)
	for {
		line, ok := tl.line()
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case !ok:
			return nil
		case line == "" && e.data != "":
			return e
		case line == "" && e.id != "":
			tl.start, e.id = e.id, ""
		case name == "id":
			e.id = value
		case name == "event":
			e.name = value
		case name == "data":
			e.data += value
		}
	}
}

// record is what the tests look at of a change in plain JSON.
type record struct {
	Op, Table, Cursor string
	Last              bool
	After             map[string]any
}

func (r record) String() string { return fmt.Sprintf("%s %s %v", r.Op, r.Table, r.After["id"]) }

func parsed(t *testing.T, data string) (r record) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(data), &r), data)
	return r
}

// changes returns the next changes, in brief.
func (tl *tail) changes(n int) (all []string, last *event) {
	tl.t.Helper()
	for range n {
		last = tl.event()
		require.NotNil(tl.t, last)
		require.Empty(tl.t, last.name, last.data)
		r := parsed(tl.t, last.data)
		require.Equal(tl.t, r.Cursor, last.id)
		all = append(all, r.String())
	}
	return all, last
}

func (h *house) insert(t *testing.T, ids ...int) {
	t.Helper()
	for _, id := range ids {
		h.exec(t, "INSERT INTO users VALUES (?, 'a')", id)
	}
}

func TestChangesAreEvents(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	all, some := h.tail(t, ""), h.tail(t, "?tables=users,orders&ops=delete,update")
	require.Equal(t, "text/event-stream", all.response.Header.Get("Content-Type"))
	h.insert(t, 1, 2)
	h.exec(t, "UPDATE users SET name = 'b' WHERE id = 2")
	briefs, last := all.changes(3)
	require.Equal(t, []string{"insert users 1", "insert users 2", "update users 2"}, briefs)
	briefs, _ = some.changes(1)
	require.Equal(t, []string{"update users 2"}, briefs)
	all.close()

	h.insert(t, 3)
	resumed := h.tail(t, "?snapshot=true", "Last-Event-ID", last.id)
	briefs, last = resumed.changes(1)
	require.Equal(t, []string{"insert users 3"}, briefs, "what a browser remembers goes before the address")
	h.insert(t, 4)
	briefs, _ = h.tail(t, "?after="+last.id).changes(1)
	require.Equal(t, []string{"insert users 4"}, briefs)
}

// What has lost the connection before the first change misses nothing.
func TestAStreamTellsWhereItBegins(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	h.insert(t, 1)
	waiting := h.tail(t, "?ops=delete")
	h.insert(t, 2)
	h.exec(t, "DELETE FROM users")
	_, first := waiting.changes(1)
	require.NotEmpty(t, waiting.start)
	briefs, _ := h.tail(t, "", "Last-Event-ID", waiting.start).changes(1)
	require.Equal(t, []string{"insert users 2"}, briefs)
	after := h.tail(t, "?after="+first.id)
	h.insert(t, 3)
	after.changes(1)
	require.Equal(t, first.id, after.start)
	for _, query := range []string{"?snapshot=true", "?consumer=one"} {
		other := h.tail(t, query)
		h.insert(t, 100+len(query))
		other.changes(1)
		require.Empty(t, other.start, query)
	}
}

func TestASnapshotThatWasNotReadToItsEndBeginsAnew(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	h.insert(t, 1, 2)
	first := h.tail(t, "?snapshot=true")
	briefs, one := first.changes(1)
	require.Equal(t, []string{"snapshot users 1"}, briefs)
	_, two := first.changes(1)
	first.close()
	h.insert(t, 3)
	briefs, _ = h.tail(t, "?snapshot=true", "Last-Event-ID", one.id).changes(3)
	require.Equal(t, []string{"snapshot users 1", "snapshot users 2", "snapshot users 3"}, briefs)
	briefs, _ = h.tail(t, "?snapshot=true", "Last-Event-ID", two.id).changes(1)
	require.Equal(t, []string{"insert users 3"}, briefs, "the last row stands for all of it")
	briefs, _ = h.tail(t, "", "Last-Event-ID", one.id).changes(1)
	require.Equal(t, []string{"snapshot users 1"}, briefs, "the entry had asked for it")
	h.ask("GET", path+"?snapshot=false", "", "Last-Event-ID", one.id).refused(t, http.StatusBadRequest, errs.Invalid, "within a snapshot")
}

func TestMarkersStandAroundASnapshot(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	h.insert(t, 1)
	briefs, _ := h.tail(t, "?snapshot=true&markers=true").changes(3)
	require.Equal(t, []string{"begin  <nil>", "snapshot users 1", "end  <nil>"}, briefs)
}

// A stream gives up the place that its snapshot takes, and tells why.
func TestASnapshotCanBeEnded(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	h.exec(t, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) INSERT INTO users SELECT i, 'a' FROM n")
	for _, consumer := range []string{"", "one"} {
		stream, err := h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{Start: api.Snapshot(), Consumer: consumer})
		require.NoError(t, err)
		one, ok := stream.(api.Snapshotting)
		require.True(t, ok)
		require.NotZero(t, one.Start())
		require.True(t, one.EndSnapshot(errs.New(errs.Unavailable, "others wait")))
		eventually(t, func() bool { return h.catalog.Sources()[0].Admission.Snapshots == 0 })
		require.False(t, one.EndSnapshot(io.EOF))
		for err == nil {
			_, err = stream.Next(t.Context())
		}
		require.ErrorContains(t, err, "others wait")
		stream.Close()
	}
}

func TestChangesAreLines(t *testing.T) {
	t.Parallel()
	h := newHouse(t, false)
	lines := h.tail(t, "", "Accept", "application/x-ndjson")
	require.Equal(t, "application/x-ndjson", lines.response.Header.Get("Content-Type"))
	formats := make(map[api.Format]*tail)
	for _, format := range api.Formats() {
		formats[format] = h.tail(t, "?format="+string(format), "Accept", "text/html, application/x-ndjson;q=0.5, */*")
	}
	h.insert(t, 1)
	line, _ := lines.line()
	require.Equal(t, "insert users 1", parsed(t, line).String())
	for format, want := range map[api.Format]string{
		api.FormatJSON: `{"op":"insert",`, api.FormatDebezium: `{"before":null,"after":{"id":1,"name":"a"},`, api.FormatCloudEvents: `{"specversion":"1.0",`,
		api.FormatFlat: `{"cursor":"`,
	} {
		line, _ := formats[format].line()
		require.Truef(t, strings.HasPrefix(line, want), "%s: %s", format, line)
		require.True(t, json.Valid([]byte(line)))
	}
	flat := formats[api.FormatFlat]
	h.exec(t, "UPDATE users SET id = 2")
	h.exec(t, "DELETE FROM users")
	for _, want := range []string{
		`","op":"update","schema":"main","table":"users","key":{"id":1},"new_key":{"id":2},"row":{"id":2,"name":"a"}}`,
		`","op":"delete","schema":"main","table":"users","key":{"id":2},"row":null}`,
	} {
		line, _ := flat.line()
		require.True(t, strings.HasSuffix(line, want), line)
	}
	for range 2 {
		_, _ = lines.line()
	}
	h.stop()
	line, _ = lines.line()
	require.True(t, strings.HasPrefix(line, `{"$event":"end","kind":"UNAVAILABLE","message":"cdc: source \"app:cdc\" was stopped`), line)
	_, more := lines.line()
	require.False(t, more)
	h.start()
}

// A browser does not come back after an error, so what passes is told by an event. Others get the code.
func TestEventSourcesComeBackToWhatIsNotThereYet(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true, func(s *httpservice.Settings) {
		s.Entries = func() []supervisor.EntryStatus {
			return []supervisor.EntryStatus{{ID: "app:later", Kind: string(api.KindSQLite)}, {ID: "app:db", Kind: "db.sql.sqlite"}}
		}
	})
	reader := h.tail(t, "?consumer=one", "Accept", "text/event-stream")
	told := func(what, kind string) {
		e := h.tailOf(t, what, "Accept", "text/event-stream").event()
		require.Equal(t, "end", e.name, what)
		require.Contains(t, e.data, `{"kind":"`+kind+`",`)
	}
	told(path+"?consumer=one", "CONFLICT")
	require.Equal(t, http.StatusConflict, h.ask(http.MethodGet, path+"?consumer=one", "").StatusCode)
	reader.close()
	told("/api/sources/app:later/changes", "UNAVAILABLE")
	require.Equal(t, http.StatusServiceUnavailable, h.ask(http.MethodGet, "/api/sources/app:later/changes", "").StatusCode)
	require.Equal(t, http.StatusNotFound, h.ask(http.MethodGet, "/api/sources/app:db/changes", "", "Accept", "text/event-stream").StatusCode)
	require.Equal(t, http.StatusBadRequest, h.ask(http.MethodGet, path+"?after=x", "", "Accept", "text/event-stream").StatusCode)
	h.stop()
	told(path, "UNAVAILABLE")
	require.Equal(t, http.StatusServiceUnavailable, h.ask(http.MethodGet, path, "", "Accept", "application/x-ndjson").StatusCode)
	h.start()
}

func TestTheEndOfAStreamIsTold(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	read := h.tail(t, "")
	h.stop()
	e := read.event()
	require.Equal(t, "end", e.name)
	var why inspect.Failure
	require.NoError(t, json.Unmarshal([]byte(e.data), &why))
	require.Equal(t, errs.Unavailable, why.Kind)
	require.True(t, why.Retryable)
	require.Empty(t, e.id, "the browser comes back behind the last change")
	require.Nil(t, read.event())
	h.ask("GET", path, "").refused(t, http.StatusServiceUnavailable, errs.Unavailable, "is not running")
	require.Equal(t, "1", h.ask("GET", path, "").Header.Get("Retry-After"))
	h.start()
}

// A gap comes in its place in the stream, also if the stream cannot begin because of it.
func TestAGapIsAnEvent(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	h.insert(t, 1)
	read := h.tail(t, "?consumer=one")
	h.insert(t, 2)
	_, two := read.changes(1)
	h.outsider(t, "INSERT INTO users VALUES (100, 'unseen')")
	h.insert(t, 3)
	e := read.event()
	require.Equal(t, "gap", e.name, e.data)
	var gap inspect.Gap
	require.NoError(t, json.Unmarshal([]byte(e.data), &gap))
	require.Equal(t, api.GapExternalWrite, gap.Cause)
	require.Equal(t, "app:cdc", gap.Source)
	require.GreaterOrEqual(t, gap.After, two.id)
	require.Greater(t, gap.Before, gap.After)
	require.Equal(t, errs.Unavailable, gap.Kind)
	require.NotContains(t, e.data, `"details":`, "it is said once")
	require.Nil(t, read.event())
	briefs, _ := h.tail(t, "?after="+gap.Before).changes(1)
	require.Equal(t, []string{"insert users 3"}, briefs)
	again := h.tail(t, "?after="+two.id)
	require.Equal(t, "gap", again.event().name)
	require.Nil(t, again.event())
}

func TestRequestsForChangesThatAreWrong(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	h.insert(t, 1)
	for query, text := range map[string]string{
		"?table=users":                "there is no parameter \"table\"; did you mean tables?",
		"?token=secret":               "there is no parameter \"token\"",
		"?markers=yes":                "markers is \"yes\": use true or false",
		"?snapshot=yes":               "snapshot is \"yes\": use true or false",
		"?snapshot=true&after=x":      "snapshot and after are both given",
		"?after=":                     "after is empty",
		"?after=12":                   "\"12\" is no cursor",
		"?consumer=":                  "consumer is empty",
		"?consumer=a%20b":             "consumer is \"a b\"",
		"?consumer=a&consumer=b":      "consumer is given 2 times",
		"?consumer=a&after=" + cursor: "consumer and after are both given",
		"?after=" + cursor:            "is a cursor of generation \"other\"",
		"?tables=":                    "tables has an empty name",
		"?ops=upsert":                 "ops has \"upsert\", which is not known: use insert, update, delete or truncate",
		"?format=xml":                 "format \"xml\" is not known: use json, debezium, cloudevents or flat",
		"?a%zz":                       "the query cannot be read",
	} {
		h.ask("GET", path+query, "").refused(t, http.StatusBadRequest, errs.Invalid, text)
	}
	h.ask("GET", path, "", "Accept", "application/xml").refused(t, http.StatusBadRequest, errs.Invalid, "Accept has neither")
	h.ask("GET", path, "x").refused(t, http.StatusBadRequest, errs.Invalid, "has no body")
	require.Equal(t, http.StatusBadRequest, h.ask("HEAD", path, "").StatusCode)
	h.ask("GET", "/api/sources/app:other/changes", "").refused(t, http.StatusNotFound, errs.NotFound, "the sources are app:cdc")
	live := newHouse(t, false)
	for _, query := range []string{"?consumer=a", "?after=" + cursor} {
		live.ask("GET", path+query, "").refused(t, http.StatusBadRequest, errs.Invalid, "give its entry durable: true")
	}
	live.ask("GET", path, "", "Last-Event-ID", cursor).refused(t, http.StatusBadRequest, errs.Invalid, "durable: true")
	require.Empty(t, h.catalog.Streams())
}

// cursor is one of another source.
const cursor = "other-0000000000000001-00000000"
