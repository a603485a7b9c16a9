package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// backlogs is B8: how fast a backlog of Postgres is read. What it needs of a server and of a source is in the tests of
// the source, so it is a benchmark there, which is run once for five rounds: it takes long.
func backlogs(ctx context.Context, r *report, rounds int) error {
	results := make(map[string]map[string]times)
	for range max(1, rounds/5) {
		c := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkBacklog$", "-benchtime", "3x", "./service/cdc/postgres")
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, os.Stderr
		if err := c.Run(); err != nil {
			return fmt.Errorf("%w: %s", err, out.String())
		}
		for line := range strings.Lines(out.String()) {
			if name, ok := strings.CutPrefix(line, "BenchmarkBacklog/"); ok {
				name, _, _ = strings.Cut(name, "-")
				if err := addMetrics(results, name, strings.Fields(line)[2:]); err != nil {
					return err
				}
			}
		}
	}
	rows := [][]string{{"", "stream, rows/s, median", "pg_recvlogical, rows/s, median", "ratio, median", "peak heap, MiB"}}
	for _, name := range []string{"small", "large"} {
		m := results[name]
		if m == nil {
			rows = append(rows, []string{name, "not measured: no Postgres server is installed", "", "", ""})
			continue
		}
		rows = append(rows, []string{
			name, fmt.Sprintf("%.0f", m["rows/s"].median()), fmt.Sprintf("%.0f", m["recvlogical_rows/s"].median()),
			fmt.Sprintf("%.2f", m["ratio"].median()), fmt.Sprintf("%.0f", m["peak_heap_MiB"].percentile(100)),
		})
	}
	r.table("B8: a backlog of Postgres", "50,000 transactions of one row and 3 of 100,000, read by a stream, and by pg_recvlogical to /dev/null. "+
		"Goal: at least 1.", rows)
	return nil
}

// addMetrics adds what go test reports of one benchmark: values, each followed by its unit.
func addMetrics(results map[string]map[string]times, name string, fields []string) error {
	if results[name] == nil {
		results[name] = make(map[string]times)
	}
	for ; len(fields) >= 2; fields = fields[2:] {
		var value float64
		if _, err := fmt.Sscan(fields[0], &value); err != nil {
			return fmt.Errorf("go test reports %q: %w", fields[0], err)
		}
		results[name][fields[1]] = append(results[name][fields[1]], value)
	}
	return nil
}
