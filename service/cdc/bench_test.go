package cdc_test

import (
	"fmt"
	"io"
	"testing"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/cdc"
)

// fastTransaction yields n inserts of six columns as cheaply as possible.
type fastTransaction struct {
	header api.Transaction
	table  *sql.Table
	image  []sql.Value
	n      int
}

func newFastTransaction(n int) *fastTransaction {
	return &fastTransaction{
		table: &sql.Table{Schema: "main", Name: "users", Columns: make([]sql.Column, 6)},
		image: []sql.Value{
			sql.IntegerValue(1), sql.TextValue("a name"), sql.RealValue(2.5), {}, sql.IntegerValue(3), sql.BlobValue("\x00\x01"),
		},
		n: n,
	}
}

func (t *fastTransaction) Size() int64 { return 256 }

func (t *fastTransaction) Open(*cdc.Selection) cdc.Reader { return &fastReader{tx: t} }

type fastReader struct {
	tx *fastTransaction
	at int
}

func (r *fastReader) Next(c *api.Change) error {
	if r.at == r.tx.n {
		return io.EOF
	}
	c.Op, c.Table, c.Transaction, c.Index = api.OpInsert, r.tx.table, &r.tx.header, r.at
	c.Before, c.After = nil, append(c.After, r.tx.image...)
	r.at++
	return nil
}

func (r *fastReader) Close() {}

// BenchmarkAppend measures what the writer pays per transaction while streams are open that nobody reads.
func BenchmarkAppend(b *testing.B) {
	for _, streams := range []int{0, 1, 1000} {
		b.Run(fmt.Sprintf("stuck=%d", streams), func(b *testing.B) {
			log, _ := newLog(b, unit.GiB)
			tx := newFastTransaction(1000)
			b.ReportAllocs()
			var stuck []api.Stream
			for i := 0; b.Loop(); i++ {
				if i%(1<<20) == 0 { // before the streams fall behind
					b.StopTimer()
					stuck = renew(b, log, tx, stuck, streams)
					b.StartTimer()
				}
				log.Append(tx)
			}
		})
	}
}

// renew closes the streams and opens n others, which are stuck when it returns.
func renew(b *testing.B, log *cdc.Log, tx cdc.Transaction, old []api.Stream, n int) []api.Stream {
	b.Helper()
	for _, s := range old {
		s.Close()
	}
	stuck := make([]api.Stream, n)
	for i := range stuck {
		stuck[i] = subscribe(b, log, api.StreamOptions{MaxBytes: unit.GiB})
	}
	log.Append(tx)
	for _, s := range stuck {
		<-s.Ready()
	}
	return stuck
}

// BenchmarkStream measures the way of a row of six columns from the log to a reader.
func BenchmarkStream(b *testing.B) {
	for _, rows := range []int{1, 10, 1000} {
		for _, buffer := range []int{api.DefaultBuffer, 1024} {
			b.Run(fmt.Sprintf("rows=%d/buffer=%d", rows, buffer), func(b *testing.B) {
				log, _ := newLog(b, unit.Size(1)<<40)
				s := subscribe(b, log, api.StreamOptions{Buffer: buffer, MaxBytes: 1 << 40})
				tx := newFastTransaction(rows)
				ctx := b.Context()
				b.ReportAllocs()
				b.ResetTimer()
				go func() {
					for range b.N/rows + 1 {
						log.Append(tx)
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
}

// BenchmarkHandOver measures the way of one change at a time, from Append until the reader has it and back.
func BenchmarkHandOver(b *testing.B) {
	log, _ := newLog(b, unit.MiB)
	s := subscribe(b, log, api.StreamOptions{})
	tx := newFastTransaction(1)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		log.Append(tx)
		if _, err := s.Next(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
