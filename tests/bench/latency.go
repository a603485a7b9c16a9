package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// crowd is what subscribes to the source of a database whose commits are measured.
type crowd struct {
	name      string
	subscribe func(ctx context.Context, s *captured) error
	source    *captured
	times     times
}

func crowds() []*crowd {
	return []*crowd{
		{name: "no stream", subscribe: func(context.Context, *captured) error { return nil }},
		{name: "one that never reads", subscribe: func(ctx context.Context, s *captured) error {
			_, err := s.catalog.Subscribe(ctx, s.id, api.StreamOptions{MaxBytes: api.DefaultLogBytes})
			return err
		}},
		{name: "1000 on another table", subscribe: func(ctx context.Context, s *captured) error {
			for range 1000 {
				if _, err := s.catalog.Subscribe(ctx, s.id, api.StreamOptions{Tables: []string{"other"}}); err != nil {
					return err
				}
			}
			return nil
		}},
		{name: "1000 on this table that read", subscribe: func(ctx context.Context, s *captured) error {
			for range 1000 {
				stream, err := s.catalog.Subscribe(ctx, s.id, api.StreamOptions{MaxBytes: api.DefaultLogBytes})
				if err != nil {
					return err
				}
				go func() {
					for err == nil { // until the source stops
						_, err = stream.Next(ctx)
					}
				}()
			}
			return nil
		}},
	}
}

// commitLatency is B2: what subscribers do to the commits of the writer.
func commitLatency(ctx context.Context, r *report, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	all := crowds()
	for i, c := range all {
		if c.source, err = openSource(ctx, filepath.Join(dir, fmt.Sprintf("%d.db", i))); err != nil {
			return err
		}
		defer func() { err = firstError(err, c.source.close()) }()
		if err := execute(ctx, c.source.db.Pool(), schema); err != nil {
			return err
		}
		if err := c.subscribe(ctx, c.source); err != nil {
			return err
		}
	}
	const turns, commits = 10, 100 // short turns, so that what disturbs the machine disturbs all
	for turn := range (rounds + 1) * turns {
		for _, c := range all {
			measured, err := timeCommits(ctx, c.source.db.Pool(), commits)
			if err != nil {
				return err
			}
			if turn >= turns { // the first fill buffers
				c.times = append(c.times, measured...)
			}
		}
	}
	rows := [][]string{{"ns a commit", "p50 / p99", "p50 / no stream", "p99 / no stream"}}
	for _, c := range all {
		rows = append(rows, []string{
			c.name, c.times.percentiles(),
			fmt.Sprintf("%.2f", c.times.percentile(50)/all[0].times.percentile(50)),
			fmt.Sprintf("%.2f", c.times.percentile(99)/all[0].times.percentile(99)),
		})
	}
	r.table("B2: latency of commits", "Single-row transactions. Goals: at most 1.05 beside streams on another table, 1.1 beside those on this one.", rows)
	return nil
}

// timeCommits inserts rows one by one and measures each.
func timeCommits(ctx context.Context, db *sql.DB, n int) (all times, err error) {
	start := time.Now()
	err = insertRows(ctx, db, n, func() error {
		now := time.Now()
		all = append(all, float64(now.Sub(start).Nanoseconds()))
		start = now
		return nil
	})
	return all, err
}
