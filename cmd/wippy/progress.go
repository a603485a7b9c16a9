package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/wippy-cdc/runtime/api/inspect"
)

const (
	// progressInterval is how often it is looked how far a reader is, and how often a line tells of it where no bar can.
	progressInterval = 500 * time.Millisecond
	progressLine     = 10 * time.Second
	barWidth         = 24
)

// progress tells how far a reader is that has much to read: by a bar on a terminal that shows nothing else, by a line from
// time to time elsewhere. What is printed on a terminal shows it already.
type progress struct {
	out    io.Writer
	bar    bool
	silent bool

	mu    sync.Mutex
	shown bool
	// changes were read since began. most is how far behind the reader was at most.
	changes      int64
	began, lined time.Time
	most         int64
	stop         func()
}

func newProgress(p *program) *progress {
	g := &progress{out: p.messages, silent: isTerminal(p.stdout) || p.silent, stop: func() {}}
	if isTerminal(p.stderr) {
		g.out, g.bar = p.stderr, os.Getenv("TERM") != "dumb"
	}
	return g
}

// begin looks at the stream of a tail from now on.
func (g *progress) begin(ctx context.Context, t *tail) {
	g.stop()
	if g.silent {
		return
	}
	g.mu.Lock()
	g.changes, g.most, g.began, g.lined = 0, 0, time.Now(), time.Now()
	g.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.watch(ctx, t)
	}()
	g.stop = func() {
		cancel()
		<-done
		g.clear()
	}
}

// end looks no more.
func (g *progress) end() {
	g.stop()
	g.stop = func() {}
}

// count counts a change that was read.
func (g *progress) count() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changes++
}

// watch asks the app until the reader has caught up, or ctx is done.
func (g *progress) watch(ctx context.Context, t *tail) {
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var all inspect.StreamList
		if t.client.get(ctx, "/api/streams", &all) != nil {
			continue // the tail notices
		}
		own := fmt.Sprintf("wippy-tail/%d ", os.Getpid())
		stream := first(all.Streams, func(s inspect.Stream) bool { return strings.HasPrefix(s.Reader, own) })
		if stream.ID == "" || !g.tell(&stream) {
			return
		}
	}
}

// tell shows how far a stream is, and reports whether it has not caught up yet.
func (g *progress) tell(s *inspect.Stream) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.LagBytes != nil {
		g.most = max(g.most, *s.LagBytes)
	}
	if !s.Snapshot && s.LagBytes != nil && *s.LagBytes == 0 {
		g.wipe()
		return false
	}
	elapsed := time.Since(g.began)
	rate := float64(g.changes) / elapsed.Seconds()
	line := fmt.Sprintf("%d changes, %.0f/s", g.changes, rate)
	switch {
	case s.Snapshot:
		line = fmt.Sprintf("snapshot: %d rows, %.0f/s", g.changes, rate)
		if s.SnapshotTotal != nil {
			line = catchingUp(line, min(g.changes, *s.SnapshotTotal), *s.SnapshotTotal, elapsed)
		}
	case s.LagBytes != nil && g.most > 0:
		line = catchingUp(line, g.most-*s.LagBytes, g.most, elapsed)
	}
	switch {
	case g.bar:
		fmt.Fprintf(g.out, "\r\x1b[K%s", line)
		g.shown = true
	case time.Since(g.lined) >= progressLine:
		g.lined = time.Now()
		fmt.Fprintf(g.out, "wippy: tail: %s\n", line)
	}
	return true
}

// catchingUp is a bar with how much of a snapshot or of the log was read and how long the rest will take.
func catchingUp(line string, done, all int64, elapsed time.Duration) string {
	part := float64(done) / float64(all)
	full := min(barWidth, int(part*barWidth))
	left := ""
	if done > 0 {
		rest := time.Duration(float64(elapsed) * (1 - part) / part).Round(time.Second)
		left = fmt.Sprintf(", %s left", rest)
	}
	return fmt.Sprintf("[%s%s] %3.0f%% %s%s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), 100*part, line, left)
}

// clear takes the bar away, so that something else can be printed.
func (g *progress) clear() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wipe()
}

// wipe is clear; g.mu must be held.
func (g *progress) wipe() {
	if g.shown {
		fmt.Fprint(g.out, "\r\x1b[K")
		g.shown = false
	}
}
