//go:build sqlite_preupdate_hook

package http_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/inspect"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

const one = "/api/sources/app:cdc/consumers/one"

// post sends a body of JSON.
func (h *house) post(path, body string) *answer {
	return h.ask("POST", path, body, "Content-Type", "application/json")
}

// gone waits until no stream is open any more.
func (h *house) gone(t *testing.T) {
	t.Helper()
	eventually(t, func() bool { return len(h.catalog.Streams()) == 0 })
}

func TestAConsumerGoesOnBehindWhatItHasAcknowledged(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	read := h.tail(t, "?consumer=one")
	h.insert(t, 1, 2, 3)
	_, two := read.changes(2)
	require.True(t, askedFor[inspect.Done](t, h.post(one+"/ack", `{"cursor": "`+two.id+`"}`)).Done)
	_, three := read.changes(1)
	h.ask("GET", path+"?consumer=one", "").refused(t, http.StatusConflict, errs.Conflict, `consumer "one" has a stream already, of Go-http-client/1.1 at 127.0.0.1:`)
	read.close()
	h.gone(t)

	h.post(one+"/ack", `{"cursor": "`+three.id+`"}`).refused(t, http.StatusBadRequest, errs.Invalid, "no client reads its stream: open it by GET")
	again := h.tail(t, "?consumer=one", "Last-Event-ID", three.id)
	briefs, last := again.changes(1)
	require.Equal(t, []string{"insert users 3"}, briefs, "the header does not count")
	require.Equal(t, three.id, last.id)
	consumers := askedFor[inspect.ConsumerList](t, h.ask("GET", "/api/consumers", "")).Consumers
	require.Equal(t, two.id, consumers[0].Cursor)
	require.True(t, consumers[0].Connected)
}

func TestAcknowledgementsThatAreWrong(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	plain, read := h.tail(t, ""), h.tail(t, "?consumer=one&tables=users")
	h.insert(t, 1)
	_, first := read.changes(1)
	h.exec(t, "INSERT INTO orders (id) VALUES (1)")
	_, later := plain.changes(2)
	for body, text := range map[string]string{
		`{"cursor": "12"}`:                           `"12" is no cursor`,
		`{"cursor": "` + cursor + `"}`:               "was not delivered by this stream",
		`{"cursor": "` + later.id + `"}`:             "was not delivered",
		`{"cursor": "` + first.id + `", "to": "up"}`: "the body must be",
		`{}`:                      "the body must be",
		`{"position": 1}`:         `unknown field "position"; there are cursor, to`,
		`{"cursr": "1"}`:          `unknown field "cursr"; did you mean cursor?`,
		`{"cursor": "1"} {}`:      "more than one value",
		``:                        "read the body",
		`{"cursor": "` + long():   "read the body",
		`["` + first.id + `"]`:    "read the body",
		`cursor=` + later.id + ``: "read the body",
	} {
		h.post(one+"/ack", body).refused(t, http.StatusBadRequest, errs.Invalid, text)
	}
	form := h.ask("POST", one+"/ack", `{"cursor": "`+first.id+`"}`, "Content-Type", "text/plain")
	form.refused(t, http.StatusBadRequest, errs.Invalid, "Content-Type: application/json")
	h.post("/api/sources/app:nothing/consumers/one/ack", `{"cursor": "`+first.id+`"}`).refused(t, http.StatusNotFound, errs.NotFound, "the sources are app:cdc")
	h.post("/api/sources/app:cdc/consumers/a%20b/ack", `{"cursor": "`+first.id+`"}`).refused(t, http.StatusBadRequest, errs.Invalid, `consumer is "a b"`)
	h.post("/api/sources/app:cdc/consumers/two/ack", `{"cursor": "`+first.id+`"}`).refused(t, http.StatusBadRequest, errs.Invalid, `consumer "two": ack: no client`)
	require.Equal(t, http.StatusOK, h.post(one+"/ack", `{"cursor": "`+first.id+`"}`).StatusCode)
}

func long() string {
	b := make([]byte, 1<<20)
	for i := range b {
		b[i] = 'x'
	}
	return string(b)
}

func TestConsumersAreForgottenAndReset(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	name := "/api/sources/app:cdc/consumers/search%2Ffull"
	read := h.tail(t, "?consumer=search/full")
	h.insert(t, 1, 2)
	_, first := read.changes(1)
	h.post(name+"/reset", `{"to": "live"}`).refused(t, http.StatusConflict, errs.Conflict, "close that first")
	read.close()
	h.gone(t)
	for body, briefs := range map[string][]string{
		`{"cursor": "` + first.id + `"}`: {"insert users 2"}, `{"to": "snapshot"}`: {"snapshot users 1", "snapshot users 2"},
	} {
		require.Equal(t, http.StatusOK, h.post(name+"/reset", body).StatusCode)
		again := h.tail(t, "?consumer=search%2Ffull")
		got, _ := again.changes(len(briefs))
		require.Equal(t, briefs, got)
		again.close()
		h.gone(t)
	}
	for body, text := range map[string]string{`{"to": "beginning"}`: "the body must be", `{}`: "the body must be", `{"cursor": "x"}`: "is no cursor"} {
		h.post(name+"/reset", body).refused(t, http.StatusBadRequest, errs.Invalid, text)
	}
	require.Equal(t, http.StatusOK, h.post(name+"/reset", `{"to": "live"}`).StatusCode)
	read = h.tail(t, "?consumer=search/full")
	require.Equal(t, http.StatusOK, h.ask("DELETE", name, "").StatusCode)
	e := read.event()
	require.Equal(t, "end", e.name)
	require.Contains(t, e.data, "was forgotten")
	h.ask("DELETE", name, "").refused(t, http.StatusNotFound, errs.NotFound, "no consumer is called")
	all, err := h.catalog.Consumers(cdcID)
	require.NoError(t, err)
	require.Empty(t, all)
	h.ask("DELETE", one, "", "Origin", "http://evil.example").refused(t, http.StatusForbidden, errs.PermissionDenied, "")
}

// Consumers of sources that keep nothing are refused in the words that scripts get.
func TestConsumersOfLiveSources(t *testing.T) {
	t.Parallel()
	h := newHouse(t, false)
	h.post(one+"/ack", `{"cursor": "`+cursor+`"}`).refused(t, http.StatusBadRequest, errs.Invalid, "durable: true")
	h.ask("DELETE", one, "").refused(t, http.StatusBadRequest, errs.Invalid, "durable: true")
	require.Equal(t, errs.Invalid, errs.KindOf(h.catalog.Check(cdcID, api.StreamOptions{Consumer: "one"})))
}
