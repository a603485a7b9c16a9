package metrics_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/service/metrics"
)

// serve answers at a free port until the end of the test.
func serve(t *testing.T, gatherer prometheus.Gatherer) (s *metrics.Server, log *bytes.Buffer) {
	t.Helper()
	log = new(bytes.Buffer)
	s, err := metrics.Listen(t.Context(), ":0", slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	s.Serve(gatherer)
	return s, log
}

func request(t *testing.T, method, url string) (status int, body string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	response, err := client.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(content)
}

func dial(t *testing.T, s *metrics.Server) (net.Conn, error) {
	t.Helper()
	address := strings.TrimSuffix(strings.TrimPrefix(s.URL(), "http://"), "/metrics")
	return new(net.Dialer).DialContext(t.Context(), "tcp", address)
}

func TestServer(t *testing.T) {
	t.Parallel()
	registerer := prometheus.NewRegistry()
	registerer.MustRegister(metrics.NewCollector(full(), sinks()))
	s, log := serve(t, registerer)
	require.True(t, strings.HasPrefix(s.URL(), "http://127.0.0.1:"), s.URL())
	status, body := request(t, http.MethodGet, s.URL())
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "wippy_cdc_transactions_total{source=\"app:cdc\"} 3\n")
	status, _ = request(t, http.MethodPost, s.URL())
	require.Equal(t, http.StatusMethodNotAllowed, status)
	status, _ = request(t, http.MethodGet, strings.TrimSuffix(s.URL(), "metrics"))
	require.Equal(t, http.StatusNotFound, status)

	require.NoError(t, s.Close(t.Context()))
	require.NoError(t, s.Close(t.Context()))
	_, err := dial(t, s)
	require.Error(t, err)
	require.Contains(t, log.String(), "metrics are served")
	require.NotContains(t, log.String(), "level=ERROR")
}

// A client that never finishes its request does not hold up the end of the app.
func TestCloseDoesNotWaitForIdleClients(t *testing.T) {
	t.Parallel()
	s, _ := serve(t, prometheus.NewRegistry())
	conn, err := dial(t, s)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	_, err = io.WriteString(conn, "GET /metrics HTTP/1.1\r\n")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Close(ctx); err != nil {
		require.Equal(t, errs.Timeout, errs.KindOf(err))
	}
}

func TestAddressThatCannotBeHad(t *testing.T) {
	t.Parallel()
	s, err := metrics.Listen(t.Context(), "0", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	address := strings.TrimSuffix(strings.TrimPrefix(s.URL(), "http://"), "/metrics")
	_, err = metrics.Listen(t.Context(), address, slog.New(slog.DiscardHandler))
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.ErrorContains(t, err, address)
	require.ErrorContains(t, err, "in use")
	require.NoError(t, s.Close(t.Context()), "it never served")
	_, err = metrics.Listen(t.Context(), "localhost", slog.New(slog.DiscardHandler))
	require.Equal(t, errs.Invalid, errs.KindOf(err))
}

// Metrics that cannot be told do not take the others with them.
func TestIncompleteMetricsAreLogged(t *testing.T) {
	t.Parallel()
	twice := full()
	*twice = append(*twice, (*twice)[0])
	registerer := prometheus.NewRegistry()
	registerer.MustRegister(metrics.NewCollector(twice, outlets(nil)))
	s, log := serve(t, registerer)
	status, body := request(t, http.MethodGet, s.URL())
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "app:pg")
	require.NoError(t, s.Close(t.Context()))
	require.Contains(t, log.String(), "metrics are incomplete")
}

func TestAnAddressInUseTellsWhatToDo(t *testing.T) {
	t.Parallel()
	s, _ := serve(t, prometheus.NewRegistry())
	address := strings.TrimSuffix(strings.TrimPrefix(s.URL(), "http://"), "/metrics")
	_, err := metrics.Listen(t.Context(), address, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "address already in use: another program has this port, or another run of the app")
	_, err = metrics.Listen(t.Context(), "192.0.2.1:1", slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "this machine does not have the address")
	require.NoError(t, s.Close(t.Context()))
}

func TestStartServesSourcesAndTheProgram(t *testing.T) {
	t.Parallel()
	s, err := metrics.Start(t.Context(), ":0", full(), sinks(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	status, body := request(t, http.MethodGet, s.URL())
	require.Equal(t, http.StatusOK, status)
	for _, want := range []string{`wippy_cdc_transactions_total{source="app:cdc"} 3`, "go_goroutines ", "process_start_time_seconds "} {
		require.Contains(t, body, want)
	}
	_, err = metrics.Start(t.Context(), "nowhere", full(), sinks(), slog.New(slog.DiscardHandler))
	require.Equal(t, errs.Invalid, errs.KindOf(err))
}
