package http_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	httpservice "github.com/wippy-cdc/runtime/service/http"
)

// pipes is a listener whose connections have no buffers, and the time of a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { close(p.closed); return nil }

func (*pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// dial connects. What takes longer than an hour has not come to its end.
func (p *pipes) dial(t *testing.T) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	require.NoError(t, client.SetDeadline(time.Now().Add(time.Hour)))
	p.conns <- server
	return client
}

// inBubble runs a test with a server, whose sources have the streams of open.
func inBubble(t *testing.T, open func(opts api.StreamOptions) api.Stream, test func(t *testing.T, doors *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		doors := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		server, err := httpservice.StartAt(t.Context(), httpservice.Settings{
			Sources: &opener{source.NewCatalog(), open}, Encoder: encode.New(), Metrics: http.NotFoundHandler(), Logger: slog.New(slog.DiscardHandler),
		}, doors)
		require.NoError(t, err)
		test(t, doors)
		require.NoError(t, server.Close(t.Context()))
	})
}

// opener opens streams of its own.
type opener struct {
	*source.Catalog
	open func(opts api.StreamOptions) api.Stream
}

func (o *opener) Subscribe(_ context.Context, _ registry.ID, opts api.StreamOptions) (api.Stream, error) {
	return o.open(opts), nil
}

func (*opener) Source(registry.ID) (api.SourceInfo, bool) {
	return api.SourceInfo{Snapshot: true, Cursor: "told", Capabilities: api.Capabilities{Replayable: true}}, true
}

// still is a stream without changes.
type still struct{ err error }

func (*still) Next(ctx context.Context) (*api.Change, error) { <-ctx.Done(); return nil, ctx.Err() }
func (s *still) Poll() (*api.Change, error)                  { return nil, s.err }
func (*still) Ready() <-chan struct{}                        { return nil }
func (s *still) Err() error                                  { return s.err }
func (*still) Ack(api.Position) error                        { return nil }
func (*still) Close()                                        {}

const post = " HTTP/1.1\r\nHost: localhost\r\n"

// A body that does not come is not waited for, with or without the token.
func TestABodyMustCome(t *testing.T) {
	t.Parallel()
	for _, request := range []string{
		"POST /login" + post + "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\n",
		"POST /login" + post + "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n",
		"POST /api/x" + post + "Content-Length: 100\r\n\r\n",
		"GET /healthz" + post + "Content-Length: 100\r\n\r\nbegun",
		"POST /api/x" + post + "Authorization: Bearer secret\r\nContent-Length: 100\r\n\r\n",
		"DELETE /api/sources/app:cdc/consumers/one" + post + "Authorization: Bearer secret\r\nContent-Length: 100\r\n\r\n",
		"GET /api/sources/app:cdc/changes" + post + "Authorization: Bearer secret\r\nContent-Length: 100\r\n\r\n",
	} {
		inBubble(t, nil, func(t *testing.T, doors *pipes) {
			t.Helper()
			conn := doors.dial(t)
			began := time.Now()
			_, err := io.WriteString(conn, request)
			require.NoError(t, err)
			answer, err := io.ReadAll(conn)
			require.NoError(t, err, request)
			require.True(t, strings.HasPrefix(string(answer), "HTTP/1.1 "), request)
			require.LessOrEqual(t, time.Since(began), 11*time.Second, request)
		})
	}
}

// A client that does not take its answers is cut off.
func TestAnAnswerMustBeTaken(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		"GET /" + post, "GET /healthz" + post, "GET /api/sources" + post, "GET /" + post + "Authorization: Bearer secret\r\n",
		"GET /page/app.js" + post + "Authorization: Bearer secret\r\n", "GET /metrics" + post + "Authorization: Bearer secret\r\n",
		"GET /api/sources" + post + "Authorization: Bearer secret\r\n",
	} {
		inBubble(t, nil, func(t *testing.T, doors *pipes) {
			t.Helper()
			conn := doors.dial(t)
			began := time.Now()
			var err error
			for err == nil {
				_, err = io.WriteString(conn, head+"\r\n")
			}
			require.ErrorIs(t, err, io.ErrClosedPipe, head)
			require.LessOrEqual(t, time.Since(began), 21*time.Second, head)
		})
	}
}

// The deadlines are not for streams.
func TestAStreamLastsAsLongAsItIsRead(t *testing.T) {
	t.Parallel()
	open := func(api.StreamOptions) api.Stream { return new(still) }
	inBubble(t, open, func(t *testing.T, doors *pipes) {
		t.Helper()
		conn := doors.dial(t)
		began := time.Now()
		_, err := io.WriteString(conn, "GET /api/sources/app:cdc/changes"+post+"Authorization: Bearer secret\r\n\r\n")
		require.NoError(t, err)
		lines := bufio.NewReader(conn)
		for time.Since(began) < 50*time.Minute {
			_, err := lines.ReadString('\n')
			require.NoError(t, err)
		}
		require.NoError(t, conn.Close())
	})
}

// scanning is a stream that reads its snapshot.
type scanning struct {
	still
	ended atomic.Pointer[error]
}

func (*scanning) Start() api.Position { return api.SnapshotOf(1) }

func (s *scanning) EndSnapshot(err error) bool {
	s.ended.Store(&err)
	return true
}

func (s *scanning) Poll() (*api.Change, error) { return nil, s.Err() }

func (s *scanning) Err() error {
	if err := s.ended.Load(); err != nil {
		return *err
	}
	return nil
}

const ask = "GET /api/sources/app:cdc/changes" + post + "Authorization: Bearer secret\r\n\r\n"

// A client that does not read keeps no place from those that would.
func TestAStalledSnapshotIsEnded(t *testing.T) {
	t.Parallel()
	stream := new(scanning)
	inBubble(t, func(api.StreamOptions) api.Stream { return stream }, func(t *testing.T, doors *pipes) {
		t.Helper()
		conn := doors.dial(t)
		_, err := io.WriteString(conn, ask)
		require.NoError(t, err)
		<-time.After(25 * time.Second)
		require.NoError(t, stream.Err(), "it may be about to read")
		<-time.After(25 * time.Second)
		require.ErrorContains(t, stream.Err(), "the client has read nothing for 30s, and others wait to read a snapshot")
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "it is cut off")
	})
}

// Where a stream begins is told by what was opened, not by what the entry says of a snapshot that was delivered.
func TestTheStartIsThatOfTheStream(t *testing.T) {
	t.Parallel()
	for stream, told := range map[api.Stream]bool{new(still): true, new(scanning): false} {
		inBubble(t, func(api.StreamOptions) api.Stream { return stream }, func(t *testing.T, doors *pipes) {
			t.Helper()
			conn := doors.dial(t)
			_, err := io.WriteString(conn, ask)
			require.NoError(t, err)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
			answer, err := io.ReadAll(conn)
			require.Error(t, err)
			require.Equal(t, told, strings.Contains(string(answer), "id: told\n\n"), string(answer))
			require.NoError(t, conn.Close())
		})
	}
}
