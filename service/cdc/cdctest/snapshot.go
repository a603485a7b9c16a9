package cdctest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// needsSnapshots skips a test of a source that has none.
func (s *Subject) needsSnapshots(t *testing.T) {
	t.Helper()
	if !s.info(t).Capabilities.Snapshot {
		t.Skip("it has none")
	}
}

// fill inserts users with the IDs 1 to n.
func (s *Subject) fill(n int) {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf("(%d, 'a')", i+1)
	}
	s.Transact("INSERT INTO users (id, name) VALUES " + strings.Join(rows, ", "))
}

func testSnapshot(t *testing.T, s *Subject) {
	t.Helper()
	s.needsSnapshots(t)
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a'), (2, 'b')", "INSERT INTO orders (id, name) VALUES (1, 'c')")
	defer s.Start()()
	stream := s.subscribe(t, api.StreamOptions{Start: api.Snapshot(), Tables: []string{"users"}, Ops: []api.Op{api.OpDelete}})
	s.Transact("INSERT INTO users (id, name) VALUES (3, 'd')", "DELETE FROM users WHERE id = 1")
	changes := take(t, stream, 3)
	require.Equal(t, []string{"snapshot users 1", "snapshot users 2 !", "delete users 1 !"}, brief(changes))
	s.checkOrigin(t, changes)
}

func testBootstrap(t *testing.T, s *Subject) {
	t.Helper()
	s.needsSnapshots(t)
	s.fill(2)
	stop := s.Start()
	require.True(t, s.info(t).Snapshot)
	stream := s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (3, 'c')")
	require.Equal(t, []string{"snapshot users 1", "snapshot users 2 !", "insert users 3 !"}, brief(take(t, stream, 3)))
	eventually(t, func() bool { c, found := s.Checkpoint(); return found && c.Bootstrapped }, "it is noted")
	stream.Close()
	stop()

	defer s.Start()()
	stream = s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (4, 'd')")
	require.Equal(t, []string{"insert users 4 !"}, brief(take(t, stream, 1)), "once is enough")
	stream = s.subscribe(t, api.StreamOptions{Start: api.Snapshot()})
	require.Equal(t, []string{"snapshot users 1"}, brief(take(t, stream, 1)))
}

func testSnapshotInfo(t *testing.T, s *Subject) {
	t.Helper()
	s.needsSnapshots(t)
	const rows = 1000
	s.fill(rows)
	defer s.Start()()
	opts := api.StreamOptions{Start: api.Snapshot(), Buffer: 2, MaxBytes: unit.MiB}
	stream := s.subscribe(t, opts)
	want := api.Admission{Active: 1, Snapshots: 1, ReservedBytes: int64(unit.MiB)}
	require.Equal(t, want, s.info(t).Admission)
	other := s.subscribe(t, opts)
	require.Equal(t, api.Admission{Active: 2, Snapshots: 2, ReservedBytes: 2 * int64(unit.MiB)}, s.info(t).Admission, "each reserves for itself")
	other.Close()
	require.Equal(t, want, s.info(t).Admission, "also in the middle")
	take(t, stream, rows)
	want.Snapshots = 0
	require.Equal(t, want, s.info(t).Admission)
	s.Transact("INSERT INTO orders (id, name) VALUES (1, 'a')")
	require.Equal(t, []string{"insert orders 1 !"}, brief(take(t, stream, 1)))
	require.GreaterOrEqual(t, s.stats(t).SnapshotRows, uint64(rows))
}

// A stream that reads its snapshot slowly falls behind further than others may: that is kept in files. Once it has
// caught up it is like any other.
func testSnapshotOfALaggard(t *testing.T, s *Subject) {
	t.Helper()
	s.needsSnapshots(t)
	const rows, transactions = 100, 100
	s.fill(rows)
	defer s.Start()()
	fast, slow := s.subscribe(t, api.StreamOptions{}), s.subscribe(t, api.StreamOptions{Start: api.Snapshot(), Buffer: 2})
	require.Equal(t, []string{"snapshot users 1"}, brief(take(t, slow, 1)))
	text := strings.Repeat("x", 16<<10)
	for i := range transactions {
		s.Transact(fmt.Sprintf("INSERT INTO orders (id, name) VALUES (%d, '%s')", i, text))
		take(t, fast, 1)
	}
	eventually(t, func() bool { return s.stats(t).SpilledBytes > 0 }, "the log may keep 256 KiB in memory, and has 1600 to keep")
	require.NoError(t, slow.Err())
	require.Greater(t, s.stats(t).LagBytes, int64(unit.MiB))
	changes := take(t, slow, rows-1+transactions)
	require.Equal(t, "snapshot users 100 !", brief(changes)[rows-2])
	for i, c := range changes[rows-1:] {
		require.Equal(t, []string{fmt.Sprintf("insert orders %d !", i)}, brief([]*api.Change{c}))
		require.Equal(t, text, column(t, c, c.After, "name").Bytes())
	}
	c, err := slow.Poll()
	require.NoError(t, err)
	require.Nil(t, c, "it has caught up")
	s.outrun(t, slow, fast)
}

// A stream that says how far it may fall behind is held to it during its snapshot, too.
func testSnapshotThatIsEnded(t *testing.T, s *Subject) {
	t.Helper()
	s.needsSnapshots(t)
	s.fill(100)
	defer s.Start()()
	fast := s.subscribe(t, api.StreamOptions{})
	slow := s.subscribe(t, api.StreamOptions{Start: api.Snapshot(), Buffer: 2, MaxBytes: 64 * unit.KiB})
	require.Equal(t, []string{"snapshot users 1"}, brief(take(t, slow, 1)))
	s.outrun(t, slow, fast)
	eventually(t, func() bool { return s.info(t).Admission.Snapshots == 0 }, "the snapshot is released")
	require.Equal(t, 1, s.info(t).Admission.Active)
	eventually(t, func() bool { return s.stats(t).Ended[api.EndLag] == 1 }, "it is counted")
}
