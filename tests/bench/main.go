// Command bench measures what capture costs a writer and what streams deliver, always against alternatives in the
// same run, and reports ratios: absolute times of one machine say little about another.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("out", "", "also write the report to this file")
	rounds := flag.Int("rounds", 15, "how often each measurement is repeated; the report gives the minimum and the median")
	part := flag.String("large", "", "internal: run one part of B6 in this process")
	flag.Parse()
	var err error
	if *part != "" {
		err = firstError(large(context.Background(), *part), printPeak(os.Stdout))
	} else {
		err = run(context.Background(), *out, *rounds)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, rounds int) error {
	r := newReport(ctx)
	for _, measure := range []func(context.Context, *report, int) error{writerCost, streamRate, peakMemory} {
		if err := measure(ctx, r, rounds); err != nil {
			return err
		}
	}
	text := r.String()
	if _, err := os.Stdout.WriteString(text); err != nil || out == "" {
		return err
	}
	return os.WriteFile(out, []byte(text), 0o600)
}
