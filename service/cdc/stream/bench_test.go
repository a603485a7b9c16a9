package stream_test

import (
	"fmt"
	"testing"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// BenchmarkAppend measures what the writer pays for a transaction of one row while streams are open that nothing reads.
func BenchmarkAppend(b *testing.B) {
	for _, streams := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("stuck=%d", streams), func(b *testing.B) {
			s, w := newStreams(b, unit.Size(1)<<40)
			for range streams {
				open(b, s, api.StreamOptions{MaxBytes: 1 << 40})
			}
			tx := w.commit(10, inserts(1, 1)...)
			b.ReportAllocs()
			for b.Loop() {
				tx.Sequence++
				s.Append(tx)
			}
		})
	}
}

// BenchmarkStream measures the way of a change from the log to a reader.
func BenchmarkStream(b *testing.B) {
	for _, rows := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			streams, w := newStreams(b, unit.Size(1)<<40)
			s := open(b, streams, api.StreamOptions{MaxBytes: 1 << 40})
			tx := w.make(10, inserts(1, rows)...)
			ctx := b.Context()
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				for range b.N/rows + 1 {
					tx.Sequence++
					streams.Append(tx)
				}
			}()
			for range b.N {
				if _, err := s.Next(ctx); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mchanges/s")
		})
	}
}

// BenchmarkHandOver measures the way of one change at a time, from Append until the reader has it and back.
func BenchmarkHandOver(b *testing.B) {
	streams, w := newStreams(b, unit.MiB)
	s := open(b, streams, api.StreamOptions{})
	tx := w.make(10, inserts(1, 1)...)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		tx.Sequence++
		streams.Append(tx)
		if _, err := s.Next(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
