package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/listen"
)

// How long a client may take to send its request, and how long Close waits for answers that are under way.
const (
	readTimeout  = 5 * time.Second
	closeTimeout = time.Second
)

// Server answers GET /metrics with what a gatherer has, as text. It must be closed.
type Server struct {
	listener net.Listener
	server   *http.Server
	logger   *slog.Logger
	serving  sync.WaitGroup
}

// Check says what is wrong with an address for Start; "" is none.
func Check(address string) error {
	if address == "" {
		return nil
	}
	if _, err := listen.Address(address); err != nil {
		return errs.New(errs.KindOf(err), "metrics: %w", err)
	}
	return nil
}

// Start serves the figures of sources and sinks, and those of Go and of the program, at an address, see listen.Address. The server is nil
// for "", and if ctx is done: then nothing is worth serving.
func Start(ctx context.Context, address string, meter api.Meter, sinks api.SinkInspector, logger *slog.Logger) (*Server, error) {
	if address == "" || ctx.Err() != nil {
		return nil, nil //nolint:nilnil,nilerr // as documented
	}
	server, err := Listen(ctx, address, logger)
	if err != nil {
		return nil, err
	}
	server.Serve(gatherer(meter, sinks))
	return server, nil
}

// Handler answers with what Start serves.
func Handler(meter api.Meter, sinks api.SinkInspector, logger *slog.Logger) http.Handler {
	return handler(gatherer(meter, sinks), logger)
}

// gatherer gathers all figures. That what is registered here excludes itself is impossible.
func gatherer(meter api.Meter, sinks api.SinkInspector) prometheus.Gatherer {
	registerer := prometheus.NewRegistry()
	registerer.MustRegister(
		NewCollector(meter, sinks), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registerer
}

func handler(gatherer prometheus.Gatherer, logger *slog.Logger) http.Handler {
	return promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{ErrorLog: incomplete{logger}, ErrorHandling: promhttp.ContinueOnError})
}

// incomplete logs figures that cannot be told.
type incomplete struct{ *slog.Logger }

// Println implements promhttp.Logger.
func (i incomplete) Println(v ...any) { i.Warn("metrics are incomplete", "error", v) }

// Listen takes an address, see listen.Address; it answers from Serve on.
func Listen(ctx context.Context, address string, logger *slog.Logger) (*Server, error) {
	listener, err := listen.TCP(ctx, address)
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "metrics: %w", err)
	}
	return &Server{listener: listener, logger: logger}, nil
}

// URL is where the metrics are.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() + "/metrics" }

// Serve begins to answer and returns. It is called once.
func (s *Server) Serve(gatherer prometheus.Gatherer) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", handler(gatherer, s.logger))
	s.server = &http.Server{
		Handler: mux, ReadTimeout: readTimeout,
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn),
	}
	s.serving.Go(func() {
		if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.logger.Error("metrics are no longer served", "error", err)
		}
	})
	s.logger.Info("metrics are served", "url", s.URL())
}

// Close stops answering, after the answers that are under way, and waits for the server's goroutines. A nil Server is one
// that was not started.
func (s *Server) Close(ctx context.Context) error {
	if s == nil {
		return nil
	}
	if s.server == nil {
		return s.listener.Close()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(errs.New(errs.Timeout, "metrics: close: %w", err), s.server.Close())
	}
	s.serving.Wait()
	return err
}
