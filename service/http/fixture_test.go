package http_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/inspect"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/internal/appsocket"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	httpservice "github.com/wippy-cdc/runtime/service/http"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "correct-horse-battery"

// site is a server under test.
type site struct {
	t      *testing.T
	dir    string
	server *httpservice.Server
	client *http.Client
	log    *buffer
}

// buffer is a text that several goroutines write.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// serve starts a server on nothing but what settings say, which is closed at the end of the test.
func serve(t *testing.T, configure func(*httpservice.Settings)) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), log: new(buffer)}
	settings := httpservice.Settings{
		Config: httpservice.Config{Address: "0"}, Dir: s.dir, Sources: source.NewCatalog(), Encoder: encode.New(), Metrics: http.NotFoundHandler(),
		Entries: func() []supervisor.EntryStatus { return nil }, Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if configure != nil {
		configure(&settings)
	}
	server, err := httpservice.Start(t.Context(), settings)
	require.NoError(t, err)
	s.server = server
	transport := &http.Transport{DisableKeepAlives: true}
	s.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() { require.NoError(t, server.Close(context.WithoutCancel(t.Context()))) })
	return s
}

// withToken makes a server ask for the token.
func withToken(t *testing.T) func(*httpservice.Settings) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(token+"\n"), 0o600))
	return func(s *httpservice.Settings) { s.TokenFile = file }
}

func (s *site) url(path string) string { return "http://" + s.server.Addresses()[0].String() + path }

// answer is what the server has answered.
type answer struct {
	*http.Response
	body string
}

// ask sends a request; headers are names and values. Host is that of the request.
func (s *site) ask(method, path, body string, headers ...string) *answer {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.url(path), strings.NewReader(body))
	require.NoError(s.t, err)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
			continue
		}
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := s.client.Do(request)
	require.NoError(s.t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.NoError(s.t, response.Body.Close())
	return &answer{response, string(content)}
}

// refused asserts that an answer is an error of a kind with a text.
func (a *answer) refused(t *testing.T, status int, kind errs.Kind, text string) {
	t.Helper()
	require.Equal(t, status, a.StatusCode, a.body)
	var problem inspect.Problem
	require.NoError(t, json.Unmarshal([]byte(a.body), &problem), a.body)
	require.Equal(t, kind, problem.Error.Kind)
	require.Contains(t, problem.Error.Message, text)
}

// askedFor reads the value of an answer.
func askedFor[T any](t *testing.T, a *answer) T {
	t.Helper()
	require.Equal(t, http.StatusOK, a.StatusCode, a.body)
	var value T
	decoder := json.NewDecoder(strings.NewReader(a.body))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&value), a.body)
	return value
}

// bySocket makes the client use the socket.
func (s *site) bySocket() {
	s.client.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return appsocket.Dial(ctx, s.dir)
	}}
}
