package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// replica is what a stream of changes makes of empty tables: rows by table and key, as text.
type replica struct {
	t    *testing.T
	rows map[string]map[string]string
	// cursor is that of the last change applied: what comes again is passed.
	cursor string
}

// apply applies a change and checks its old row, which is whole.
func (r *replica) apply(c *api.Change) {
	if cursor := c.Cursor(); cursor > r.cursor {
		r.cursor = cursor
	} else {
		return
	}
	table := r.rows[c.Table.Name]
	if c.Op == api.OpTruncate {
		clear(table)
		return
	}
	if c.Before != nil {
		key := fmt.Sprint(c.Before[0].Any())
		require.Equal(r.t, table[key], image(c.Before), "%s: the old row", c.Cursor())
		delete(table, key)
	}
	if c.After != nil {
		key := fmt.Sprint(c.After[0].Any())
		require.Empty(r.t, table[key], c.Cursor())
		table[key] = image(c.After)
	}
}

// script is a random transaction. The statements may fail.
func script(random *rand.Rand) []string {
	var all []string
	var depth int
	for range 1 + random.IntN(8) {
		table := []string{"users", "orders"}[random.IntN(2)]
		id := random.IntN(40)
		switch random.IntN(12) {
		case 0, 1:
			depth++
			all = append(all, fmt.Sprintf("SAVEPOINT s%d", random.IntN(2)))
		case 2, 3:
			if depth > 0 {
				all = append(all, fmt.Sprintf("ROLLBACK TO s%d", random.IntN(2)))
			}
		case 4:
			if depth > 0 {
				all = append(all, fmt.Sprintf("RELEASE s%d", random.IntN(2)))
			}
		case 5:
			all = append(all, fmt.Sprintf("INSERT INTO %s SELECT n, md5(n::text) FROM generate_series(%d, %d) n ON CONFLICT DO NOTHING", table, 100+id, 600+id))
		case 6:
			all = append(all, fmt.Sprintf("DELETE FROM %s WHERE %s >= %d", table, "id", 100+id))
		case 7:
			all = append(all, fmt.Sprintf("DELETE FROM %s WHERE id = %d", table, id))
		case 8:
			all = append(all, fmt.Sprintf("UPDATE %s SET id = %d WHERE id = %d", table, random.IntN(40), id))
		case 9:
			if random.IntN(4) == 0 {
				all = append(all, "TRUNCATE "+table)
			}
		default:
			column := map[string]string{"users": "name", "orders": "item"}[table]
			all = append(all, fmt.Sprintf("INSERT INTO %s VALUES (%d, '%d') ON CONFLICT (id) DO UPDATE SET %s = excluded.%s || repeat('y', 3000)",
				table, id, random.Int(), column, column))
		}
	}
	return append(all, []string{"COMMIT", "COMMIT", "COMMIT", "ROLLBACK"}[random.IntN(4)])
}

// run runs a script. An error is undone by a savepoint, if there is one, or ends the transaction.
func (h *house) run(t *testing.T, statements []string) {
	t.Helper()
	conn, err := h.Pool.Conn(t.Context())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.ExecContext(t.Context(), "BEGIN")
	require.NoError(t, err)
	for _, q := range statements {
		_, _ = conn.ExecContext(t.Context(), q) // what fails is part of the test
	}
	_, _ = conn.ExecContext(t.Context(), "ROLLBACK") // in case it is still open
}

// content dumps the tables of the server the way replica holds them.
func (h *house) content(t *testing.T) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{"users": {}, "orders": {}}
	for table, column := range map[string]string{"users": "name", "orders": "item"} {
		func() {
			rows, err := h.Pool.QueryContext(t.Context(), "SELECT id::text, ' ' || id || ' ' || "+column+" FROM "+table)
			require.NoError(t, err)
			defer rows.Close() //nolint:errcheck // rows.Err tells
			for rows.Next() {
				var key, row string
				require.NoError(t, rows.Scan(&key, &row))
				all[table][key] = row
			}
			require.NoError(t, rows.Err())
		}()
	}
	return all
}

func TestAReplicaIsEqualAfterEveryTransaction(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			h := newHouse(t)
			h.exec("ALTER TABLE users REPLICA IDENTITY FULL; ALTER TABLE orders REPLICA IDENTITY FULL; CREATE TABLE marks (id int PRIMARY KEY)")
			c := h.config("users", "orders", "marks")
			c.Streaming = seed%2 == 0
			r := &replica{t: t, rows: map[string]map[string]string{"users": {}, "orders": {}}}
			running := h.serve(h.source(c))
			s := h.subscribe(api.StreamOptions{})
			for i := range 60 {
				statements := script(random)
				h.run(t, statements)
				h.exec(fmt.Sprintf("INSERT INTO marks VALUES (%d)", i))
				if random.IntN(10) == 0 {
					h.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '" + h.Name + "'")
					require.Error(t, <-running.ended)
					running = h.serve(h.source(c))
					s = h.subscribe(api.StreamOptions{})
				}
				for {
					change := take(t, s, 1)[0]
					if change.Table.Name != "marks" {
						r.apply(change)
					} else if change.After[0].Int64() == int64(i) {
						break
					}
				}
				require.Equal(t, h.content(t), r.rows, strings.Join(statements, ";\n"))
			}
		})
	}
}
