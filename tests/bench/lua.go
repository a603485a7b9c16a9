package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	lua "github.com/yuin/gopher-lua"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/boot"
)

//go:embed all:app
var app embed.FS

// runScript runs one process of the app and returns the lists of numbers that it returned.
func runScript(ctx context.Context, name string, args ...any) (lists [][]float64, err error) {
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	files, err := fs.Sub(app, "app")
	if err != nil {
		return nil, err
	}
	if err := os.CopyFS(dir, files); err != nil {
		return nil, err
	}
	loaded, err := boot.Load(boot.Settings{Dir: dir, Stderr: os.Stderr})
	if err != nil {
		return nil, err
	}
	exit, err := loaded.Execute(ctx, registry.ID{Namespace: "bench", Name: name}, args)
	if err := errors.Join(err, exit.Err); err != nil {
		return nil, err
	}
	return numbers(exit.Value)
}

// numbers converts a list of numbers, or of such lists.
func numbers(v any) ([][]float64, error) {
	values, ok := v.([]any)
	if !ok || len(values) == 0 {
		return nil, fmt.Errorf("the script returned a %T, not a list", v)
	}
	if _, nested := values[0].([]any); !nested {
		values = []any{values}
	}
	var lists [][]float64
	for _, value := range values {
		list, ok := value.([]any)
		if !ok {
			return nil, fmt.Errorf("the script returned a %T among lists", value)
		}
		var one []float64
		for _, n := range list {
			switch n := n.(type) {
			case float64:
				one = append(one, n)
			case int64:
				one = append(one, float64(n))
			default:
				return nil, fmt.Errorf("the script returned a %T among numbers", n)
			}
		}
		lists = append(lists, one)
	}
	return lists, nil
}

// luaRate is B4: how fast committed rows reach a Lua process, compared with making such tables there.
func luaRate(ctx context.Context, r *report, rounds int) error {
	const rows = 50_000
	measured, err := runScript(ctx, "rate", rows, rounds, schema, fill)
	if err != nil {
		return err
	}
	streamed, looped := times(measured[0]), times(measured[1])
	r.table("B4: rows from commit to a Lua process", "50,000 rows of six columns in one transaction. Goal: at least 1.1.", [][]string{
		{"ns a row, min / median", "stream", "a Lua loop that makes such tables", "rate of the stream / loop"},
		{"", streamed.String(), looped.String(), fmt.Sprintf("%.2f", looped.median()/streamed.median())},
	})
	return nil
}

// luaLatency is B5: how long after its commit a change reaches a script, compared with a Go channel and such a table.
func luaLatency(ctx context.Context, r *report, rounds int) error {
	const n = 400
	var committed, handed times
	for range rounds {
		measured, err := runScript(ctx, "latency", n, schema)
		if err != nil {
			return err
		}
		committed, handed = append(committed, measured[0]...), append(handed, handOver(n)...)
	}
	r.table("B5: from commit to a Lua process that waits", "Single rows, one after the other. Goal: at most 1.3.", [][]string{
		{"ns, p50 / p99", "commit to receive", "Go channel and the same table", "ratio of p50"},
		{
			"", committed.percentiles(), handed.percentiles(),
			fmt.Sprintf("%.2f", committed.percentile(50)/handed.percentile(50)),
		},
	})
	return nil
}

// handOver measures a hand-over between goroutines after which a table like that of a change is made.
func handOver(n int) times {
	L := lua.NewState()
	defer L.Close()
	sent, taken := make(chan time.Time), make(chan struct{})
	var all times
	go func() {
		defer close(sent)
		for range n {
			sent <- time.Now()
			<-taken
		}
	}()
	for at := range sent {
		change, after, key := L.CreateTable(0, 16), L.CreateTable(0, 6), L.CreateTable(0, 1)
		for _, name := range []string{"id", "name", "street", "score", "weight", "photo"} {
			after.RawSetString(name, lua.LNumber(1))
		}
		key.RawSetString("id", lua.LNumber(1))
		for _, name := range []string{
			"op", "schema", "table", "relation", "columns", "source", "source_id", "transaction", "last", "cursor", "lsn", "timestamp", "generation",
		} {
			change.RawSetString(name, lua.LString(name))
		}
		change.RawSetString("after", after)
		change.RawSetString("key", key)
		all = append(all, float64(time.Since(at).Nanoseconds()))
		taken <- struct{}{}
	}
	return all
}
