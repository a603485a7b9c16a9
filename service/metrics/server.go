package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
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

// Start serves the figures of sources and sinks, and those of Go and of the program, at an address, see Address.
func Start(ctx context.Context, address string, meter api.Meter, sinks api.SinkInspector, logger *slog.Logger) (*Server, error) {
	registerer := prometheus.NewRegistry()
	if err := errors.Join(
		registerer.Register(NewCollector(meter, sinks)),
		registerer.Register(collectors.NewGoCollector()),
		registerer.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	); err != nil {
		return nil, err
	}
	server, err := Listen(ctx, address, logger)
	if err != nil {
		return nil, err
	}
	server.Serve(registerer)
	return server, nil
}

// Listen takes an address, see Address; it answers from Serve on.
func Listen(ctx context.Context, address string, logger *slog.Logger) (*Server, error) {
	complete, err := Address(address)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", complete)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "metrics: %w%s", err, cure(err))
	}
	return &Server{listener: listener, logger: logger}, nil
}

// cure says what to do about an address that cannot be had.
func cure(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return ": another program has this port, or another run of the app; stop that, or give another port (:0 takes any that is free)"
	case errors.Is(err, syscall.EACCES):
		return ": ports below 1024 need rights of their own; give a higher one"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return ": this machine does not have the address; leave the host out for 127.0.0.1, or give 0.0.0.0 for all there are"
	default:
		return ""
	}
}

// URL is where the metrics are.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() + "/metrics" }

// Serve begins to answer and returns. It is called once.
func (s *Server) Serve(gatherer prometheus.Gatherer) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{
		ErrorLog: s, ErrorHandling: promhttp.ContinueOnError,
	}))
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

// Println implements promhttp.Logger.
func (s *Server) Println(v ...any) { s.logger.Warn("metrics are incomplete", "error", v) }

// Close stops answering, after the answers that are under way, and waits for the server's goroutines.
func (s *Server) Close(ctx context.Context) error {
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
