package webhook_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
	"github.com/wippy-cdc/runtime/service/cdc/sink/sinktest"
	"github.com/wippy-cdc/runtime/service/cdc/sink/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoint is an HTTP server that misbehaves when it is told to.
type endpoint struct {
	address string
	server  *http.Server

	mu       sync.Mutex
	received []string
	limited  bool
	// held is closed by Release; nil if requests are answered.
	held chan struct{}
	// connections counts requests under way.
	serving sync.WaitGroup
}

func newEndpoint(t *testing.T) sinktest.Destination {
	t.Helper()
	e := new(endpoint)
	e.Up(t)
	t.Cleanup(func() { e.Release(t); e.Down(t) })
	return e
}

// Kind implements sinktest.Destination.
func (e *endpoint) Kind(id registry.ID, common *api.SinkConfig) sink.Kind {
	config := new(api.WebhookConfig)
	config.SetDefaults()
	config.SinkConfig = *common
	config.URL = "http://user:secret@" + e.address + "/secret?token=secret"
	return webhook.Kind(id, config)
}

// Up implements sinktest.Destination: it listens where it did before.
func (e *endpoint) Up(t *testing.T) {
	t.Helper()
	if e.address == "" {
		e.address = "127.0.0.1:0"
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", e.address)
	require.NoError(t, err)
	e.address = listener.Addr().String()
	e.server = &http.Server{Handler: e}
	e.serving.Go(func() { _ = e.server.Serve(listener) })
}

// Down implements sinktest.Destination: what is under way gets no answer.
func (e *endpoint) Down(t *testing.T) {
	t.Helper()
	require.NoError(t, e.server.Close())
	e.serving.Wait()
}

// Hold implements sinktest.Destination.
func (e *endpoint) Hold(*testing.T) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = make(chan struct{})
}

// Release implements sinktest.Destination.
func (e *endpoint) Release(*testing.T) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.held != nil {
		close(e.held)
		e.held = nil
	}
}

// Limit implements sinktest.Destination.
func (e *endpoint) Limit(_ *testing.T, on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.limited = on
}

// Received implements sinktest.Destination.
func (e *endpoint) Received(*testing.T) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.received...)
}

// ServeHTTP implements http.Handler.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var records []json.RawMessage
	if err := json.Unmarshal(body, &records); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	e.mu.Lock()
	held := e.held
	e.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-r.Context().Done():
		}
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, record := range records {
		if e.limited && len(record) > 32<<10 {
			http.Error(w, "it is too large", http.StatusUnprocessableEntity)
			return
		}
	}
	for _, record := range records {
		e.received = append(e.received, string(record))
	}
	w.WriteHeader(http.StatusNoContent)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, sinktest.Properties{Ordered: true}, newEndpoint)
}
