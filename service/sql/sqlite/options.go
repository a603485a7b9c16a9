package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/api/errs"
)

// configure sets pragmas and makes the savepoint sentinel. Pragmas that work only on an empty file come before the
// journal mode, which writes to it; the sentinel after all that drop the temp schema, and before those that forbid to
// write.
func (c *connector) configure(ctx context.Context, conn *conn) error {
	if err := checkPragmas(conn.inner, c.cfg.Options); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(c.cfg.Options))
	var first, then, last []string
	for _, name := range names {
		switch strings.ToLower(name) {
		case "encoding", "page_size", "auto_vacuum":
			first = append(first, name)
		case "query_only":
			last = append(last, name)
		default:
			then = append(then, name)
		}
	}
	if err := c.set(ctx, conn.inner, first); err != nil {
		return err
	}
	err := executeAll(ctx, conn.inner, []string{
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = " + c.cfg.Synchronous,
		"PRAGMA foreign_keys = " + strconv.FormatBool(c.cfg.ForeignKeys),
	})
	if err != nil {
		return err
	}
	if err := c.set(ctx, conn.inner, then); err != nil {
		return err
	}
	if err := c.check(conn.inner, slices.Concat(first, then)); err != nil {
		return err
	}
	if conn.session != nil {
		if err := conn.session.recorder.Install(); err != nil {
			return err
		}
	}
	if err := c.set(ctx, conn.inner, last); err != nil {
		return err
	}
	return c.check(conn.inner, last)
}

func (c *connector) set(ctx context.Context, inner *sqlite3.SQLiteConn, names []string) error {
	for _, name := range names {
		statement := "PRAGMA " + name + " = '" + strings.ReplaceAll(c.cfg.Options[name], "'", "''") + "'"
		if err := executeAll(ctx, inner, []string{statement}); err != nil {
			return err
		}
	}
	return nil
}

func executeAll(ctx context.Context, inner *sqlite3.SQLiteConn, statements []string) error {
	for _, statement := range statements {
		if _, err := inner.ExecContext(ctx, statement, nil); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// check returns an error if an option has not taken effect: SQLite says nothing when it ignores one.
func (c *connector) check(inner *sqlite3.SQLiteConn, names []string) error {
	for _, name := range names {
		words, known := settings()[strings.ToLower(name)]
		if !known {
			continue
		}
		now := ""
		err := eachRow(inner, "PRAGMA "+name, func(row []driver.Value) { now = fmt.Sprint(row[0]) })
		if err != nil {
			return err
		}
		if want := c.cfg.Options[name]; words.normal(now) != words.normal(want) {
			return errs.New(errs.Invalid, "options.%s: it is %s, which is not what the option says%s", name, now, whyNot(name))
		}
	}
	return nil
}

func whyNot(name string) string {
	switch strings.ToLower(name) {
	case "encoding", "page_size", "auto_vacuum":
		return ": a database that exists keeps what it was made with; remove the option, or move the rows to a new file"
	default:
		return ": see https://www.sqlite.org/pragma.html#pragma_" + strings.ToLower(name)
	}
}

// words are the numbers that stand for the words of a pragma; other values are compared as they are.
type words map[string]string

func (w words) normal(value string) string {
	value = strings.ToLower(strings.TrimSpace(value))
	if number, ok := w[value]; ok {
		return number
	}
	if n, err := strconv.ParseInt(value, 0, 64); err == nil {
		return strconv.FormatInt(n, 10)
	}
	return value
}

// settings are the pragmas that tell their value without doing anything: https://www.sqlite.org/pragma.html.
func settings() map[string]words {
	flag := words{"on": "1", "yes": "1", "true": "1", "off": "0", "no": "0", "false": "0"}
	with := func(more words) words {
		all := maps.Clone(flag)
		maps.Copy(all, more)
		return all
	}
	known := map[string]words{
		"auto_vacuum":   {"none": "0", "full": "1", "incremental": "2"},
		"encoding":      {"utf8": "utf-8", "utf16": "utf-16le", "utf-16": "utf-16le", "utf16le": "utf-16le", "utf16be": "utf-16be"},
		"journal_mode":  {},
		"locking_mode":  {},
		"secure_delete": with(words{"fast": "2"}),
		"synchronous":   with(words{"normal": "1", "full": "2", "extra": "3"}),
		"temp_store":    {"default": "0", "file": "1", "memory": "2"},
	}
	for _, name := range []string{
		"analysis_limit", "application_id", "busy_timeout", "cache_size", "hard_heap_limit", "journal_size_limit", "max_page_count", "mmap_size",
		"page_size", "soft_heap_limit", "threads", "user_version", "wal_autocheckpoint",
	} {
		known[name] = words{}
	}
	for _, name := range []string{
		"automatic_index", "cell_size_check", "checkpoint_fullfsync", "foreign_keys", "fullfsync", "ignore_check_constraints",
		"legacy_alter_table", "query_only", "read_uncommitted", "recursive_triggers", "reverse_unordered_selects", "trusted_schema", "writable_schema",
	} {
		known[name] = flag
	}
	return known
}

// checkPragmas refuses options that SQLite would ignore silently.
func checkPragmas(inner *sqlite3.SQLiteConn, options map[string]string) error {
	if len(options) == 0 {
		return nil
	}
	known := map[string]bool{}
	err := eachRow(inner, "PRAGMA pragma_list", func(row []driver.Value) {
		if name, ok := row[0].(string); ok {
			known[name] = true
		}
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if !known[strings.ToLower(name)] {
			return errs.New(errs.Invalid, "options.%s: SQLite has no such pragma", name)
		}
	}
	return nil
}
