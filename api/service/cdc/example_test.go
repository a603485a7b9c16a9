//go:build sqlite_preupdate_hook

package cdc_test

import (
	"context"
	"fmt"
	"log"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/sqlite"
)

// users opens a database with a table, which is good for an example.
func users(ctx context.Context) *sqlite.DB {
	db, err := sqlite.Open(ctx, ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	exec(ctx, db, "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
	return db
}

func exec(ctx context.Context, db *sqlite.DB, statement string) {
	if _, err := db.ExecContext(ctx, statement); err != nil {
		log.Fatal(err)
	}
}

// A stream whose reader falls behind, or whose source stops, ends with an error that says whether to begin anew.
func ExampleAll() {
	ctx := context.Background()
	db := users(ctx)
	stream, err := db.Stream(ctx, cdc.StreamOptions{Tables: []string{"users"}, Ops: []cdc.Op{cdc.OpInsert}})
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()
	exec(ctx, db, "INSERT INTO users (name) VALUES ('ada')")
	exec(ctx, db, "DELETE FROM users")
	db.Close() // in a moment of its own
	for change, err := range cdc.All(ctx, stream) {
		if err != nil {
			fmt.Println("the end:", errs.KindOf(err), errs.Retryable(err))
			break
		}
		fmt.Println(change.Op, change.After[1].Any())
	}
	// Output:
	// insert ada
	// the end: UNAVAILABLE true
}

// A copy begins with the rows as they are, and goes on with what commits from then on.
func ExampleStreamOptions_snapshot() {
	ctx := context.Background()
	db := users(ctx)
	defer db.Close()
	exec(ctx, db, "INSERT INTO users (name) VALUES ('ada'), ('bob')")
	stream, err := db.Stream(ctx, cdc.StreamOptions{Start: cdc.Snapshot()})
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()
	exec(ctx, db, "DELETE FROM users WHERE name = 'ada'")
	copied := map[int64]string{}
	for change, err := range cdc.All(ctx, stream) {
		if err != nil {
			log.Fatal(err)
		}
		_, key := change.Key()
		if change.Op == cdc.OpDelete {
			delete(copied, key[0].Int64())
			break
		}
		copied[key[0].Int64()] = change.After[1].Bytes()
	}
	fmt.Println(copied)
	// Output: map[2:bob]
}

// With ManualAck a program says itself which changes it is done with.
func ExampleStream_ack() {
	ctx := context.Background()
	db := users(ctx)
	defer db.Close()
	stream, err := db.Stream(ctx, cdc.StreamOptions{ManualAck: true})
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()
	exec(ctx, db, "INSERT INTO users (name) VALUES ('ada'), ('bob')")
	for change, err := range cdc.All(ctx, stream) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("done with", change.After[1].Bytes())
		if err := stream.Ack(change.Position()); err != nil {
			log.Fatal(err)
		}
		if change.Last {
			break
		}
	}
	// Output:
	// done with ada
	// done with bob
}
