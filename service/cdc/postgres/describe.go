package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pglogrepl"
)

// relation keeps the description of a table. The server describes a table again when anything about it has changed,
// also what the description does not tell: its primary key, if the identity is another one, and the names of types.
func (d *decoder) relation(ctx context.Context, data []byte) error {
	b := d.stream
	if b != nil {
		if len(data) < 4 {
			return errMessage('R')
		}
		data = data[4:]
	}
	m, err := parseRelation(data)
	if err != nil {
		return err
	}
	if b != nil {
		// The catalogs do not show what a transaction does before it commits.
		if rel := b.own[m.RelationID]; rel == nil || rel.message != string(data) {
			if b.own == nil {
				b.own = make(map[uint32]*relation)
			}
			b.own[m.RelationID] = newRelation(m, string(data), details{
				bases: make([]uint32, len(m.Columns)), names: make([]string, len(m.Columns)), undescribed: true,
			})
		}
		delete(b.slots, m.RelationID)
		return nil
	}
	var xid uint32
	if d.current != nil {
		xid = d.current.xid
		delete(d.current.slots, m.RelationID)
	}
	_, err = d.resolve(ctx, xid, m, string(data))
	return err
}

func parseRelation(data []byte) (*pglogrepl.RelationMessage, error) {
	m := new(pglogrepl.RelationMessage)
	return m, whole(func() error { return m.Decode(data) })
}

// whole parses a message. The library takes it for granted that messages are whole.
func whole(parse func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the server sent a message that is not whole: %v", r)
		}
	}()
	return parse()
}

// resolve looks up a table that was described by transaction xid. If nothing has changed that streams can see, the
// relation stays the one that it was.
func (d *decoder) resolve(ctx context.Context, xid uint32, m *pglogrepl.RelationMessage, message string) (*relation, error) {
	more, err := d.describe(ctx, xid, m)
	if err != nil {
		return nil, fmt.Errorf("look up table %s.%s: %w", m.Namespace, m.RelationName, err)
	}
	rel := newRelation(m, message, more)
	if was := d.relations[m.RelationID]; rel.equal(was) {
		rel = was
	}
	d.relations[m.RelationID] = rel
	d.provisional = d.provisional || rel.provisional != 0
	return rel, nil
}

// adopt looks up what a streamed transaction has described, now that it has committed: others are to know it.
func (d *decoder) adopt(ctx context.Context, b *building) error {
	resolved := make(map[*relation]*relation)
	look := func(rel *relation) error {
		if _, done := resolved[rel]; done || !rel.undescribed {
			return nil
		}
		m, err := parseRelation([]byte(rel.message))
		if err == nil {
			resolved[rel], err = d.resolve(ctx, b.xid, m, rel.message)
		}
		return err
	}
	for i := range b.touched {
		rel := b.relation(uint32(i))
		if err := look(rel); err != nil {
			return err
		}
		if now := resolved[rel]; now != nil {
			b.touched[i].Shape = now
		}
	}
	// What was described last is what holds from now on.
	for id, rel := range b.own {
		if err := look(rel); err != nil {
			return err
		}
		d.relations[id] = resolved[rel]
	}
	return nil
}

// settle looks up again what the catalogs did not show yet.
func (d *decoder) settle(ctx context.Context) error {
	if !d.provisional {
		return nil
	}
	d.provisional = false
	for _, rel := range d.relations {
		if rel.provisional == 0 {
			continue
		}
		m, err := parseRelation([]byte(rel.message))
		if err == nil {
			_, err = d.resolve(ctx, rel.provisional, m, rel.message)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
