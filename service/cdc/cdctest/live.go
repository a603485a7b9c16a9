package cdctest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
)

func testOrder(t *testing.T, s *Subject) {
	t.Helper()
	defer s.Start()()
	stream := s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a')", "INSERT INTO orders (id, name) VALUES (1, 'b')", "INSERT INTO users (id, name) VALUES (2, 'c')")
	s.Transact("DELETE FROM users WHERE id = 1")
	changes := take(t, stream, 4)
	require.Equal(t, []string{"insert users 1", "insert orders 1", "insert users 2 !", "delete users 1 !"}, brief(changes))
	require.Same(t, changes[0].Transaction, changes[2].Transaction)
	require.NotEqual(t, changes[2].Transaction.ID(), changes[3].Transaction.ID())
	s.checkOrigin(t, changes)
}

// checkOrigin requires that transactions say where they come from.
func (s *Subject) checkOrigin(t *testing.T, changes []*api.Change) {
	t.Helper()
	for _, c := range changes {
		require.Equal(t, s.ID, c.Transaction.Source)
		require.Equal(t, s.info(t).Engine, c.Transaction.Engine)
		require.NotEmpty(t, c.Transaction.Database)
		require.False(t, c.Transaction.CommittedAt.IsZero())
	}
}

func testUndone(t *testing.T, s *Subject) {
	t.Helper()
	defer s.Start()()
	stream := s.subscribe(t, api.StreamOptions{})
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a')", "SAVEPOINT one", "INSERT INTO users (id, name) VALUES (2, 'b')",
		"SAVEPOINT two", "UPDATE users SET name = 'z'", "ROLLBACK TO two", "DELETE FROM users WHERE id = 1", "ROLLBACK TO one",
		"INSERT INTO users (id, name) VALUES (3, 'c')", "RELEASE one")
	require.Equal(t, []string{"insert users 1", "insert users 3 !"}, brief(take(t, stream, 2)))
}

func testImages(t *testing.T, s *Subject) {
	t.Helper()
	defer s.Start()()
	stream := s.subscribe(t, api.StreamOptions{})
	text := strings.Repeat("ö", 100)
	s.Transact("INSERT INTO users (id, name) VALUES (1, NULL)", "UPDATE users SET name = '"+text+"'", "UPDATE users SET id = 9007199254740993", "DELETE FROM users")
	changes := take(t, stream, 4)
	require.True(t, column(t, changes[0], changes[0].After, "name").IsNull())
	require.Equal(t, sqlapi.TextValue(text), column(t, changes[1], changes[1].After, "name"))
	require.Equal(t, sqlapi.IntegerValue(9007199254740993), column(t, changes[2], changes[2].After, "id"))
	require.Equal(t, sqlapi.IntegerValue(1), column(t, changes[2], changes[2].Before, "id"), "the old row has the key")
	require.Nil(t, changes[0].Before)
	require.Nil(t, changes[3].After)
	names, key := changes[2].Key()
	require.Equal(t, []string{"id"}, names)
	require.Equal(t, []sqlapi.Value{sqlapi.IntegerValue(1)}, key)
	if s.info(t).Capabilities.BeforeImages {
		require.Equal(t, sqlapi.TextValue(text), column(t, changes[3], changes[3].Before, "name"))
	}
}

func testFilters(t *testing.T, s *Subject) {
	t.Helper()
	defer s.Start()()
	users := s.subscribe(t, api.StreamOptions{Tables: []string{"USERS"}})
	deletes := s.subscribe(t, api.StreamOptions{Ops: []api.Op{api.OpDelete}})
	s.Transact("INSERT INTO orders (id, name) VALUES (1, 'a')")
	s.Transact("INSERT INTO users (id, name) VALUES (1, 'a')", "DELETE FROM orders")
	s.Transact("DELETE FROM users")
	require.Equal(t, []string{"insert users 1 !", "delete users 1 !"}, brief(take(t, users, 2)))
	changes := take(t, deletes, 2)
	require.Equal(t, []string{"delete orders 1 !", "delete users 1 !"}, brief(changes))
	require.Equal(t, 1, changes[0].Index, "what is filtered out counts")
}

func testFanOut(t *testing.T, s *Subject) {
	t.Helper()
	defer s.Start()()
	a, b := s.subscribe(t, api.StreamOptions{}), s.subscribe(t, api.StreamOptions{Buffer: 1})
	for range 20 {
		s.Transact("INSERT INTO users (id, name) VALUES (1, 'a')", "DELETE FROM users")
	}
	require.Equal(t, brief(take(t, a, 40)), brief(take(t, b, 40)))
}

func testPositions(t *testing.T, s *Subject) {
	t.Helper()
	defer s.Start()()
	stream := s.subscribe(t, api.StreamOptions{})
	for range 5 {
		s.Transact("INSERT INTO users (id, name) VALUES (1, 'a'), (2, 'b')", "DELETE FROM users")
	}
	changes := take(t, stream, 20)
	for i := 1; i < len(changes); i++ {
		require.Less(t, changes[i-1].Cursor(), changes[i].Cursor())
	}
	require.Equal(t, s.info(t).Generation, changes[0].Transaction.Generation)
	require.Equal(t, s.info(t).LSN, changes[19].Transaction.LSN)
}
