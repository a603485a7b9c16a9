//go:build sqlite_preupdate_hook

package sqlite_test

import (
	"context"
	"fmt"
	"log"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/sqlite"
)

func Example() {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, ":memory:") // or app.db, or file:app.db?_foreign_keys=on
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	stream, err := db.Stream(ctx, cdc.StreamOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer stream.Close()
	go db.Exec("CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('ada'), ('bob')")
	for change, err := range cdc.All(ctx, stream) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(change.Op, change.Table.Name, change.After[0].Any())
		if change.Last {
			break
		}
	}
	// Output:
	// insert users ada
	// insert users bob
}

func ExampleOpen() {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, "file::memory:?_foreign_keys=on&_pragma=cache_size(-8000)", func(s *sqlite.Settings) {
		s.Source.Tables = []string{"users"}
		s.Program.ConnectHook = func(conn *sqlite3.SQLiteConn) error {
			return conn.RegisterFunc("double", func(n int64) int64 { return 2 * n }, true)
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	var n int64
	if err := db.QueryRowContext(ctx, "SELECT double(21)").Scan(&n); err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, db.Info().Tables)
	// Output: 42 [users]
}
