package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// A script is several statements in one call. The driver would run them all before the session could look, and a later
// statement that fails calls the rollback hook as if it undid the earlier ones, which are committed. So they are run
// one by one here, divided where SQLite's parser divides them, with arguments dealt out as the driver does.

// part is one statement of a script.
type part struct {
	// inner is nil for a part of nothing but comments.
	inner *sqlite3.SQLiteStmt
	what  class
	args  []driver.NamedValue
	last  bool
}

// eachPart prepares the statements of a script one after the other and calls f, which closes them.
func (c *conn) eachPart(ctx context.Context, script string, args []driver.NamedValue, f func(part) error) error {
	used := 0
	for script = strings.TrimSpace(script); script != ""; {
		inner, err := c.prepare(ctx, script)
		if err != nil {
			return err
		}
		tail := tailOf(inner)
		text := strings.TrimSuffix(script, tail)
		script = tail
		if stmtHandleOf(inner) == nil {
			_ = inner.Close() // which is nothing but comments
			if err := f(part{last: tail == ""}); err != nil {
				return err
			}
			continue
		}
		n := inner.NumInput()
		if len(args)-used < n {
			_ = inner.Close()
			return fmt.Errorf("not enough args to execute query: want %d got %d", n, len(args)-used)
		}
		what := classOf(text)
		c.session.about(what, text)
		if err := f(part{inner: inner, what: what, args: deal(args, used, n), last: tail == ""}); err != nil {
			return err
		}
		used += n
	}
	return nil
}

// deal returns the n arguments from used on, along with all named ones, numbered from 1.
func deal(args []driver.NamedValue, used, n int) []driver.NamedValue {
	if n == 0 {
		return nil
	}
	dealt := append([]driver.NamedValue(nil), args[used:used+n]...)
	for i, arg := range args {
		if arg.Name != "" && (i < used || i >= used+n) {
			dealt = append(dealt, arg)
		}
	}
	for i := range dealt {
		dealt[i].Ordinal = i + 1
	}
	return dealt
}

func (c *conn) execScript(ctx context.Context, script string, args []driver.NamedValue) (driver.Result, error) {
	var result driver.Result = &sqlite3.SQLiteResult{}
	err := c.eachPart(ctx, script, args, func(p part) error {
		if p.inner == nil {
			result = &sqlite3.SQLiteResult{}
			return nil
		}
		executed, err := run(c, p.what, func() (driver.Result, error) {
			executed, err := p.inner.ExecContext(ctx, p.args)
			_ = p.inner.Close() // repeats the error of the execution
			return executed, err
		})
		if err == nil {
			result = executed
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

func (c *conn) queryScript(ctx context.Context, script string, args []driver.NamedValue) (driver.Rows, error) {
	var last driver.Rows
	err := c.eachPart(ctx, script, args, func(p part) error {
		if p.inner == nil {
			return nil
		}
		inner, err := run(c, p.what, func() (driver.Rows, error) { return p.inner.QueryContext(ctx, p.args) })
		if err != nil {
			_ = p.inner.Close() // repeats the error of the execution
			return err
		}
		opened, err := newRows(c, p.what, inner, nil)
		if err != nil {
			return err
		}
		if r, ok := opened.(*rows); ok {
			r.owned = p.inner
		}
		if !p.last {
			_ = opened.Close() // repeats the error of the execution
			return nil
		}
		last = opened
		return nil
	})
	if err != nil {
		return nil, err
	}
	if last == nil {
		return c.inner.QueryContext(ctx, "", nil)
	}
	return last, nil
}
