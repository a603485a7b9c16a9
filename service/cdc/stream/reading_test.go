package stream_test

import (
	"errors"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/service/cdc/stream"
)

// reading is a stream and what the model says about it.
type reading struct {
	machine   *machine
	stream    api.Stream
	opts      api.StreamOptions
	selection *stream.Selection
	// snapshot says that it begins with a snapshot, of so many rows.
	snapshot     bool
	snapshotRows int
	// opened is the newest transaction when it was opened, limit how far it may be behind; anywhere says that it began in the
	// middle of the log.
	opened uint64
	limit  int64
	// furthest is how far behind it has been at most: the log's goroutine may look later.
	furthest int64
	anywhere bool
	// want is what it has to deliver, of which got were delivered and acked acknowledged by hand.
	want       []*api.Change
	got, acked int
	// lost says that it ends behind that, over that it has ended.
	lost, over bool
	// rows are the rows as its changes make them.
	rows map[row]bool
}

// opens notes the stream.
func (r *reading) opens(opened api.Stream, err error) func(*rapid.T) {
	return func(t *rapid.T) {
		require.NoError(t, err)
		r.stream, r.rows = opened, make(map[row]bool)
	}
}

func (r *reading) acker() interface {
	Ack(position api.Position) error
} {
	return r.stream.(interface {
		Ack(position api.Position) error
	})
}

// expected is a change as a stream delivers it, but for Last.
func expected(sequence uint64, index int, r row, op api.Op) *api.Change {
	c := &api.Change{Op: op, Table: r.table.Table(), Transaction: &api.Transaction{Sequence: sequence}, Index: index}
	if c.After = []sqlapi.Value{sqlapi.IntegerValue(r.value)}; op == api.OpDelete {
		c.Before, c.After = c.After, nil
	}
	return c
}

// expect notes what is committed now.
func (r *reading) expect(changes []*api.Change) {
	if !r.lost && !r.over {
		r.add(changes)
	}
}

// add adds those of some changes that the stream selects.
func (r *reading) add(changes []*api.Change) {
	var added []*api.Change
	for _, c := range changes {
		if r.selection.Accepts(c.Table, c.Op) {
			own := *c
			added = append(added, &own)
		}
	}
	for i, c := range added {
		c.Last = i == len(added)-1 || added[i+1].Transaction.Sequence != c.Transaction.Sequence
	}
	r.want = append(r.want, added...)
}

// catchUp reads until everything was delivered, and the end if there is one.
func (r *reading) catchUp(t *rapid.T) {
	for !r.over && (r.got < len(r.want) || r.lost) {
		c, err := r.stream.Next(t.Context())
		if err != nil {
			r.end(t, err)
			return
		}
		r.receive(t, c)
	}
}

func (r *reading) receive(t *rapid.T, c *api.Change) {
	require.Less(t, r.got, len(r.want), "unexpected %v", c)
	require.Equal(t, lines(r.want[r.got:r.got+1]), lines([]*api.Change{c}))
	r.got++
	image := c.After
	if image == nil {
		image = c.Before
	}
	for _, s := range []*shape{users, orders, cats, dogs} {
		if s.Table() == c.Table {
			r.rows[row{table: s, value: image[0].Int64()}] = c.Op != api.OpDelete
		}
	}
}

// requireRows requires that snapshot and changes add up to what the tables hold.
func (r *reading) requireRows(t *rapid.T) {
	if !r.snapshot || r.opts.Ops != nil {
		return
	}
	for is, present := range r.machine.rows {
		if r.selection.Accepts(is.table.Table(), api.OpSnapshot) {
			require.Equal(t, present, r.rows[is], "%s %d", is.table.Table().Name, is.value)
		}
	}
}

// end requires that the stream has a reason to end with err.
func (r *reading) end(t *rapid.T, err error) {
	require.Equal(t, err, r.stream.Err())
	_, again := r.stream.Poll()
	require.Equal(t, err, again)
	alreadyOver := r.over
	r.over = true
	defer func() { r.want = r.want[:r.got] }()
	if r.lost && errors.Is(err, errLost) {
		reads := r.snapshot && r.got <= r.snapshotRows // a snapshot that is being read ends at once
		if !reads && !r.anywhere && r.furthest <= r.limit {
			require.Equal(t, len(r.want), r.got, "what was appended before is delivered")
		}
		return
	}
	require.ErrorContains(t, err, "stream fell behind: ")
	if !r.anywhere && !alreadyOver {
		require.Greater(t, r.furthest, r.limit, "it was never that far behind")
	}
}

// behind returns how much there is behind what the stream is reading or reads next, or more.
func (r *reading) behind() int64 {
	m, read := r.machine, r.opened
	if r.got > 0 && r.want[r.got-1].Op != api.OpSnapshot {
		return m.total - m.ends[r.want[r.got-1].Transaction.Sequence]
	}
	for read++; m.ends[read] == 0 && read <= m.writer.sequence; read++ { // what was lost has no size
	}
	return m.total - m.ends[read]
}
