package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// reading is a stream with a goroutine that reads every field of every change until the stream ends.
type reading struct {
	stream api.Stream
	source *captured
	rows   atomic.Int64
	// until is the number of rows after which to stop, 0 for never.
	until int64
	// seen is the position of the newest transaction that was read in full.
	seen atomic.Uint64
	sum  uint64
	err  error
}

func (s *captured) read(ctx context.Context) *reading {
	r := &reading{source: s}
	r.stream, r.err = s.catalog.Subscribe(ctx, s.id, api.StreamOptions{Buffer: 1024, MaxBytes: api.DefaultLogBytes, Schema: true})
	if r.err == nil {
		go r.run(ctx)
	}
	return r
}

func (r *reading) run(ctx context.Context) {
	for {
		change, err := r.stream.Next(ctx)
		if err != nil {
			return
		}
		for _, image := range [2][]sqlapi.Value{change.Before, change.After} {
			for _, v := range image {
				r.sum += touch(v)
			}
		}
		if change.Last {
			r.seen.Store(change.Transaction.Sequence)
		}
		if r.rows.Add(1) == r.until {
			return
		}
	}
}

// touch uses a value, so that reading it cannot be left out.
func touch(v sqlapi.Value) uint64 {
	switch v.Type() {
	case sqlapi.Integer:
		return uint64(v.Int64()) //nolint:gosec // any bits will do
	case sqlapi.Real:
		return uint64(v.Float64())
	case sqlapi.Text, sqlapi.Blob:
		return uint64(len(v.Bytes()))
	case sqlapi.Null, sqlapi.Bool:
		return 1
	default:
		return 0
	}
}

// settle waits until the newest transaction has been read.
func (r *reading) settle(ctx context.Context) error {
	for {
		if err := errors.Join(r.err, r.stream.Err(), ctx.Err()); err != nil {
			return err
		}
		info, ok := r.source.catalog.Source(r.source.id)
		if !ok || info.LSN == "" || info.LSN == strconv.FormatUint(r.seen.Load(), 10) {
			return nil
		}
		time.Sleep(100 * time.Microsecond) //nolint:forbidigo // it is not measured
	}
}

// streamRate is B3: how fast a subscriber gets at the fields of committed rows, compared with reading the same rows
// from the table.
func streamRate(ctx context.Context, r *report, rounds int) (err error) {
	const rows = 200_000
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	s, err := openSource(ctx, filepath.Join(dir, "stream.db"))
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, s.close()) }()
	if err := execute(ctx, s.db.Pool(), schema); err != nil {
		return err
	}
	var streamed, selected times
	for range rounds {
		if err := empty(ctx, s.db.Pool(), 0); err != nil {
			return err
		}
		ns, err := timeStream(ctx, s, rows)
		if err != nil {
			return err
		}
		streamed = append(streamed, ns)
		if ns, err = timeSelect(ctx, s.db.Pool(), rows); err != nil {
			return err
		}
		selected = append(selected, ns)
	}
	r.table("B3: rows from commit to a Go subscriber", "200,000 rows of six columns, one transaction, every field read. Goal: at least 4.",
		[][]string{
			{"ns a row, min / median", "stream", "SELECT * through database/sql", "rate of the stream / SELECT"},
			{"", streamed.String(), selected.String(), fmt.Sprintf("%.2f", selected.median()/streamed.median())},
		})
	return nil
}

// timeStream measures from the end of the commit to the last change.
func timeStream(ctx context.Context, s *captured, rows int) (float64, error) {
	stream, err := s.catalog.Subscribe(ctx, s.id, api.StreamOptions{Buffer: 1024})
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	if err := execute(ctx, s.db.Pool(), fill, rows); err != nil {
		return 0, err
	}
	r := &reading{stream: stream, source: s, until: int64(rows)}
	start := time.Now()
	r.run(ctx)
	if r.rows.Load() != int64(rows) {
		return 0, fmt.Errorf("%d rows of %d arrived", r.rows.Load(), rows)
	}
	return float64(time.Since(start).Nanoseconds()) / float64(rows), nil
}

func timeSelect(ctx context.Context, db *sql.DB, rows int) (ns float64, err error) {
	start := time.Now()
	result, err := db.QueryContext(ctx, "SELECT * FROM people")
	if err != nil {
		return 0, err
	}
	defer func() { err = firstError(err, result.Close()) }()
	n := 0
	var sum uint64
	for result.Next() {
		var id, score int64
		var name, street string
		var weight float64
		var photo []byte
		if err := result.Scan(&id, &name, &street, &score, &weight, &photo); err != nil {
			return 0, err
		}
		sum += uint64(id+score) + uint64(len(name)+len(street)+len(photo)) + uint64(weight) //nolint:gosec // any bits will do
		n++
	}
	if n != rows {
		return 0, fmt.Errorf("%d rows of %d selected, sum %d", n, rows, sum)
	}
	return float64(time.Since(start).Nanoseconds()) / float64(rows), result.Err()
}
