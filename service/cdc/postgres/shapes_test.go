package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

func keyOf(c *api.Change) []string {
	names, _ := c.Key()
	return names
}

func TestAKeyThatIsAddedOrMoved(t *testing.T) {
	t.Parallel()
	for _, streaming := range []bool{false, true} {
		h := newHouse(t)
		h.exec(`CREATE TABLE n (a int NOT NULL, b int NOT NULL, c int NOT NULL); ALTER TABLE n REPLICA IDENTITY FULL;
			CREATE TABLE d (a int, b int, CONSTRAINT d_pkey PRIMARY KEY (a, b))`)
		c := h.config("n", "d")
		c.Streaming = streaming
		h.serve(h.source(c))
		s := h.subscribe(api.StreamOptions{})
		for _, step := range []struct {
			ddl string
			key []string
		}{
			{"SELECT 1", nil},
			{"ALTER TABLE n ADD PRIMARY KEY (a)", []string{"a"}},
			{"ALTER TABLE n DROP CONSTRAINT n_pkey, ADD PRIMARY KEY (b)", []string{"b"}},
			{"ALTER TABLE n DROP CONSTRAINT n_pkey, ADD PRIMARY KEY (c, a)", []string{"c", "a"}},
			{"ALTER TABLE n DROP CONSTRAINT n_pkey, ADD PRIMARY KEY (a, c)", []string{"a", "c"}},
			{"ALTER TABLE n DROP CONSTRAINT n_pkey", nil},
		} {
			h.exec(step.ddl + "; INSERT INTO n VALUES (1, 1, 1)")
			require.Equal(t, step.key, keyOf(take(t, s, 1)[0]), step.ddl)
			h.exec("DELETE FROM n")
			require.Equal(t, step.key, keyOf(take(t, s, 1)[0]), step.ddl)
		}
		h.transact("CREATE DOMAIN age AS int", "ALTER TABLE n ADD d age, ADD PRIMARY KEY (b)",
			"INSERT INTO n SELECT 0, g, 0, g FROM generate_series(1, 3000) g")
		for i, change := range take(t, s, 3000) {
			require.Equal(t, []string{"b"}, keyOf(change), "a transaction that is large enough to be streamed")
			require.Equal(t, int64(i+1), change.After[3].Any(), "a type that is as young")
			require.Equal(t, "age", change.Table.Columns[3].Type)
		}
		h.exec("INSERT INTO n VALUES (0, 0, 0, 7)")
		require.Equal(t, int64(7), take(t, s, 1)[0].After[3].Any())
		h.exec("INSERT INTO d VALUES (1, 2)")
		require.Equal(t, []string{"a", "b"}, keyOf(take(t, s, 1)[0]))
		h.exec("ALTER TABLE d DROP CONSTRAINT d_pkey, ADD PRIMARY KEY (b, a); INSERT INTO d VALUES (1, 3)")
		require.Equal(t, []string{"b", "a"}, keyOf(take(t, s, 1)[0]), "an identity that is the key in another order")
	}
}

func TestPublishedGeneratedColumnsAreInSnapshots(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if h.Text(t, "SHOW server_version_num") < "180000" {
		t.Skip("generated columns are published from version 18 on")
	}
	h.exec(`CREATE TABLE g (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED, thrice int GENERATED ALWAYS AS (n * 3) VIRTUAL);
		INSERT INTO g VALUES (1, 5)`)
	for name, how := range map[string]string{
		"every": "FOR TABLE g WITH (publish_generated_columns = stored)",
		"list":  "FOR TABLE g (id, twice)",
		"plain": "FOR TABLE g",
	} {
		h.exec("CREATE PUBLICATION " + name + " " + how)
		c := h.config()
		c.Publication, c.SlotName = name, h.Name+"_"+name
		running := h.serve(h.source(c))
		s := h.subscribe(api.StreamOptions{Start: api.Snapshot()})
		h.exec("INSERT INTO g VALUES ((SELECT max(id) + 1 FROM g), 6)")
		var snapshot, insert *api.Change
		for insert == nil {
			if change := take(t, s, 1)[0]; change.Op == api.OpSnapshot {
				snapshot = change
			} else {
				insert = change
			}
		}
		require.Equal(t, insert.Table.Columns, snapshot.Table.Columns, how)
		require.Len(t, snapshot.Table.Columns, map[string]int{"every": 3, "list": 2, "plain": 2}[name])
		require.NoError(t, running.stop())
	}
}

func TestATableThatIsAlteredBeforeTheSnapshotComes(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"dropped":   "ALTER TABLE orders DROP item",
		"renamed":   "ALTER TABLE orders RENAME item TO what",
		"schema":    "CREATE SCHEMA other; ALTER TABLE orders SET SCHEMA other",
		"forgotten": "ALTER TABLE orders DROP item; ALTER TABLE orders ADD what text",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.exec("CREATE TABLE aaa (id int PRIMARY KEY); INSERT INTO aaa SELECT n FROM generate_series(1, 1000) n; INSERT INTO orders VALUES (1, 'tea')")
			c := h.config()
			c.SnapshotFetchSize, c.StatusInterval = 100, unit.Duration(time.Hour) // the snapshot is to notice it by itself
			h.serve(h.source(c))
			s := h.subscribe(api.StreamOptions{Start: api.Snapshot(), Buffer: 1})
			take(t, s, 1)
			h.exec(statement)
			_, err := until(t, s)
			require.ErrorContains(t, err, "before the snapshot came to it")
			require.Equal(t, errs.Unavailable, errs.KindOf(err))
			require.True(t, errs.Retryable(err))
		})
	}
}
