package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
	wippyjetstream "github.com/wippy-cdc/runtime/service/cdc/sink/jetstream"
	"github.com/wippy-cdc/runtime/service/cdc/sink/webhook"
)

const (
	// sunk is how many rows B11 delivers.
	sunk = 50_000
)

// sinkRate is B11: what sinks deliver, against what their clients do with the same payload.
func sinkRate(ctx context.Context, r *report, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	server, err := startNATS(ctx, dir)
	if err != nil {
		return err
	}
	defer server.stop()
	hook := newHook(ctx)
	defer hook.close()
	rows := [][]string{{
		"ns a row, min / median", "rows of a transaction", "the client", "the client, with IDs", "the sink", "rate of the sink / the client", "/ with IDs",
	}}
	for _, c := range []struct {
		to   sunkTo
		size int
	}{{&natsStream{server, true}, 1}, {&natsStream{server, true}, 100}, {&natsStream{server, false}, 100}, {hook, 100}} {
		var plain, identified, ours times
		for round := range max(rounds/3, 3) {
			took, err := sinkOnce(ctx, filepath.Join(dir, fmt.Sprintf("%s-%d-%d.db", c.to.name(), c.size, round)), c.to, c.size)
			if err != nil {
				return fmt.Errorf("%s: %w", c.to.name(), err)
			}
			plain, identified, ours = append(plain, took[0]), append(identified, took[1]), append(ours, took[2])
		}
		rows = append(rows, []string{
			c.to.name(), strconv.Itoa(c.size), plain.String(), identified.String(), ours.String(),
			fmt.Sprintf("%.2f", plain.median()/ours.median()), fmt.Sprintf("%.2f", identified.median()/ours.median()),
		})
	}
	r.table("B11: sinks", "50,000 changes of six columns in the format debezium, from a log that has them to a server on the same machine: by the "+
		"sink, which reads, decodes and encodes them, and by the client alone with the same payloads made before. JetStream: nats.go, PublishAsync, "+
		"without and with message IDs, by which the server drops repetitions. An atomic batch costs the server a file of its own and its sync, "+
		"however many messages it has; transactions of one row need none. Webhook: POSTs of 500 each. Goals: at least 0.7.", rows)
	return err
}

// sunkTo is where sinks deliver.
type sunkTo interface {
	name() string
	kind(id registry.ID, common *api.SinkConfig) sink.Kind
	// plainly delivers payloads by the client alone.
	plainly(ctx context.Context, payloads [][]byte, identified bool) error
	// empty forgets what has arrived.
	empty(ctx context.Context) error
}

// sinkOnce measures one after the other.
func sinkOnce(ctx context.Context, file string, d sunkTo, size int) (took [3]float64, err error) {
	s, err := openSource(ctx, file, func(c *api.SQLiteConfig) { c.Durable = true })
	if err != nil {
		return took, err
	}
	defer func() { err = firstError(err, s.close()) }()
	if err := execute(ctx, s.db.Pool(), schema); err != nil {
		return took, err
	}
	config := &api.SinkConfig{Source: s.id}
	config.SetDefaults()
	catalog := sink.NewCatalog(sink.Settings{Engine: s.catalog, Encoder: encode.New(), Logger: slog.New(slog.DiscardHandler)})
	id := registry.ID{Namespace: "bench", Name: d.name()}
	serve := func(until uint64) (time.Duration, error) {
		one := catalog.New(id, config, d.kind(id, config))
		catalog.Declare(one)
		serving, cancel := context.WithCancel(ctx)
		defer cancel()
		served := make(chan error, 1)
		ready := make(chan struct{})
		start := time.Now()
		go func() { served <- one.Serve(serving, func() { close(ready) }) }()
		for <-ready; catalog.Sinks()[0].Stats.Published < until; {
			select {
			case err := <-served:
				return 0, err
			case <-time.After(time.Millisecond):
			}
		}
		took := time.Since(start)
		cancel()
		return took, <-served
	}
	if _, err := serve(0); err != nil { // from here on the log keeps what it has not delivered
		return took, err
	}
	before := api.Behind(s.db.LogState().Newest)
	for range sunk / size {
		if err := execute(ctx, s.db.Pool(), fill, size); err != nil {
			return took, err
		}
	}
	payloads, err := encoded(ctx, s, before)
	if err != nil {
		return took, err
	}
	if err := d.empty(ctx); err != nil {
		return took, err
	}
	for i, identified := range []bool{false, true} {
		start := time.Now()
		if err := d.plainly(ctx, payloads, identified); err != nil {
			return took, err
		}
		took[i] = float64(time.Since(start).Nanoseconds()) / sunk
		if err := d.empty(ctx); err != nil {
			return took, err
		}
	}
	last, err := serve(sunk)
	took[2] = float64(last.Nanoseconds()) / sunk
	return took, err
}

// encoded returns the rows as the sink encodes them.
func encoded(ctx context.Context, s *captured, before api.Position) ([][]byte, error) {
	stream, err := s.catalog.Subscribe(ctx, s.id, api.StreamOptions{Start: api.After(before)})
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	payloads := make([][]byte, sunk)
	for i := range payloads {
		c, err := stream.Next(ctx)
		if err != nil {
			return nil, err
		}
		if payloads[i], err = encode.New().AppendChange(nil, api.FormatDebezium, c); err != nil {
			return nil, err
		}
	}
	return payloads, nil
}

// natsServer is a server that runs beside the benchmark.
type natsServer struct {
	command *exec.Cmd
	conn    *nats.Conn
	js      jetstream.JetStream
}

func startNATS(ctx context.Context, dir string) (*natsServer, error) {
	path, err := exec.CommandContext(ctx, "bash", ".ci/nats").Output()
	if err != nil {
		return nil, fmt.Errorf("build a NATS server: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err := firstError(err, listener.Close()); err != nil {
		return nil, err
	}
	s := new(natsServer)
	s.command = exec.CommandContext(ctx, strings.TrimSpace(string(path)), "-js", "-sd", filepath.Join(dir, "store"), "-a", "127.0.0.1", "-p", port) //nolint:gosec // it is the server that was built
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	for range 1000 {
		if s.conn, err = nats.Connect("nats://127.0.0.1:" + port); err == nil {
			s.js, err = jetstream.New(s.conn)
			return s, err
		}
		<-time.After(10 * time.Millisecond)
	}
	s.stop()
	return nil, err
}

func (s *natsServer) stop() {
	if s.conn != nil {
		s.conn.Close()
	}
	_ = s.command.Process.Kill() // it has nothing to keep
	_ = s.command.Wait()
}

// natsStream is a stream that takes batches, or does not.
type natsStream struct {
	server *natsServer
	atomic bool
}

func (n *natsStream) name() string {
	if n.atomic {
		return "JetStream"
	}
	return "JetStream-without-batches"
}

func (n *natsStream) kind(id registry.ID, common *api.SinkConfig) sink.Kind {
	config := &api.JetStreamConfig{
		SinkConfig: *common, URL: n.server.conn.ConnectedUrl(), Stream: "BENCH", Subject: "bench.{table}",
	}
	return wippyjetstream.Kind(id, config)
}

func (n *natsStream) empty(ctx context.Context) error {
	_ = n.server.js.DeleteStream(ctx, "BENCH") // it may not be there
	_, err := n.server.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "BENCH", Subjects: []string{"bench.>"}, AllowAtomicPublish: n.atomic,
	})
	return err
}

func (n *natsStream) plainly(ctx context.Context, payloads [][]byte, identified bool) error {
	for i, payload := range payloads {
		opts := []jetstream.PublishOpt{jetstream.WithStallWait(time.Minute)}
		if identified {
			opts = append(opts, jetstream.WithMsgID("bench:cdc/5e1f0-0000000000000000-"+strconv.Itoa(i)))
		}
		if _, err := n.server.js.PublishAsync("bench.people", payload, opts...); err != nil {
			return err
		}
	}
	select {
	case <-n.server.js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hook is an endpoint that takes everything.
type hook struct {
	server *http.Server
	url    string
}

func newHook(ctx context.Context) *hook {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return &hook{server: new(http.Server)} // the first POST says so
	}
	h := &hook{url: "http://" + listener.Addr().String()}
	h.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the sender says what is wrong
	})}
	go func() { _ = h.server.Serve(listener) }()
	return h
}

func (h *hook) close() { _ = h.server.Close() }

func (h *hook) name() string { return "webhook" }

func (h *hook) kind(id registry.ID, common *api.SinkConfig) sink.Kind {
	config := new(api.WebhookConfig)
	config.SetDefaults()
	config.SinkConfig, config.URL = *common, h.url
	return webhook.Kind(id, config)
}

func (h *hook) empty(context.Context) error { return nil }

func (h *hook) plainly(ctx context.Context, payloads [][]byte, _ bool) error {
	const batch = 500
	for ; len(payloads) > 0; payloads = payloads[min(batch, len(payloads)):] {
		body := append([]byte("["), bytes.Join(payloads[:min(batch, len(payloads))], []byte(","))...)
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(append(body, ']')))
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, response.Body) // the status says it all
		if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %s: %w", strconv.Itoa(response.StatusCode), err)
		}
	}
	return nil
}
