package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/encode"
	httpservice "github.com/wippy-cdc/runtime/service/http"
)

// doorRate is B14: changes over HTTP, against a server that has the same bytes ready.
func doorRate(ctx context.Context, r *report, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	d, err := openDoors(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, d.close(ctx)) }()
	measured := make(map[string]times)
	ways := []struct {
		name  string
		begin func(ctx context.Context) (io.ReadCloser, error)
	}{
		{"plain", func(ctx context.Context) (io.ReadCloser, error) { return get(ctx, d.plain, "") }},
		{"events", func(ctx context.Context) (io.ReadCloser, error) { return get(ctx, d.changes, "text/event-stream") }},
		{"lines", func(ctx context.Context) (io.ReadCloser, error) { return get(ctx, d.changes, "application/x-ndjson") }},
		{"tail", d.tail},
	}
	for range max(rounds/3, 3) {
		for _, way := range ways {
			ns, err := timeOfLines(ctx, way.begin)
			if err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			measured[way.name] = append(measured[way.name], ns)
		}
	}
	row := []string{""}
	for _, way := range ways {
		row = append(row, measured[way.name].String())
	}
	for _, way := range ways[1:] {
		row = append(row, fmt.Sprintf("%.2f", measured["plain"].median()/measured[way.name].median()))
	}
	r.table("B14: changes over HTTP", "200,000 inserts of six columns in transactions of 1000, from a durable log, as the JSON of tail: as events "+
		"(SSE), as lines, and printed by wippy tail into a pipe; against a handler that writes the same bytes, which it has in memory. The client "+
		"counts lines.", [][]string{
		{"ns a row, min / median", "bytes in memory", "events", "lines", "wippy tail", "events / bytes", "lines / bytes", "tail / bytes"}, row,
	})
	return nil
}

// doors is a source with rows to replay, a server that shows it, and one that has their bytes.
type doors struct {
	source *captured
	server *httpservice.Server
	ready  *http.Server
	// plain and changes are addresses, after the cursor before the rows.
	plain, changes, after string
	// wippy is the command.
	wippy string
}

func openDoors(ctx context.Context, dir string) (*doors, error) {
	d := new(doors)
	var err error
	if d.source, err = openSource(ctx, filepath.Join(dir, "doors.db"), func(c *api.SQLiteConfig) { c.Durable = true }); err != nil {
		return nil, err
	}
	if err := d.fill(ctx); err != nil {
		return nil, firstError(err, d.close(ctx))
	}
	if d.server, err = httpservice.Start(ctx, httpservice.Settings{
		Config: httpservice.Config{Address: "0"}, Sources: d.source.catalog, Encoder: encode.New(), Metrics: http.NotFoundHandler(),
		Logger: slog.New(slog.DiscardHandler),
	}); err != nil {
		return nil, firstError(err, d.close(ctx))
	}
	base := "http://" + d.server.Addresses()[0].String()
	d.changes = base + "/api/sources/" + d.source.id.String() + "/changes?after=" + d.after
	if err = d.prepare(ctx); err == nil {
		d.wippy = filepath.Join(dir, "wippy")
		err = buildWippy(ctx, d.wippy)
	}
	if err != nil {
		return nil, firstError(err, d.close(ctx))
	}
	return d, nil
}

// fill writes the rows.
func (d *doors) fill(ctx context.Context) error {
	if err := execute(ctx, d.source.db.Pool(), schema); err != nil {
		return err
	}
	info, _ := d.source.catalog.Source(d.source.id)
	d.after = info.Cursor
	for range replayed / 1000 {
		if err := execute(ctx, d.source.db.Pool(), fill, 1000); err != nil {
			return err
		}
	}
	return nil
}

// prepare starts the server that has the bytes.
func (d *doors) prepare(ctx context.Context) error {
	body, err := get(ctx, d.changes, "application/x-ndjson")
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // it was only read
	var content bytes.Buffer
	lines := bufio.NewReader(body)
	for range replayed {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return err
		}
		content.Write(line)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.plain = "http://" + listener.Addr().String()
	d.ready = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		const chunk = 32 << 10
		for rest := content.Bytes(); len(rest) > 0; rest = rest[min(chunk, len(rest)):] {
			if _, err := w.Write(rest[:min(chunk, len(rest))]); err != nil {
				return
			}
		}
	})}
	go func() { _ = d.ready.Serve(listener) }()
	return nil
}

// buildWippy builds the command as this program was built.
func buildWippy(ctx context.Context, path string) error {
	args := []string{"build", "-o", path}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-tags" {
				args = append(args, "-tags", s.Value)
			}
		}
	}
	out, err := exec.CommandContext(ctx, "go", append(args, "./cmd/wippy")...).CombinedOutput() //nolint:gosec // they are ours
	if err != nil {
		return fmt.Errorf("build wippy: %w: %s", err, out)
	}
	return nil
}

func (d *doors) close(ctx context.Context) error {
	if d.ready != nil {
		_ = d.ready.Close()
	}
	return firstError(d.server.Close(ctx), d.source.close())
}

// tail begins to print the rows by the command.
func (d *doors) tail(ctx context.Context) (io.ReadCloser, error) {
	address, _, _ := strings.Cut(d.changes, "/api/")
	ctx, cancel := context.WithCancel(ctx)
	command := exec.CommandContext(ctx, d.wippy, "tail", d.source.id.String(), "--addr", address, "--after", d.after, "--format", "json") //nolint:gosec // it is ours
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return &output{out, func() { cancel(); _ = command.Wait() }}, nil
}

// output is what a command prints until it is closed.
type output struct {
	io.Reader
	end func()
}

func (o *output) Close() error { o.end(); return nil }

func get(ctx context.Context, url, accept string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("answered %s", response.Status)
	}
	return response.Body, nil
}

// timeOfLines measures the reading of the rows from the first to the last.
func timeOfLines(ctx context.Context, begin func(ctx context.Context) (io.ReadCloser, error)) (ns float64, err error) {
	body, err := begin(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = firstError(err, body.Close()) }()
	lines := bufio.NewReaderSize(body, 64<<10)
	var start time.Time
	for rows := 0; rows < replayed; {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if !bytes.HasPrefix(line, []byte("{")) && !bytes.HasPrefix(line, []byte("data: {")) {
			continue
		}
		if rows++; rows == 1 {
			start = time.Now()
		}
	}
	if start.IsZero() {
		return 0, errors.New("nothing was read")
	}
	return float64(time.Since(start).Nanoseconds()) / replayed, nil
}
