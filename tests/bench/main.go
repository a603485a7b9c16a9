// Command bench measures what capture costs a writer and what streams deliver, always against alternatives in the
// same run, and reports ratios: absolute times of one machine say little about another.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/wippy-cdc/runtime/internal/heap"
)

func main() {
	out := flag.String("out", "", "also write the report to this file")
	rounds := flag.Int("rounds", 15, "how often each measurement is repeated; the report gives the minimum and the median")
	only := flag.String("only", "", "only measure these, for instance B2 or B3,B4")
	part := flag.String("large", "", "internal: run one part of B6 in this process")
	flag.Parse()
	defer runtime.KeepAlive(heap.Floor(32 << 20)) // as wippy does
	var err error
	if *part != "" {
		err = firstError(large(context.Background(), *part), printPeak(os.Stdout))
	} else {
		err = run(context.Background(), *out, *only, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measurement is one of the benchmarks, which adds a table to the report.
type measurement struct {
	name    string
	measure func(ctx context.Context, r *report, rounds int) error
}

func measurements() []measurement {
	return []measurement{
		{"B1", writerCost},
		{"B2", commitLatency},
		{"B3", streamRate},
		{"B4", luaRate},
		{"B5", luaLatency},
		{"B6", peakMemory},
		{"B7", snapshots},
		{"B8", backlogs},
		{"B9", durableCost},
		{"B10", replayRate},
		{"B11", sinkRate},
		{"B12", schemaCost},
		{"B13", idleStream},
		{"B14", doorRate},
	}
}

func run(ctx context.Context, out, only string, rounds int) error {
	r := newReport(ctx)
	for _, m := range measurements() {
		if only != "" && !slices.Contains(strings.Split(only, ","), m.name) {
			continue
		}
		if err := m.measure(ctx, r, rounds); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	text := r.String()
	if _, err := os.Stdout.WriteString(text); err != nil || out == "" {
		return err
	}
	return os.WriteFile(out, []byte(text), 0o600)
}
