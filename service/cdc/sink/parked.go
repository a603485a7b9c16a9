package sink

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	resourceapi "github.com/wippy-cdc/runtime/api/resource"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

// The texts work on both engines: each numbers its parameters as $1, $2 does.
const (
	createParked = `CREATE TABLE IF NOT EXISTS ` + api.ParkedTable + ` (
		sink text NOT NULL, cursor text NOT NULL, key text NOT NULL, change text NOT NULL, error text NOT NULL, at text NOT NULL,
		PRIMARY KEY (sink, cursor))`
	createParkedIndex = `CREATE INDEX IF NOT EXISTS ` + api.ParkedTable + `_key ON ` + api.ParkedTable + ` (sink, key)`
	selectParked      = `SELECT DISTINCT key FROM ` + api.ParkedTable + ` WHERE sink = $1 AND key <> ''`
	countParked       = `SELECT count(*) FROM ` + api.ParkedTable + ` WHERE sink = $1`
	placeParked       = `SELECT count(*) FROM ` + api.ParkedTable + ` WHERE sink = $1 AND cursor = $2`
	findParked        = `SELECT count(*) FROM ` + api.ParkedTable + ` WHERE sink = $1 AND key = $2`
	insertParked      = `INSERT INTO ` + api.ParkedTable + ` (sink, cursor, key, change, error, at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (sink, cursor) DO UPDATE SET key = excluded.key, change = excluded.change, error = excluded.error, at = excluded.at`
)

// thereParked counts the tables of that name, by the type of the database.
var thereParked = map[string]string{ //nolint:gochecknoglobals // it is a constant
	"sqlite":   `SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '` + api.ParkedTable + `'`,
	"postgres": `SELECT count(to_regclass('` + api.ParkedTable + `'))`,
}

// keySeparator stands between the keys of an update that has changed the key, in the column key. JSON has none.
const keySeparator = "\n"

// parked is what a sink has put aside: rows of a table in the database of its source.
type parked struct {
	sink    string
	db      registry.ID
	find    resourceapi.Directory
	encoder api.Encoder
	// rows is how many there are, as far as that was seen; tell is called with it.
	rows uint64
	tell func(rows uint64)
	// keys has the keys of which changes may be parked, each with the values of the column key that name it: what the
	// table held when it was looked at.
	keys map[string][]string
	key  []byte
}

// openParked makes the table, and reads what is in it; nil if the sink parks nothing. What was parked before is an error
// then.
func (s *Sink) openParked(ctx context.Context, state *state) (*parked, error) {
	info, _ := s.settings.Engine.Source(s.config.Source)
	p := &parked{
		sink: s.id.String(), db: info.DBResource, find: s.settings.Directory, encoder: s.settings.Encoder, tell: state.holds, keys: make(map[string][]string),
	}
	if s.config.OnReject != api.OnRejectPark {
		return nil, s.refuseParked(ctx, p)
	}
	if p.db.IsZero() {
		return nil, errs.New(errs.Invalid, "on_reject: park writes to the database of the source %q, and that has no db_resource", s.config.Source)
	}
	for _, statement := range []string{createParked, createParkedIndex} {
		if err := p.exec(ctx, "create", statement); err != nil {
			return nil, err
		}
	}
	if err := p.recount(ctx); err != nil {
		return nil, err
	}
	if p.rows > 0 {
		s.logger.WarnContext(ctx, "changes of the sink are parked, and later ones of the same keys will be", "parked", p.rows)
	}
	return p, p.load(ctx)
}

// refuseParked keeps a sink that parks nothing from passing what was parked before.
func (s *Sink) refuseParked(ctx context.Context, p *parked) error {
	if p.db.IsZero() { // there was no place for it
		return nil
	}
	db, err := p.database()
	if err != nil {
		return err
	}
	if tables, err := p.number(ctx, thereParked[db.Type()]); err != nil || tables == 0 {
		return err
	}
	if err := p.recount(ctx); err != nil || p.rows == 0 {
		return err
	}
	return errs.New(errs.Invalid, "on_reject is stop, and the table %s of the database %q has changes of the sink (%d), which later ones of the same "+
		"rows would overtake: give the sink on_reject: park until they are delivered or deleted, as docs/sinks.md says (What is parked); then %s",
		api.ParkedTable, p.db, p.rows, reload())
}

// recount sees how many changes are parked.
func (p *parked) recount(ctx context.Context) error {
	rows, err := p.number(ctx, countParked, p.sink)
	if err == nil {
		p.rows = rows
		p.tell(rows)
	}
	return err
}

// number returns what a query finds.
func (p *parked) number(ctx context.Context, query string, args ...any) (n uint64, err error) {
	db, err := p.database()
	if err != nil {
		return 0, err
	}
	err = db.Pool().QueryRowContext(ctx, query, args...).Scan(&n)
	return n, p.about(db, "read", err)
}

// load reads which keys are parked.
func (p *parked) load(ctx context.Context) error {
	db, err := p.database()
	if err != nil {
		return err
	}
	rows, err := db.Pool().QueryContext(ctx, selectParked, p.sink)
	if err != nil {
		return p.about(db, "read", err)
	}
	defer func() { _ = rows.Close() }() // Err tells
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return p.about(db, "read", err)
		}
		p.note(key)
	}
	return p.about(db, "read", rows.Err())
}

// holds reports whether a change is of a row of which a change is parked.
func (p *parked) holds(ctx context.Context, c *api.Change) (bool, error) {
	if len(p.keys) == 0 {
		return false, nil
	}
	for _, newKey := range []bool{false, true} {
		if held, err := p.stillThere(ctx, p.keyOf(c, newKey)); err != nil || held {
			return held, err
		}
	}
	return false, nil
}

// stillThere looks whether a key that was parked is, for what was delivered by hand is deleted from the table.
func (p *parked) stillThere(ctx context.Context, key string) (bool, error) {
	for _, column := range p.keys[key] {
		if rows, err := p.number(ctx, findParked, p.sink, column); err != nil || rows > 0 {
			return true, err
		}
	}
	if p.keys[key] == nil {
		return false, nil
	}
	delete(p.keys, key)
	return false, p.recount(ctx)
}

// put writes a record to the table. A row of a snapshot that has begun anew replaces that of the one before it.
func (p *parked) put(ctx context.Context, record *Record, cause error) error {
	change, err := p.encoder.AppendChange(nil, api.FormatDebezium, record.Change)
	if err != nil {
		return err
	}
	key := p.keyOf(record.Change, false)
	if newKey := p.keyOf(record.Change, true); newKey != "" {
		key += keySeparator + newKey
	}
	there, err := p.number(ctx, placeParked, p.sink, record.Cursor)
	if err != nil {
		return err
	}
	text := strings.ToValidUTF8(strings.ReplaceAll(cause.Error(), "\x00", ""), "\uFFFD")
	now := time.Now().UTC().Format(time.RFC3339Nano)
	if err := p.exec(ctx, "write to", insertParked, p.sink, record.Cursor, key, string(change), text, now); err != nil {
		return err
	}
	p.note(key)
	p.rows += 1 - there
	p.tell(p.rows)
	return nil
}

// note notes that changes of the keys are parked that a value of the column key names.
func (p *parked) note(column string) {
	for key := range strings.SplitSeq(column, keySeparator) {
		if key != "" && !slices.Contains(p.keys[key], column) {
			p.keys[key] = append(p.keys[key], column)
		}
	}
}

// keyOf names the row that a change is of: its table and its key; "" if it has none.
func (p *parked) keyOf(c *api.Change, newKey bool) string {
	if c.Table == nil {
		return ""
	}
	p.key = append(p.appendName(p.key[:0], c.Table.Schema), '.')
	p.key = append(p.appendName(p.key, c.Table.Name), ' ')
	start := len(p.key)
	if p.key = p.encoder.AppendKey(p.key, c, newKey); len(p.key) == start {
		return ""
	}
	return string(p.key)
}

// appendName appends a name: as JSON if it has other characters than most names.
func (p *parked) appendName(dst []byte, name string) []byte {
	const usual = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	if name == "" || strings.Trim(name, usual) != "" {
		return p.encoder.AppendName(dst, name)
	}
	return append(dst, name...)
}

func (p *parked) exec(ctx context.Context, step, statement string, args ...any) error {
	db, err := p.database()
	if err != nil {
		return err
	}
	_, err = db.Pool().ExecContext(ctx, statement, args...)
	return p.about(db, step, err)
}

func (p *parked) database() (sqlapi.DB, error) { return resourceapi.Get[sqlapi.DB](p.find, p.db) }

// about says what was done when an error of the database came.
func (p *parked) about(db sqlapi.DB, step string, err error) error {
	if err == nil {
		return nil
	}
	if classifier, ok := db.(sqlapi.Classifier); ok {
		err = classifier.Classify(err)
	}
	return fmt.Errorf("database %q: %s %s: %w", p.db, step, api.ParkedTable, err)
}
