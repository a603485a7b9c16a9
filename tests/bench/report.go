package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"
)

// report collects tables in Markdown.
type report struct{ strings.Builder }

// newReport begins a report with what was measured on what.
func newReport(ctx context.Context) *report {
	r := &report{}
	version, _, _ := sqlite3.Version()
	fmt.Fprintf(r, "# Measurements\n\n%s, %d cores, %s/%s, %s, SQLite %s, commit %s, %s\n",
		processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), version, commit(ctx),
		time.Now().UTC().Format(time.DateOnly))
	return r
}

func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// table adds a table; the first row is its head.
func (r *report) table(title, note string, rows [][]string) {
	fmt.Fprintf(r, "\n## %s\n\n%s\n\n", title, note)
	for i, row := range rows {
		fmt.Fprintf(r, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			fmt.Fprintf(r, "|%s\n", strings.Repeat(" --- |", len(row)))
		}
	}
}

// times are repeated measurements of one thing, each in nanoseconds per row.
type times []float64

func (t times) min() float64 { return slices.Min(t) }

func (t times) median() float64 {
	sorted := slices.SortedFunc(slices.Values(t), cmp.Compare)
	return sorted[len(sorted)/2]
}

func (t times) String() string { return fmt.Sprintf("%.0f / %.0f", t.min(), t.median()) }

// percentile returns the value that p percent of all do not exceed.
func (t times) percentile(p int) float64 {
	sorted := slices.SortedFunc(slices.Values(t), cmp.Compare)
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

func (t times) percentiles() string {
	return fmt.Sprintf("%.0f / %.0f", t.percentile(50), t.percentile(99))
}
