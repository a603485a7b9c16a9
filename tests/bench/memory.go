package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

const largeRows = 2_000_000

// peakMemory is B6: what a very large transaction needs, in a process of its own each time.
func peakMemory(ctx context.Context, r *report, _ int) error {
	rows := [][]string{{"peak memory, MiB", "no capture", "captured", "captured and read whole by a stream", "added / capture_memory"}}
	var peaks []float64
	for _, how := range []string{"plain", "captured", "read"} {
		peak, err := peakOf(ctx, how)
		if err != nil {
			return err
		}
		peaks = append(peaks, peak)
	}
	config := &sqlapi.SQLiteConfig{}
	config.SetDefaults()
	rows = append(rows, []string{
		strconv.Itoa(largeRows) + " rows", fmt.Sprintf("%.0f", peaks[0]), fmt.Sprintf("%.0f", peaks[1]), fmt.Sprintf("%.0f", peaks[2]),
		fmt.Sprintf("%.2f", (peaks[2]-peaks[0])/(float64(config.CaptureMemory)/(1<<20))),
	})
	r.table("B6: memory for a large transaction", "One transaction that inserts 2,000,000 rows of six columns. Goal: at most 2.", rows)
	return nil
}

// peakOf runs this program again, see large, and returns its peak resident memory in MiB.
func peakOf(ctx context.Context, how string) (float64, error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, program, "-large", how) //nolint:gosec // this program
	output, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", how, err, output)
	}
	kib, err := strconv.ParseFloat(strings.TrimSpace(string(output)), 64)
	return kib / 1024, err
}

// printPeak writes the peak resident memory of this process in KiB, see proc_pid_status(5). What the parent learns from
// the system when a child has ended includes memory of its own.
func printPeak(to io.Writer) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	peak, _, _ := strings.Cut(after, "kB")
	_, err = fmt.Fprintln(to, strings.TrimSpace(peak))
	return err
}

// large inserts the rows, captured or not, and reads them if how is read.
func large(ctx context.Context, how string) (err error) {
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "large.db")
	if how == "plain" {
		c, err := openPlain(ctx, file)
		if err != nil {
			return err
		}
		return firstError(execute(ctx, c.db, fill, largeRows), c.close())
	}
	s, err := openSource(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, s.close()) }()
	if err := execute(ctx, s.db.Pool(), schema); err != nil {
		return err
	}
	stream, err := s.catalog.Subscribe(ctx, s.id, api.StreamOptions{})
	if err != nil {
		return err
	}
	defer stream.Close()
	if err := execute(ctx, s.db.Pool(), fill, largeRows); err != nil || how == "captured" {
		return err
	}
	r := &reading{stream: stream, source: s, until: largeRows}
	r.run(ctx)
	if n := r.rows.Load(); n != largeRows {
		return fmt.Errorf("%d rows arrived: %w", n, stream.Err())
	}
	return nil
}
