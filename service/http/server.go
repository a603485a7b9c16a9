package http

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/internal/appsocket"
	"github.com/wippy-cdc/runtime/internal/listen"
)

const (
	// How long a client may take to send the head of a request and all of it, from its first byte on, how long from the
	// head on until it has taken an answer that is no stream, and how long a connection without a request stays open.
	headTimeout    = 5 * time.Second
	requestTimeout = 10 * time.Second
	answerTimeout  = 20 * time.Second
	idleTimeout    = 2 * time.Minute
	// headLimit is how large the head of a request may be.
	headLimit = 16 << 10
	// defaultConnections is how many connections there may be by each door. Each is one request at a time.
	defaultConnections = 4096
	// closeTimeout is how long Close waits for answers that are under way.
	closeTimeout = time.Second
)

// Sources are what the server shows.
type Sources interface {
	api.Engine
	api.Meter
}

// Settings are what a server is made from.
type Settings struct {
	Config
	// Dir is the directory of the app. Reloads says that SIGHUP makes it read its files anew; it ends a command.
	Dir     string
	Reloads bool
	Sources Sources
	// Sinks may be nil if there are none.
	Sinks   api.SinkInspector
	Encoder api.Encoder
	// Connections is how many there may be by each door; 0 means 4096.
	Connections int
	// Entries tells the status of the entries that are to run.
	Entries func() []supervisor.EntryStatus
	// Metrics answers GET /metrics.
	Metrics http.Handler
	Logger  *slog.Logger
	// silence is another one for tests, 0 for the usual one.
	silence time.Duration
}

// Server answers requests. It must be closed.
type Server struct {
	settings Settings
	began    time.Time
	// ctx is done when the server closes: streams end then.
	ctx     context.Context //nolint:containedctx // it is the life of the server
	cancel  context.CancelFunc
	routes  http.Handler
	readers readers
	doors   []*door
	serving sync.WaitGroup
}

// connKey is the key of a request's connection in its context.
type connKey struct{}

// door is one way in.
type door struct {
	listener net.Listener
	server   *http.Server
}

// Start answers from now on at the doors that are asked for. A socket that cannot be had is a warning: the app runs without. When
// ctx is done nothing is opened.
func Start(ctx context.Context, settings Settings) (*Server, error) {
	token, err := settings.token()
	if err != nil {
		return nil, err
	}
	s := &Server{settings: settings, began: time.Now()}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.routes = s.newRoutes()
	if ctx.Err() != nil {
		return s, nil //nolint:nilerr // as documented
	}
	if settings.Address != "" {
		listener, err := listen.TCP(ctx, settings.Address)
		if err != nil {
			s.cancel()
			return nil, errs.New(errs.KindOf(err), "http: %w", err)
		}
		s.open(listener, newGuard(listener.Addr(), token, s.routes))
		if settings.TokenFile != "" {
			warnOfReaders(settings.TokenFile, settings.Logger)
		}
		settings.Logger.Info("http is served", "url", "http://"+listener.Addr().String(), "token", token != "")
	}
	if settings.Socket {
		s.openSocket(ctx)
	}
	return s, nil
}

func (s *Server) openSocket(ctx context.Context) {
	listener, err := appsocket.Listen(ctx, s.settings.Dir)
	if err != nil {
		s.settings.Logger.Warn("there is no socket: wippy status, tail and consumers cannot reach this run", "error", err)
		return
	}
	s.open(listener, newGuard(nil, "", s.routes))
	s.settings.Logger.Debug("the socket is open", "path", listener.Addr().String())
}

// open serves at one more door.
func (s *Server) open(listener net.Listener, handler http.Handler) {
	d := &door{listener: limit(listener, int64(cmp.Or(s.settings.Connections, defaultConnections))), server: &http.Server{
		Handler: handler, MaxHeaderBytes: headLimit,
		ReadHeaderTimeout: headTimeout, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		ErrorLog:    slog.NewLogLogger(s.settings.Logger.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, conn)
		},
	}}
	s.doors = append(s.doors, d)
	s.serving.Go(func() {
		if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
			s.settings.Logger.Error("http is no longer served", "error", err)
		}
	})
}

// Addresses lists where the server listens.
func (s *Server) Addresses() []net.Addr {
	all := make([]net.Addr, len(s.doors))
	for i, d := range s.doors {
		all[i] = d.listener.Addr()
	}
	return all
}

// Close ends the streams that are left, waits a moment for answers that are under way, and then for the server's goroutines.
// A nil Server is one that was not started.
func (s *Server) Close(ctx context.Context) error {
	if s == nil {
		return nil
	}
	s.cancel()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	var failed []error
	for _, d := range s.doors {
		if err := d.server.Shutdown(ctx); err != nil {
			failed = append(failed, d.server.Close()) // a client that does not read its answer is cut off
		}
	}
	s.serving.Wait()
	s.readers.wait()
	return errors.Join(failed...)
}
