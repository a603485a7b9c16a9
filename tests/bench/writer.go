package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"
)

// writerCost is B1: what capturing adds to each row that a writer changes.
func writerCost(ctx context.Context, r *report, rounds int) (err error) {
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	all, err := openAll(ctx, dir, openers()...)
	if err != nil {
		return err
	}
	head := []string{"ns a row, min / median"}
	for _, c := range all {
		head = append(head, c.name)
	}
	head = append(head, "added: wippy", "accessors", "triggers", "session",
		"wippy / accessors", "wippy / triggers", "wippy / session", "wippy / no capture")
	rows := [][]string{head}
	for _, w := range workloads() {
		measured, err := compare(ctx, all, w, rounds)
		if err != nil {
			return err
		}
		rows = append(rows, costRow(w.name, measured))
	}
	for _, c := range all {
		err = firstError(err, c.close())
	}
	r.table("B1: cost on the writer", "Six columns. wippy is the whole path: writer, log, one stream that reads every field. "+
		"Goals: at most 1.15 of no capture for autocommit, 1.2 for INSERTs of 1000 a transaction; what it adds at most 1/3 of the session "+
		"extension with its changeset and 1/5 of the triggers.", rows)
	return err
}

// compare measures a workload on all contenders, turn by turn, so that what disturbs the machine disturbs all.
func compare(ctx context.Context, all []*contender, w workload, rounds int) ([]times, error) {
	measured := make([]times, len(all))
	for range rounds + 1 {
		for i, c := range all {
			if err := w.prepare(ctx, c.db, w.rows); err != nil {
				return nil, err
			}
			if err := c.settle(ctx); err != nil {
				return nil, err
			}
			if err := execute(ctx, c.db, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
				return nil, err
			}
			runtime.GC()
			start := time.Now()
			if err := w.run(ctx, c, w.rows); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", c.name, w.name, err)
			}
			measured[i] = append(measured[i], float64(time.Since(start).Nanoseconds())/float64(w.rows))
		}
	}
	for i := range measured {
		measured[i] = measured[i][1:] // the first round warms up
	}
	return measured, nil
}

func costRow(name string, measured []times) []string {
	row := []string{name}
	for _, t := range measured {
		row = append(row, t.String())
	}
	plain := measured[0]
	added := make([]float64, 0, len(measured)-1)
	for _, t := range measured[1:] {
		added = append(added, t.median()-plain.median())
		row = append(row, fmt.Sprintf("%.0f", t.median()-plain.median()))
	}
	return append(row,
		fmt.Sprintf("1/%.1f", added[1]/added[0]),
		fmt.Sprintf("1/%.1f", added[2]/added[0]),
		fmt.Sprintf("1/%.1f", added[3]/added[0]),
		fmt.Sprintf("%.2f", measured[1].median()/plain.median()))
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
