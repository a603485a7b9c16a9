package postgres_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/pgtest"
)

// proxy passes connections on to a server until it is cut.
type proxy struct {
	t        *testing.T
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn
	frozen bool
	thaw   chan struct{}
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{t: t, listener: listener, target: target, thaw: make(chan struct{})}
	p.work.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.mu.Lock()
		close(p.thaw)
		p.mu.Unlock()
		p.work.Wait()
	})
	return p
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.WithoutCancel(p.t.Context()), "tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.work.Go(func() { p.pass(client, server) })
		p.work.Go(func() { p.pass(server, client) })
	}
}

// pass copies until either side ends, and no more once the proxy is frozen.
func (p *proxy) pass(to, from net.Conn) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		if frozen {
			<-p.thaw
			return
		}
		if _, writeErr := to.Write(buffer[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// freeze lets nothing through any more, without closing anything.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = true
}

// through returns the configuration of a source that reaches its server through p.
func (h *house) through(p *proxy) *api.PostgresConfig {
	c := h.config("users")
	c.Host, c.Port = "127.0.0.1", p.port()
	return c
}

func TestTheConnectionIsLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(h *house, p *proxy){
		"terminated": func(h *house, _ *proxy) {
			h.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '" + h.Name + "'")
		},
		"cut":    func(_ *house, p *proxy) { p.cut() },
		"frozen": func(_ *house, p *proxy) { p.freeze() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			p := newProxy(t, h.URL.Host)
			c := h.through(p)
			source := h.source(c)
			running := h.serve(source)
			s := h.subscribe(api.StreamOptions{})
			h.insert(1)
			before := take(t, s, 1)
			lose(h, p)
			err := <-running.ended
			require.Equal(t, errs.Unavailable, errs.KindOf(err), err)
			require.True(t, errs.Retryable(err))
			require.NotContains(t, err.Error(), pgtest.Password)
			require.Equal(t, api.StateFaulted, h.info().State)
			require.EqualError(t, err, `cdc: source "app:cdc": `+h.info().Err.Error())
			_, streamErr := s.Next(t.Context())
			require.Equal(t, err, streamErr, "the stream says why")
			h.insert(2)

			h.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '" + h.Name + "'")
			c.Host, c.Port, _, _ = h.Address()
			h.serve(h.source(c))
			s = h.subscribe(api.StreamOptions{})
			for {
				change := take(t, s, 1)[0]
				if change.After[0].Int64() == 2 {
					require.Less(t, before[0].Cursor(), change.Cursor())
					break
				}
				require.Equal(t, before[0].Cursor(), change.Cursor(), "a repetition can be recognised")
			}
		})
	}
}

func TestTheServerRestarts(t *testing.T) {
	t.Parallel()
	h := in(t, pgtest.NewServer(t, nil))
	c := h.config("users")
	for i, crash := range []bool{false, true} {
		running := h.serve(h.source(c))
		s := h.subscribe(api.StreamOptions{})
		h.insert(10 * i)
		for take(t, s, 1)[0].After[0].Int64() != int64(10*i) {
		}
		h.Restart(t, crash, func() {
			err := <-running.ended
			require.Equal(t, errs.Unavailable, errs.KindOf(err), err)
			require.Equal(t, errs.Unavailable, errs.KindOf(h.refusal(c)))
		})
		h.insert(10*i + 1)
		running = h.serve(h.source(c))
		s = h.subscribe(api.StreamOptions{})
		for take(t, s, 1)[0].After[0].Int64() != int64(10*i+1) {
		}
		require.NoError(t, running.stop())
	}
}

func TestConnectionsAreEncrypted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if h.RootCert == "" {
		t.Skip("needs a private server")
	}
	c := h.config("users")
	c.Options = map[string]string{"sslmode": "verify-full"}
	require.ErrorContains(t, h.refusal(c), "certificate")
	c.Options["sslrootcert"] = h.RootCert
	h.serve(h.source(c))
	s := h.subscribe(api.StreamOptions{})
	h.insert(1)
	take(t, s, 1)
	require.Equal(t, "true", h.Text(t, `SELECT ssl FROM pg_stat_ssl JOIN pg_replication_slots ON pid = active_pid WHERE slot_name = $1`, h.Name))
}

func TestAnIdleSourceNoticesThatTheServerIsGone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	p := newProxy(t, h.URL.Host)
	running := h.serve(h.source(h.through(p)))
	p.cut()
	require.Equal(t, errs.Unavailable, errs.KindOf(<-running.ended))
}

// A server that shuts down waits for what walsenders have sent to be confirmed, and takes no checkpoint any more.
func TestAServerThatShutsDownIsNotHeldUp(t *testing.T) {
	t.Parallel()
	h := in(t, pgtest.NewServer(t, nil))
	running := h.serve(h.source(h.config("users")))
	s := h.subscribe(api.StreamOptions{})
	h.insert(1)
	take(t, s, 1)
	locking, err := h.Pool.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { _ = locking.Rollback() }()
	_, err = locking.ExecContext(t.Context(), "LOCK TABLE wippy_cdc_offsets IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	h.insert(2)
	take(t, s, 1)
	h.Restart(t, false, func() {
		err := <-running.ended
		require.Equal(t, errs.Unavailable, errs.KindOf(err), err)
		require.True(t, errs.Retryable(err))
	})
}
