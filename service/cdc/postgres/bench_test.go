package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/pgtest"
)

// BenchmarkBacklog reads a backlog of single-row and of large transactions through a stream, and with pg_recvlogical to
// nowhere, from the same server. It is B8 of make bench.
func BenchmarkBacklog(b *testing.B) {
	program, err := pgtest.Program("pg_recvlogical")
	if err != nil {
		b.Skip(err)
	}
	for _, c := range []struct {
		name        string
		rows, perTx int
	}{{"small", 50_000, 1}, {"large", 300_000, 100_000}} {
		b.Run(c.name, func(b *testing.B) {
			h := newHouse(b)
			h.serve(h.source(h.config("users")))
			h.exec("SELECT pg_create_logical_replication_slot('" + h.Name + "_plain', 'pgoutput')")
			h.exec(`CREATE PROCEDURE fill(first int, n int, per int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 0 .. n / per - 1 LOOP
				INSERT INTO users SELECT k, 'a name of some length' FROM generate_series(first + i * per, first + i * per + per - 1) k; COMMIT;
				END LOOP; END $$`)
			first, peak := 0, uint64(0)
			var ours, theirs time.Duration
			for b.Loop() {
				h.exec(fmt.Sprintf("CALL fill(%d, %d, %d)", first, c.rows, c.perTx))
				first += c.rows
				end := h.walEnd()

				began := time.Now()
				s := h.subscribe(api.StreamOptions{Buffer: 1024})
				for row := range c.rows {
					_, err := s.Next(context.Background())
					require.NoError(b, err)
					if row%5000 == 0 {
						var m runtime.MemStats
						runtime.ReadMemStats(&m)
						peak = max(peak, m.HeapAlloc)
					}
				}
				ours += time.Since(began)
				s.Close()

				began = time.Now()
				u := h.URL
				u.Path = "/" + h.Name
				plain := exec.CommandContext(b.Context(), program, "--start", "--slot", h.Name+"_plain",
					"--dbname", u.String(), "--endpos", end, "--file", "/dev/null", "-o", "proto_version=1", "-o", "publication_names="+h.Name+"_pub", "--no-loop")
				var out bytes.Buffer
				plain.Stderr = &out
				require.NoError(b, plain.Run(), out.String())
				theirs += time.Since(began)
			}
			b.ReportMetric(float64(first)/ours.Seconds(), "rows/s")
			b.ReportMetric(float64(first)/theirs.Seconds(), "recvlogical_rows/s")
			b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
			b.ReportMetric(float64(peak)/(1<<20), "peak_heap_MiB")
		})
	}
}
