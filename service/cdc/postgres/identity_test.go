package postgres_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

func TestTablesThatCannotBeUpdatedAnyMoreAreNamed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(`CREATE TABLE bare (id int); CREATE TABLE whole (id int); ALTER TABLE whole REPLICA IDENTITY FULL;
		CREATE TABLE late (id int PRIMARY KEY DEFERRABLE);
		CREATE TABLE parts (id int) PARTITION BY LIST (id); CREATE TABLE part PARTITION OF parts DEFAULT; ALTER TABLE parts REPLICA IDENTITY FULL`)
	source, log := h.logged(h.config("users", "bare", "whole", "late", "parts"))
	h.serve(source)
	const warning = "the server refuses updates and deletes of a table because it is published"
	require.Equal(t, 3, strings.Count(log.String(), warning), log)
	for _, name := range []string{"bare", "late", "part"} {
		require.Contains(t, log.String(), `table="\"public\".\"`+name+`\""`)
		_, err := h.Pool.ExecContext(t.Context(), "DELETE FROM "+name)
		require.ErrorContains(t, err, "does not have a replica identity and publishes deletes")
		h.exec("ALTER TABLE " + name + " REPLICA IDENTITY FULL; DELETE FROM " + name)
	}
	h.exec("ALTER TABLE users DROP CONSTRAINT users_pkey")
	eventually(t, func() bool { return strings.Contains(log.String(), `table="\"public\".\"users\""`) }, "it says so while it runs")
	require.Equal(t, 4, strings.Count(log.String(), warning), log)
}

// From version 18 on the server refuses updates if generated columns identify rows and are not published.
func TestWritersOfGeneratedColumnsAreNotRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec(`CREATE TABLE made (id int PRIMARY KEY, n int, twice int GENERATED ALWAYS AS (n * 2) STORED); ALTER TABLE made REPLICA IDENTITY FULL;
		CREATE TABLE keyed (n int, twice int GENERATED ALWAYS AS (n * 2) STORED PRIMARY KEY);
		CREATE TABLE later (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)`)
	h.exec("CREATE PUBLICATION " + h.Name + "_pub FOR TABLE made") // as older versions have made it
	h.serve(h.source(h.config("made", "keyed", "later")))
	s := h.subscribe(api.StreamOptions{})
	h.exec("INSERT INTO made VALUES (1, 1); UPDATE made SET n = 2; DELETE FROM made")
	h.exec("INSERT INTO keyed VALUES (1); UPDATE keyed SET n = 2; DELETE FROM keyed")
	h.exec("INSERT INTO later VALUES (1); ALTER TABLE later REPLICA IDENTITY FULL; UPDATE later SET id = 2; DELETE FROM later")
	changes := take(t, s, 9)
	if h.older(t, 18) {
		return
	}
	// Each line above was one transaction.
	require.Equal(t, "1 update made 1 1 2 -> 1 2 4", lines(changes)[1])
	require.Equal(t, "2 delete keyed <nil> 4 -> !", lines(changes)[5])
	require.Equal(t, "1 update later 1 2 -> 2 4", lines(changes)[7])
}

func TestTablesWhoseWritersWouldBeRefusedAreNotPublished(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if h.older(t, 18) {
		t.Skip("columns are virtual from version 18 on")
	}
	h.exec("CREATE TABLE made (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL); ALTER TABLE made REPLICA IDENTITY FULL")
	c := h.config("users", "made")
	err := h.refusal(c)
	require.ErrorContains(t, err, `table "public"."made" is not published, because the server would refuse its updates and deletes to every writer: `+
		`it has REPLICA IDENTITY FULL and virtual generated columns: type ALTER TABLE "public"."made" REPLICA IDENTITY DEFAULT if it has a primary key`)
	require.True(t, errs.Retryable(err))
	h.exec("INSERT INTO made VALUES (1); UPDATE made SET id = 2; ALTER TABLE made REPLICA IDENTITY DEFAULT")
	h.serve(h.source(c))
	h.exec("UPDATE made SET id = 3")

	h.exec(`CREATE TABLE foreign_ (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED); ALTER TABLE foreign_ REPLICA IDENTITY FULL;
		CREATE PUBLICATION mine FOR TABLE foreign_`)
	other := h.another()
	c = other.config("users")
	c.Publication, c.Tables, c.SlotName = "mine", nil, h.Name+"_2"
	source, log := other.logged(c)
	other.serve(source)
	require.Contains(t, log.String(), "generated columns identify its rows (twice): type ALTER PUBLICATION … SET (publish_generated_columns = stored)")
}
