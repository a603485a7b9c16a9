package main

import (
	"context"
	"database/sql"
	"fmt"
)

const (
	schema = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, street TEXT, score INTEGER, weight REAL, photo BLOB)"
	fill   = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO people (name, street, score, weight, photo)
		SELECT 'somebody by name', 'a street', i, 1.5, x'00010203040506070809' FROM n`
	insert = "INSERT INTO people (name, street, score, weight, photo) VALUES (?, ?, ?, ?, ?)"
)

// workload is something that a writer does, in the same way however it is captured.
type workload struct {
	name string
	rows int
	// prepare is not measured.
	prepare func(ctx context.Context, db *sql.DB, rows int) error
	run     func(ctx context.Context, c *contender, rows int) error
}

func workloads() []workload {
	return []workload{
		{"INSERT, 1000 a transaction", 10000, empty, insertTransactions},
		{"INSERT, autocommit", 2000, empty, insertAlone},
		{"INSERT … SELECT", 20000, empty, insertSelect},
		{"UPDATE of all rows", 20000, filled, updateAll},
		{"DELETE of all rows", 20000, filled, deleteAll},
	}
}

func execute(ctx context.Context, db *sql.DB, query string, args ...any) error {
	if _, err := db.ExecContext(ctx, query, args...); err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

func empty(ctx context.Context, db *sql.DB, _ int) error {
	return execute(ctx, db, "DELETE FROM people")
}

func filled(ctx context.Context, db *sql.DB, rows int) error {
	if err := empty(ctx, db, rows); err != nil {
		return err
	}
	return execute(ctx, db, fill, rows)
}

// commit executes a statement that commits, with what follows a commit.
func (c *contender) commit(ctx context.Context, query string, args ...any) error {
	if err := execute(ctx, c.db, query, args...); err != nil {
		return err
	}
	return c.afterCommit()
}

func (c *contender) afterCommit() error {
	if c.committed == nil {
		return nil
	}
	return c.committed()
}

func insertSelect(ctx context.Context, c *contender, rows int) error {
	return c.commit(ctx, fill, rows)
}

func updateAll(ctx context.Context, c *contender, _ int) error {
	return c.commit(ctx, "UPDATE people SET score = score + 1")
}

func deleteAll(ctx context.Context, c *contender, _ int) error {
	return c.commit(ctx, "DELETE FROM people WHERE id > 0")
}

// preparer is a database or a transaction.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// insertRows inserts rows one by one and calls each after every one of them.
func insertRows(ctx context.Context, p preparer, rows int, each func() error) (err error) {
	statement, err := p.PrepareContext(ctx, insert)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, statement.Close()) }()
	photo := []byte("0123456789")
	for i := range rows {
		if _, err := statement.ExecContext(ctx, "somebody by name", "a street", i, 1.5, photo); err != nil {
			return err
		}
		if err := each(); err != nil {
			return err
		}
	}
	return nil
}

func insertAlone(ctx context.Context, c *contender, rows int) error {
	return insertRows(ctx, c.db, rows, c.afterCommit)
}

func insertTransactions(ctx context.Context, c *contender, rows int) error {
	for range rows / 1000 {
		tx, err := c.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		if err := insertRows(ctx, tx, 1000, func() error { return nil }); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		if err := c.afterCommit(); err != nil {
			return err
		}
	}
	return nil
}
