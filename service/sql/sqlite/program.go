package sqlite

import (
	"database/sql/driver"
	"fmt"
	"net/url"

	"github.com/mattn/go-sqlite3"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Program is what a Go program gives the driver of its own database, beside the configuration that entries have. The
// statements are the program's own, so that none is refused, and values are converted as the driver does: a column that
// is declared DATE, DATETIME or TIMESTAMP gives a time.Time, and one that is declared BOOLEAN a bool.
type Program struct {
	// ConnectHook is called with each connection of the writer and of DB.Readers once it is open, to register functions
	// and collations for instance. Those for preupdate, commit and rollback are the hooks of capture, and a connection
	// on which one of them was replaced cannot be used. Rows that it changes are not captured: the streams that are
	// open end.
	ConnectHook func(*sqlite3.SQLiteConn) error
	// Extensions are the libraries that the driver loads into each of these connections.
	Extensions []string
	// Location is the time zone of what is converted, auto for that of the computer; "" means UTC. TxLock says how
	// transactions begin: deferred, immediate or exclusive; "" means deferred.
	Location, TxLock string
}

// driver returns the driver that opens connections for p, which is nil for an entry.
func (p *Program) driver() *sqlite3.SQLiteDriver {
	if p == nil {
		return &sqlite3.SQLiteDriver{}
	}
	return &sqlite3.SQLiteDriver{Extensions: p.Extensions}
}

// parameters returns what p adds to the name of the file.
func (p *Program) parameters() string {
	text := ""
	if p == nil {
		return text
	}
	if p.Location != "" {
		text += "&_loc=" + url.QueryEscape(p.Location)
	}
	if p.TxLock != "" {
		text += "&_txlock=" + url.QueryEscape(p.TxLock)
	}
	return text
}

// connected calls the program's hook on a connection.
func (p *Program) connected(inner *sqlite3.SQLiteConn) error {
	if p == nil || p.ConnectHook == nil {
		return nil
	}
	if err := p.ConnectHook(inner); err != nil {
		return fmt.Errorf("the ConnectHook: %w", err)
	}
	return nil
}

// admit lets the program have a writer that is ready for capture, before anything of it is captured.
func (c *connector) admit(conn *conn) error {
	if c.program == nil || c.program.ConnectHook == nil {
		return nil
	}
	before, err := totalChanges(conn.inner)
	if err != nil {
		return err
	}
	if err := c.program.connected(conn.inner); err != nil {
		return err
	}
	if conn.session == nil {
		return nil
	}
	if conn.session.recorder.RestoreHooks() {
		return errs.New(errs.Invalid, "the ConnectHook has registered a hook for preupdate, commit or rollback, and capture needs all of them: "+
			"leave them out, and read a stream instead")
	}
	if !conn.inner.AutoCommit() {
		return errs.New(errs.Invalid, "the ConnectHook has left a transaction open: end it")
	}
	conn.session.restoreSentinel()
	after, err := totalChanges(conn.inner)
	if err == nil && after != before && c.db.durable.Load() == nil { // a durable log finds that by itself
		c.db.mu.Lock()
		defer c.db.mu.Unlock()
		c.db.loseLocked(0, api.GapCaptureLost, fmt.Errorf("the ConnectHook of a new connection has changed %d rows", after-before))
	}
	return err
}

func totalChanges(inner *sqlite3.SQLiteConn) (n int64, err error) {
	err = eachRow(inner, "SELECT total_changes()", func(row []driver.Value) { n, _ = row[0].(int64) })
	return n, err
}
