package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

const snapshotRows = 300_000

// snapshots is B7: how fast a snapshot is read, and what it does to a writer meanwhile. Any reader of the same file
// disturbs the writer, and so does any program that keeps a processor busy: these are measured, too.
func snapshots(ctx context.Context, r *report, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "snapshot.db")
	s, err := openSource(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, s.close()) }()
	if err := fillForSnapshots(ctx, s); err != nil {
		return err
	}
	other := sql.OpenDB(&connector{file: file})
	defer func() { err = firstError(err, other.Close()) }()

	var read, scanned, alone, besideLoop, besideSnapshot, besideScan times
	for range rounds {
		commits, err := timeUpdates(ctx, s, 10_000)
		if err != nil {
			return err
		}
		alone = append(alone, commits...)
		if err := besides(ctx, s, new(times), &besideLoop, func() (float64, error) { return busyLoop(200 * time.Millisecond), nil }); err != nil {
			return err
		}
		if err := besides(ctx, s, &scanned, &besideScan, func() (float64, error) { return timeSelect(ctx, other, snapshotRows) }); err != nil {
			return err
		}
		if err := besides(ctx, s, &read, &besideSnapshot, func() (float64, error) { return timeSnapshot(ctx, s) }); err != nil {
			return err
		}
	}
	p99 := func(t, beside times) string { return fmt.Sprintf("%.2f", t.percentile(99)/beside.percentile(99)) }
	r.table("B7: snapshots", "300,000 rows of six columns, every field read, beside a writer that updates one row in each transaction; the scan is SELECT * "+
		"through database/sql on the same file, the loop only keeps a processor busy, which is the least that a reader does. Goals: at least 1.3 of the scan; "+
		"p99 at most that beside the scan.", [][]string{
		{"", "snapshot", "scan", "loop", "alone", "rate snapshot / scan", "p99 snapshot / alone", "scan / alone", "loop / alone", "snapshot / loop"},
		{"ns a row, min / median", read.String(), scanned.String(), "", "", fmt.Sprintf("%.2f", scanned.median()/read.median()), "", "", "", ""},
		{
			"ns a commit meanwhile, p50 / p99", besideSnapshot.percentiles(), besideScan.percentiles(), besideLoop.percentiles(), alone.percentiles(),
			"", p99(besideSnapshot, alone), p99(besideScan, alone), p99(besideLoop, alone), p99(besideSnapshot, besideLoop),
		},
	})
	return nil
}

// busyLoop keeps a processor busy for so long, and lets others have their turn now and then.
func busyLoop(d time.Duration) (rounds float64) {
	for start := time.Now(); time.Since(start) < d; rounds++ {
		runtime.Gosched()
	}
	return rounds
}

func fillForSnapshots(ctx context.Context, s *captured) error {
	for _, statement := range []string{schema, "CREATE TABLE busy (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO busy VALUES (1, 0)"} {
		if err := execute(ctx, s.db.Pool(), statement); err != nil {
			return err
		}
	}
	return execute(ctx, s.db.Pool(), fill, snapshotRows)
}

// readSnapshot reads one snapshot to its end.
func readSnapshot(ctx context.Context, s *captured) error {
	stream, err := s.catalog.Subscribe(ctx, s.id, api.StreamOptions{Tables: []string{"people"}, Start: api.Snapshot(), Buffer: 1024})
	if err != nil {
		return err
	}
	defer stream.Close()
	r := &reading{stream: stream, source: s, until: snapshotRows}
	r.run(ctx)
	if n := r.rows.Load(); n != snapshotRows {
		return fmt.Errorf("%d rows of the snapshot arrived: %w", n, stream.Err())
	}
	return nil
}

func timeSnapshot(ctx context.Context, s *captured) (float64, error) {
	start := time.Now()
	err := readSnapshot(ctx, s)
	return float64(time.Since(start).Nanoseconds()) / snapshotRows, err
}

// timeUpdates measures commits one by one. In between the writer lets others run, as one does that serves requests: one
// that never does is interrupted by Go's monitor, which then stays awake and takes its time from a processor.
func timeUpdates(ctx context.Context, s *captured, n int) (all times, err error) {
	for range n {
		runtime.Gosched()
		start := time.Now()
		if err := execute(ctx, s.db.Pool(), "UPDATE busy SET n = n + 1"); err != nil {
			return nil, err
		}
		all = append(all, float64(time.Since(start).Nanoseconds()))
	}
	return all, nil
}

// besides adds how long reading takes, and the commits until it has ended.
func besides(ctx context.Context, s *captured, reading, commits *times, read func() (float64, error)) error {
	type result struct {
		ns  float64
		err error
	}
	ended := make(chan result, 1)
	go func() {
		ns, err := read()
		ended <- result{ns, err}
	}()
	for {
		select {
		case r := <-ended:
			*reading = append(*reading, r.ns)
			return r.err
		default:
		}
		measured, err := timeUpdates(ctx, s, 1)
		if err != nil {
			return firstError(err, (<-ended).err)
		}
		*commits = append(*commits, measured...)
	}
}
