//go:build sqlite_preupdate_hook

package http_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/inspect"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	httpservice "github.com/wippy-cdc/runtime/service/http"
)

// eventually waits until something is so, for as long as a busy machine may need.
func eventually(t *testing.T, so func() bool) {
	t.Helper()
	deadline := time.After(2 * time.Minute)
	for !so() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			require.Fail(t, "it has not come to that")
		}
	}
}

// connect sends a request for changes and reads nothing.
func (h *house) connect(t *testing.T, query string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", h.server.Addresses()[0].String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = io.WriteString(conn, "GET "+path+query+" HTTP/1.1\r\nHost: localhost\r\nUser-Agent: sleepy/1\r\n\r\n")
	require.NoError(t, err)
	return conn
}

// ended returns how many streams have ended for a reason.
func (h *house) ended(reason api.EndReason) uint64 {
	for _, s := range h.catalog.Stats() {
		return s.Ended[reason]
	}
	return 0
}

// A client that never reads loses its stream when that has fallen behind; it is cut off; and another client, which reads,
// gets everything.
func TestAClientThatNeverReadsCostsItsOwnStreamAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t, false)
	reading := h.tail(t, "?tables=users")
	conn := h.connect(t, "")
	eventually(t, func() bool { return len(h.catalog.Streams()) == 2 })
	require.Equal(t, "sleepy/1 at "+conn.LocalAddr().String(), h.catalog.Streams()[1].Reader)
	rows := 0
	for ; h.ended(api.EndLag) == 0; rows++ { // 1 MiB each, and the stream may be 16 behind
		require.Less(t, rows, 1000, "the stream goes on without a reader")
		h.exec(t, "INSERT INTO orders VALUES (?, zeroblob(1048576))", rows)
		h.insert(t, rows)
		reading.changes(1)
	}
	require.Equal(t, uint64(1), h.ended(api.EndLag))
	open := h.catalog.Streams()
	require.Len(t, open, 1)
	require.Equal(t, []string{"users"}, open[0].Tables, "the other one goes on")
	eventually(t, func() bool { // without reading, as far as the server can tell: what is in the way is not its
		_ = conn.SetReadDeadline(time.Now().Add(-time.Second))
		_, err := io.WriteString(conn, "x")
		return err != nil
	})
	h.insert(t, rows)
	reading.changes(1)
}

// A client that has gone is noticed at once, whether the server was about to write to it or had nothing to write.
func TestAClientThatGoesFreesItsStream(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	idle := h.connect(t, "?tables=users")
	eventually(t, func() bool { return len(h.catalog.Streams()) == 1 })
	require.NoError(t, idle.Close())
	h.gone(t)
	require.Equal(t, uint64(1), h.ended(api.EndClosed))

	stuck := h.connect(t, "?consumer=one")
	eventually(t, func() bool { return len(h.catalog.Streams()) == 1 })
	for i := range 40 {
		h.exec(t, "INSERT INTO orders VALUES (?, zeroblob(1048576))", i)
	}
	require.Len(t, h.catalog.Streams(), 1, "a consumer of a durable source may take its time")
	require.NoError(t, stuck.Close())
	h.gone(t)
	h.tail(t, "?consumer=one").changes(1)
}

// Many clients read one source, and each gets everything.
func TestAThousandClients(t *testing.T) {
	if testing.Short() {
		t.Skip("it opens 2,000 files")
	}
	t.Parallel()
	const clients, rows = 1000, 20
	h := newHouse(t, false)
	var reading sync.WaitGroup
	texts := make([]string, clients)
	for i := range clients {
		conn := h.connect(t, "?tables=users")
		reading.Go(func() {
			lines := bufio.NewScanner(conn)
			for n := 0; n < rows && lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "id: ") {
					n++
					texts[i] += lines.Text() + "\n"
				}
			}
		})
	}
	eventually(t, func() bool { return len(h.catalog.Streams()) == clients })
	for i := range rows {
		h.insert(t, i)
	}
	reading.Wait()
	require.Equal(t, rows, strings.Count(texts[0], "\n"))
	for _, text := range texts {
		require.Equal(t, texts[0], text)
	}
	status := askedFor[inspect.Status](t, h.ask("GET", "/api/status", ""))
	require.Len(t, status.Streams, clients)
}

// The end of the server is not held up by clients, whatever they do.
func TestCloseEndsStreams(t *testing.T) {
	t.Parallel()
	h := newHouse(t, true)
	read := h.tail(t, "?tables=users")
	stuck := h.connect(t, "?consumer=one")
	eventually(t, func() bool { return len(h.catalog.Streams()) == 2 })
	for i := range 40 {
		h.exec(t, "INSERT INTO orders VALUES (?, zeroblob(1048576))", i)
	}
	h.insert(t, 1)
	read.changes(1)
	require.NoError(t, h.server.Close(t.Context()))
	require.Empty(t, h.catalog.Streams())
	require.NoError(t, stuck.Close())
	_, err := h.client.Get(h.url("/healthz")) //nolint:noctx,bodyclose // it fails
	require.Error(t, err)
}

func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	s := serve(t, func(s *httpservice.Settings) { s.Connections = 2 })
	first, second := s.hold(t), s.hold(t)
	require.Regexp(t, "(?s)^HTTP/1.1 503 .*too many connections", s.refusal(t))
	require.NoError(t, first.Close())
	eventually(t, func() bool { return s.answers(t) })
	require.NoError(t, second.Close())
}

// refusal returns what a connection gets that is refused, before any request.
func (s *site) refusal(t *testing.T) string {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.server.Addresses()[0].String())
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	return string(answer)
}

// answers reports whether a request is answered.
func (s *site) answers(t *testing.T) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("/healthz"), http.NoBody)
	require.NoError(t, err)
	response, err := s.client.Do(request)
	return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// hold opens a connection that is a request's for certain.
func (s *site) hold(t *testing.T) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.server.Addresses()[0].String())
	require.NoError(t, err)
	_, err = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return conn
}
