package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	cdcapi "github.com/wippy-cdc/runtime/api/service/cdc"
)

const snapshotRows = 300_000

// snapshots is B7: how fast a snapshot is read, and what it does to a writer meanwhile.
func snapshots(ctx context.Context, r *report, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	s, err := openSource(ctx, filepath.Join(dir, "snapshot.db"))
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, s.close()) }()
	for _, statement := range []string{schema, "CREATE TABLE busy (id INTEGER PRIMARY KEY, n INTEGER)", "INSERT INTO busy VALUES (1, 0)"} {
		if err := execute(ctx, s.db.Pool(), statement); err != nil {
			return err
		}
	}
	if err := execute(ctx, s.db.Pool(), fill, snapshotRows); err != nil {
		return err
	}
	var read, scanned, quiet, busy times
	for range rounds {
		ns, err := timeSelect(ctx, s, snapshotRows)
		if err != nil {
			return err
		}
		scanned = append(scanned, ns)
		if ns, err = timeSnapshot(ctx, s); err != nil {
			return err
		}
		read = append(read, ns)
		alone, beside, err := writeBeside(ctx, s)
		if err != nil {
			return err
		}
		quiet, busy = append(quiet, alone...), append(busy, beside...)
	}
	r.table("B7: snapshots", "300,000 rows of six columns, every field read; a writer that updates one row in each transaction. Goals: at least 0.7 of the "+
		"scan; p99 at most 1.2.", [][]string{
		{"", "snapshot", "without", "ratio"},
		{"ns a row, min / median, against SELECT *", read.String(), scanned.String(), fmt.Sprintf("rate %.2f", scanned.median()/read.median())},
		{"ns a commit, p50 / p99, meanwhile", busy.percentiles(), quiet.percentiles(), fmt.Sprintf("p99 %.2f", busy.percentile(99)/quiet.percentile(99))},
	})
	return nil
}

// readSnapshot reads one snapshot to its end.
func readSnapshot(ctx context.Context, s *source) error {
	stream, err := s.catalog.Subscribe(ctx, s.id, cdcapi.StreamOptions{Tables: []string{"people"}, Snapshot: cdcapi.SnapshotAlways, Buffer: 1024})
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

func timeSnapshot(ctx context.Context, s *source) (float64, error) {
	start := time.Now()
	err := readSnapshot(ctx, s)
	return float64(time.Since(start).Nanoseconds()) / snapshotRows, err
}

// writeBeside measures commits, first alone and then until a snapshot has been read.
func writeBeside(ctx context.Context, s *source) (alone, beside times, err error) {
	write := func() error { return execute(ctx, s.db.Pool(), "UPDATE busy SET n = n + 1") }
	for range 1000 {
		start := time.Now()
		if err := write(); err != nil {
			return nil, nil, err
		}
		alone = append(alone, float64(time.Since(start).Nanoseconds()))
	}
	read := make(chan error, 1)
	go func() { read <- readSnapshot(ctx, s) }()
	for {
		select {
		case err := <-read:
			return alone, beside, err
		default:
		}
		start := time.Now()
		if err := write(); err != nil {
			return nil, nil, firstError(err, <-read)
		}
		beside = append(beside, float64(time.Since(start).Nanoseconds()))
	}
}
