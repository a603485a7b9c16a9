package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

const (
	idleStreams = 10_000
	idleCommits = 1000
)

// idleStream is B13: what streams cost that nothing comes for.
func idleStream(ctx context.Context, r *report, _ int) (err error) {
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	s, err := openSource(ctx, filepath.Join(dir, "idle.db"), func(c *api.SQLiteConfig) { c.Subscriptions.MaxSubscriptions = idleStreams })
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, s.close()) }()
	if err := execute(ctx, s.db.Pool(), schema); err != nil {
		return err
	}
	streams := make([]api.Stream, idleStreams)
	memory, goroutines := inUse(), runtime.NumGoroutine()
	for i := range streams {
		if streams[i], err = s.catalog.Subscribe(ctx, s.id, api.StreamOptions{Tables: []string{"other"}}); err != nil {
			return err
		}
		defer streams[i].Close()
		if err := park(streams[i]); err != nil {
			return err
		}
	}
	added, started := inUse()-memory, runtime.NumGoroutine()-goroutines
	if _, err := timeCommits(ctx, s.db.Pool(), idleCommits); err != nil {
		return err
	}
	woken := 0
	for _, stream := range streams {
		select {
		case <-stream.Ready():
			woken++
		default:
		}
	}
	r.table("B13: idle streams", fmt.Sprintf("%d streams on a table that does not change, while %d transactions commit on another. "+
		"Goal: no wake-up.", idleStreams, idleCommits), [][]string{
		{"bytes a stream", "goroutines", "woken"},
		{strconv.FormatUint(added/idleStreams, 10), strconv.Itoa(started), strconv.Itoa(woken)},
	})
	return nil
}

// park reads a stream to its end, so that it waits.
func park(stream api.Stream) error {
	if _, err := stream.Poll(); err != nil {
		return err
	}
	select {
	case <-stream.Ready(): // the token that each stream begins with
	default:
	}
	_, err := stream.Poll()
	return err
}

// inUse returns the bytes of live objects.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
