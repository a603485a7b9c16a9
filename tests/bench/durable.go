package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// durableCost is B9: what a durable log adds to live capture.
func durableCost(ctx context.Context, r *report, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	all, err := openAll(ctx, dir, openPlain, openOurs, openDurable)
	if err != nil {
		return err
	}
	rows := [][]string{{"ns a row, min / median", "no capture", "live", "durable", "durable / live", "durable / no capture"}}
	for _, w := range workloads() {
		measured, err := compare(ctx, all, w, rounds)
		if err != nil {
			return err
		}
		plain, live, durable := measured[0], measured[1], measured[2]
		rows = append(rows, []string{
			w.name, plain.String(), live.String(), durable.String(),
			fmt.Sprintf("%.2f", durable.median()/live.median()), fmt.Sprintf("%.2f", durable.median()/plain.median()),
		})
	}
	for _, c := range all {
		err = firstError(err, c.close())
	}
	r.table("B9: a durable log", "As B1, with synchronous normal. Goals: at most 1.10 of live capture for transactions of one row, "+
		"1.15 for those of 1000.", rows)
	return err
}

// replayed is how many rows B10 reads.
const replayed = 200_000

// replayRate is B10: reading a log from its files, against reading it as it is written.
func replayRate(ctx context.Context, r *report, rounds int) error {
	var live, replay times
	for range max(rounds/3, 3) {
		a, b, err := replayOnce(ctx)
		if err != nil {
			return err
		}
		live, replay = append(live, a), append(replay, b)
	}
	r.table("B10: replay", "200,000 rows of six columns in transactions of 1000, every field read: by a stream behind the position before "+
		"them, from the files, and by one that is open while they are written. Goal: at least 0.5 of the live rate of B3.", [][]string{
		{"ns a row, min / median", "live, one transaction", "replay", "rate of replay / live"},
		{"", live.String(), replay.String(), fmt.Sprintf("%.2f", live.median()/replay.median())},
	})
	return nil
}

func replayOnce(ctx context.Context) (live, replay float64, err error) {
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	s, err := openSource(ctx, filepath.Join(dir, "replay.db"), func(c *api.SQLiteConfig) { c.Durable = true })
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = firstError(err, s.close()) }()
	if err := execute(ctx, s.db.Pool(), schema); err != nil {
		return 0, 0, err
	}
	before := api.Behind(s.db.LogState().Newest)
	for range replayed / 1000 {
		if err := execute(ctx, s.db.Pool(), fill, 1000); err != nil {
			return 0, 0, err
		}
	}
	if replay, err = s.timeOf(ctx, api.StreamOptions{Start: api.After(before)}, func() error { return nil }); err != nil {
		return 0, 0, err
	}
	live, err = s.timeOf(ctx, api.StreamOptions{MaxBytes: api.DefaultLogBytes}, func() error {
		return execute(ctx, s.db.Pool(), fill, replayed)
	})
	return live, replay, err
}

// timeOf measures the reading of the rows by a stream, from when write has returned on.
func (s *captured) timeOf(ctx context.Context, opts api.StreamOptions, write func() error) (ns float64, err error) {
	stream, err := s.catalog.Subscribe(ctx, s.id, opts)
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	if err := write(); err != nil {
		return 0, err
	}
	start := time.Now()
	sum := uint64(0)
	for range replayed {
		change, err := stream.Next(ctx)
		if err != nil {
			return 0, err
		}
		for _, v := range change.After {
			sum += touch(v)
		}
	}
	if sum == 0 {
		return 0, errors.New("nothing was read")
	}
	return float64(time.Since(start).Nanoseconds()) / replayed, nil
}
