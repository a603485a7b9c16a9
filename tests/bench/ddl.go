package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A turn changes the schema as often as this.
const ddlTurn = 20

// schemaCost is B12: what capture adds to statements that change the schema, beside few tables and beside many.
func schemaCost(ctx context.Context, r *report, rounds int) error {
	rows := [][]string{{"ns a statement, min / median", "no capture", "wippy", "wippy / no capture"}}
	for _, tables := range []int{10, 10_000} {
		measured, err := schemaCostBeside(ctx, tables, rounds)
		if err != nil {
			return err
		}
		rows = append(rows, measured...)
	}
	r.table("B12: changes of the schema", "Each table has six columns and an index. wippy is a source that captures all tables, with a stream. "+
		"Goals: CREATE TABLE at most 1.2 of no capture, beside 10 tables and beside 10,000.", rows)
	return nil
}

func schemaCostBeside(ctx context.Context, tables, rounds int) (rows [][]string, err error) {
	dir, err := os.MkdirTemp("", "wippy-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	filled := filepath.Join(dir, "filled.db")
	if err := fillWithTables(ctx, filled, tables); err != nil {
		return nil, err
	}
	content, err := os.ReadFile(filled)
	if err != nil {
		return nil, err
	}
	var both []*contender
	for _, open := range []opener{openPlain, openOurs} {
		file := filepath.Join(dir, fmt.Sprintf("%d.db", len(both)))
		if err := os.WriteFile(file, content, 0o600); err != nil { //nolint:gosec // the folder was made for it
			return nil, err
		}
		c, err := open(ctx, file)
		if err != nil {
			return nil, err
		}
		defer func() { err = firstError(err, c.close()) }()
		both = append(both, c)
	}
	for _, w := range schemaWorkloads() {
		if w.few && tables > 10 {
			continue
		}
		measured := make([]times, len(both))
		for range rounds + 1 {
			for i, c := range both {
				spent, err := w.measure(ctx, c)
				if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", c.name, w.name, err)
				}
				measured[i] = append(measured[i], float64(spent.Nanoseconds())/ddlTurn)
			}
		}
		plain, ours := measured[0][1:], measured[1][1:] // the first round warms up
		rows = append(rows, []string{
			fmt.Sprintf("%s beside %d tables", w.name, tables), plain.String(), ours.String(),
			fmt.Sprintf("%.2f", ours.median()/plain.median()),
		})
	}
	return rows, nil
}

// fillWithTables makes a database with so many tables.
func fillWithTables(ctx context.Context, file string, tables int) (err error) {
	db := sql.OpenDB(&connector{file: file})
	defer func() { err = firstError(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for i := range tables {
		if _, err := tx.ExecContext(ctx, createTable("t", i)); err != nil {
			return firstError(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

func createTable(prefix string, i int) string {
	return fmt.Sprintf("CREATE TABLE %s_%d (id INTEGER PRIMARY KEY, name TEXT NOT NULL, street TEXT DEFAULT 'none', "+
		"score INTEGER, weight REAL, code TEXT UNIQUE)", prefix, i)
}

// schemaWorkload changes the schema ddlTurn times, and puts it back.
type schemaWorkload struct {
	name          string
	before, after func(i int) string
	statement     func(i int) string
	// together means in one transaction.
	together bool
	// few means that SQLite itself takes too long for it beside many tables.
	few bool
}

func schemaWorkloads() []schemaWorkload {
	create := func(i int) string { return createTable("new", i) }
	drop := func(i int) string { return fmt.Sprintf("DROP TABLE new_%d", i) }
	return []schemaWorkload{
		{name: "CREATE TABLE", statement: create, after: drop},
		{name: "CREATE TABLE, in one transaction", statement: create, after: drop, together: true},
		{name: "DROP TABLE", before: create, statement: drop},
		{name: "DROP TABLE, in one transaction", before: create, statement: drop, together: true},
		{name: "ALTER TABLE … ADD COLUMN", few: true, before: create, after: drop, statement: func(i int) string {
			return fmt.Sprintf("ALTER TABLE new_%d ADD COLUMN added", i)
		}},
	}
}

func (w schemaWorkload) measure(ctx context.Context, c *contender) (spent time.Duration, err error) {
	if err := inOneTransaction(ctx, c.db, w.before); err != nil {
		return 0, err
	}
	if err := execute(ctx, c.db, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return 0, err
	}
	start := time.Now()
	if w.together {
		err = inOneTransaction(ctx, c.db, w.statement)
	} else {
		for i := range ddlTurn {
			err = firstError(err, execute(ctx, c.db, w.statement(i)))
		}
	}
	spent = time.Since(start)
	return spent, firstError(err, inOneTransaction(ctx, c.db, w.after))
}

func inOneTransaction(ctx context.Context, db *sql.DB, statement func(i int) string) error {
	if statement == nil {
		return nil
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for i := range ddlTurn {
		if _, err := tx.ExecContext(ctx, statement(i)); err != nil {
			return firstError(err, tx.Rollback())
		}
	}
	return tx.Commit()
}
