//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"fmt"
	"testing"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
)

const benchRows = 100_000

// fill makes a database of benchRows rows of six columns and a source that captures it.
func fill(b *testing.B) *house {
	b.Helper()
	h := newHouse(b)
	h.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, score REAL, note TEXT, n INTEGER, bytes BLOB)")
	h.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO t SELECT i, 'user ' || i, i / 3.0, NULL, i * 1000, x'0011223344' FROM n`, benchRows)
	c := config()
	c.LogBytes = unit.GiB
	h.serve(h.source(cdcID, c))
	return h
}

// BenchmarkStream measures rows from a committed transaction to a reader, against a plain SELECT of the same rows.
func BenchmarkStream(b *testing.B) {
	h := fill(b)
	for _, buffer := range []int{api.DefaultBuffer, 1024} {
		b.Run(fmt.Sprintf("stream/buffer=%d", buffer), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				s, err := h.catalog.Subscribe(b.Context(), cdcID, api.StreamOptions{MaxBytes: unit.GiB, Buffer: buffer})
				if err != nil {
					b.Fatal(err)
				}
				h.exec("INSERT INTO t SELECT id + ?, name, score, note, n, bytes FROM t WHERE id <= ?", benchRows, benchRows)
				b.StartTimer()
				readAll(b, s)
				b.StopTimer()
				s.Close()
				h.exec("DELETE FROM t WHERE id > ?", benchRows)
				b.StartTimer()
			}
			b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
		})
	}
	b.Run("select", func(b *testing.B) {
		for b.Loop() {
			scanAll(b, h)
		}
		b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	})
}

// BenchmarkSnapshot measures rows of a snapshot, against a plain SELECT of the same rows.
func BenchmarkSnapshot(b *testing.B) {
	h := fill(b)
	b.Run("snapshot", func(b *testing.B) {
		for b.Loop() {
			s, err := h.catalog.Subscribe(b.Context(), cdcID, api.StreamOptions{
				Start: api.Snapshot(), Tables: []string{"t"}, Buffer: 1024,
			})
			if err != nil {
				b.Fatal(err)
			}
			readAll(b, s)
			s.Close()
		}
		b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	})
	b.Run("select", func(b *testing.B) {
		for b.Loop() {
			scanAll(b, h)
		}
		b.ReportMetric(benchRows*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
	})
}

func readAll(b *testing.B, s api.Stream) {
	b.Helper()
	for range benchRows {
		c, err := s.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for _, v := range c.After {
			if v.Type() == sqlapi.Bool {
				b.Fatal("SQLite has no such values")
			}
		}
	}
}

func scanAll(b *testing.B, h *house) {
	b.Helper()
	rows, err := h.db.Pool().QueryContext(b.Context(), "SELECT * FROM t WHERE id <= ?", benchRows)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	values := make([]any, 6)
	targets := make([]any, 6)
	for i := range values {
		targets[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			b.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkCommit measures single-row commits by how many streams there are and what they do.
func BenchmarkCommit(b *testing.B) {
	for name, setup := range map[string]func(h *house){
		"none": func(*house) {},
		"reading": func(h *house) {
			s := h.subscribe(cdcID, api.StreamOptions{MaxBytes: unit.GiB})
			go func() {
				for {
					if _, err := s.Next(h.t.Context()); err != nil {
						return
					}
				}
			}()
		},
		"stuck": func(h *house) { h.subscribe(cdcID, api.StreamOptions{MaxBytes: unit.GiB}) },
		"stuck1000": func(h *house) {
			for range 1000 {
				h.subscribe(cdcID, api.StreamOptions{MaxBytes: unit.GiB})
			}
		},
		"elsewhere1000": func(h *house) {
			for range 1000 {
				h.subscribe(cdcID, api.StreamOptions{MaxBytes: unit.GiB, Tables: []string{"orders"}})
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			h := fill(b)
			setup(h)
			for range 200 { // fills the buffers of the stuck
				h.exec("UPDATE t SET n = n + 1 WHERE id = 1")
			}
			statement, err := h.db.Pool().PrepareContext(b.Context(), "UPDATE t SET n = n + 1 WHERE id = ?")
			if err != nil {
				b.Fatal(err)
			}
			defer statement.Close() //nolint:errcheck // the database closes
			for i := 0; b.Loop(); i++ {
				if _, err := statement.ExecContext(b.Context(), i%benchRows); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
