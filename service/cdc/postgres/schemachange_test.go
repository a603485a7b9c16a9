package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// until takes changes until the stream ends, and returns the IDs that have come and why it has ended.
func until(t *testing.T, s api.Stream) (all []int64, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		c, err := s.Next(ctx)
		if err != nil {
			require.NoError(t, ctx.Err(), "the stream goes on")
			return all, err
		}
		all = append(all, c.After[0].Int64())
	}
}

func TestAPublicationThatIsDroppedAndMadeAnew(t *testing.T) {
	t.Parallel()
	for name, interval := range map[string]time.Duration{"looked at": 300 * time.Millisecond, "noticed": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.exec("CREATE PUBLICATION kp FOR TABLE users")
			c := h.config()
			c.Publication, c.StatusInterval = "kp", unit.Duration(interval)
			h.serve(h.source(c))
			s := h.subscribe(api.StreamOptions{})
			h.insert(1)
			require.Equal(t, []int64{1}, ids(t, s, 1))
			h.exec("DROP PUBLICATION kp")
			h.insert(2)
			h.exec("CREATE PUBLICATION kp FOR TABLE users")
			h.insert(3)
			after, err := until(t, s)
			require.Empty(t, after, "what comes behind a gap is not delivered without a word")
			require.ErrorContains(t, err, "kp")
		})
	}
}

func TestATableThatLeavesAPublication(t *testing.T) {
	t.Parallel()
	for _, ddl := range []string{
		"ALTER PUBLICATION kp DROP TABLE orders", "ALTER PUBLICATION kp DROP TABLE users; ALTER PUBLICATION kp ADD TABLE users",
		"ALTER PUBLICATION kp SET (publish = 'insert')", "DROP TABLE orders", "ALTER TABLE orders RENAME TO former",
	} {
		t.Run(ddl, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.exec("CREATE PUBLICATION kp FOR TABLE users, orders; CREATE TABLE more (id int PRIMARY KEY)")
			c := h.config()
			c.Publication = "kp"
			source := h.source(c)
			running := h.serve(source)
			s := h.subscribe(api.StreamOptions{})
			h.exec("ALTER PUBLICATION kp ADD TABLE more; ALTER TABLE users ADD note text; INSERT INTO users VALUES (1, 'x')")
			require.Equal(t, []int64{1}, ids(t, s, 1), "tables may come, and change")
			h.exec(ddl)
			err := h.faulted(running)
			require.ErrorContains(t, err, "resubscribe with snapshot = true")
			require.True(t, errs.Retryable(err))
			_, ended := until(t, s)
			require.EqualError(t, ended, err.Error())
			h.serve(source)
			s = h.subscribe(api.StreamOptions{})
			h.exec("INSERT INTO users VALUES (2, 'x')")
			require.Equal(t, []int64{2}, ids(t, s, 1), "it was told once")
		})
	}
}

func TestInheritance(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec("CREATE TABLE par (id int PRIMARY KEY); CREATE TABLE chi (x int) INHERITS (par); INSERT INTO par VALUES (1); INSERT INTO chi VALUES (2, 2)")
	// An earlier run may have published the children as well.
	h.exec("CREATE PUBLICATION " + h.Name + "_pub FOR TABLE par")
	running := h.serve(h.source(h.config("par")))
	s := h.subscribe(api.StreamOptions{Start: api.Snapshot()})
	require.Equal(t, []string{"0 snapshot par -> 1 !"}, lines(take(t, s, 1)))
	h.exec("INSERT INTO chi VALUES (3, 3); CREATE TABLE other () INHERITS (par); INSERT INTO par VALUES (4)")
	require.Equal(t, []string{"0 insert par -> 4 !"}, lines(take(t, s, 1)))
	require.NoError(t, running.stop())
	h.serve(h.source(h.config("par", "chi")))
	s = h.subscribe(api.StreamOptions{})
	h.exec("INSERT INTO chi VALUES (5, 5)")
	require.Equal(t, []string{"0 insert chi -> 5 5 !"}, lines(take(t, s, 1)))
}

// What a table becomes without changes is told, or makes no copy wrong.
func TestWhatNoChangeTells(t *testing.T) {
	t.Parallel()
	const parts = `CREATE TABLE p (id int PRIMARY KEY, x int) PARTITION BY RANGE (id);
		CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
		CREATE TABLE plain (id int PRIMARY KEY, x int); CREATE TABLE loose (id int PRIMARY KEY, x int);
		INSERT INTO p VALUES (1), (11); INSERT INTO plain VALUES (1)`
	for ddl, want := range map[string]string{
		"INSERT INTO loose VALUES (21); ALTER TABLE p ATTACH PARTITION loose FOR VALUES FROM (20) TO (30)":                                                       `partition "public"."loose" was attached to table "public"."p" with rows in it`,
		"BEGIN; CREATE TABLE p3 (id int PRIMARY KEY, x int); INSERT INTO p3 VALUES (21); ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (20) TO (30); COMMIT": `partition "public"."p3" was attached`,
		"ALTER TABLE p DETACH PARTITION p1": `partition "public"."p1" of table "public"."p" was detached or dropped`,
		"DROP TABLE p2":                     `partition "public"."p2" of table "public"."p" was detached or dropped`,
		"ALTER TABLE p DETACH PARTITION p1; ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (10)": `partition "public"."p1" of table "public"."p" was detached`,
		"TRUNCATE p1":                                     `partition "public"."p1" of table "public"."p" was truncated or rewritten`,
		"ALTER TABLE p ADD y int DEFAULT 7":               `a column with a default was added to table "public"."p"`,
		"ALTER TABLE plain ADD y int DEFAULT 7":           `a column with a default was added to table "public"."plain"`,
		"ALTER TABLE plain ADD y float DEFAULT random()":  `table "public"."plain" was rewritten`,
		"ALTER TABLE plain ADD y serial":                  `table "public"."plain" was rewritten`,
		"ALTER TABLE plain ALTER x TYPE int USING id + 1": `table "public"."plain" was rewritten`,
		"ALTER TABLE p ALTER x TYPE bigint USING id + 1":  `was rewritten`,
		"CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (30); INSERT INTO p VALUES (21)":                                                                                       "",
		"CREATE TABLE p3 PARTITION OF p FOR VALUES FROM (20) TO (30) PARTITION BY RANGE (id); CREATE TABLE p4 PARTITION OF p3 FOR VALUES FROM (20) TO (25); INSERT INTO p VALUES (21)": "",
		"ALTER TABLE p ATTACH PARTITION loose FOR VALUES FROM (20) TO (30)":                                                                                                            "",
		"TRUNCATE p":     "",
		"TRUNCATE plain": "", "VACUUM FULL plain": "", "ALTER TABLE plain ADD y int": "", "ALTER TABLE plain ADD y int DEFAULT NULL": "",
		"ALTER TABLE plain DROP x": "", "ALTER TABLE plain RENAME x TO y": "", "ALTER TABLE plain ALTER x SET DEFAULT 3": "", "CREATE INDEX ON p (x)": "", "ANALYZE p": "",
		"ALTER TABLE plain ADD g int GENERATED ALWAYS AS (id) STORED": "from 18 on",
	} {
		t.Run(ddl, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.exec(parts)
			if want == "from 18 on" { // when generated columns are published
				want = ""
				if h.Text(t, "SHOW server_version_num") >= "180000" {
					want = `table "public"."plain" was rewritten`
				}
			}
			c := h.config("p", "plain", "users")
			running := h.serve(h.source(c))
			s := h.subscribe(api.StreamOptions{Tables: []string{"users"}})
			h.exec(ddl)
			if want == "" {
				// Each look comes behind a checkpoint: when there is another one, the look before has ended.
				saved := func() string {
					return h.Text(t, "SELECT max(lsn) FROM wippy_cdc_offsets")
				}
				h.insert(1)
				take(t, s, 1)
				eventually(t, func() bool { return h.Text(t, "SELECT to_regclass('wippy_cdc_offsets')") != "" }, "there is a checkpoint")
				for i := range 2 {
					before := saved()
					h.insert(2 + i)
					take(t, s, 1)
					eventually(t, func() bool { return saved() != before }, "there is another one")
				}
				require.Equal(t, api.StateRunning, h.info().State)
				return
			}
			err := h.faulted(running)
			require.ErrorContains(t, err, want)
			require.True(t, errs.Retryable(err))
			_, ended := until(t, s)
			require.EqualError(t, ended, err.Error())
		})
	}
}

func TestTheNextStreamHearsOfWhatHappenedWithoutOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.insert(1)
	source, said := h.logging(h.config("users", "orders"))
	running := h.serve(source)
	h.exec("ALTER TABLE users ADD y int DEFAULT 7")
	eventually(t, func() bool { return said.has("no stream is open, the next one will be told") }, "it is noticed")
	s := h.subscribe(api.StreamOptions{Start: api.Snapshot()})
	require.Equal(t, []string{"0 snapshot users -> 1 x 7 !"}, lines(take(t, s, 1)), "this one has everything")
	_, err := h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{})
	require.ErrorContains(t, err, `cdc: source "app:cdc": changes were lost: publication "`+h.Name+`_pub": a column with a default was added to table "public"."users"`)
	require.True(t, errs.Retryable(err))
	h.subscribe(api.StreamOptions{}).Close()

	require.NoError(t, running.stop())
	h.exec("ALTER TABLE orders ADD y int DEFAULT 7")
	h.serve(source)
	_, err = h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{})
	require.ErrorContains(t, err, `a column with a default was added to table "public"."orders"`, "it happened between two runs")
	h.subscribe(api.StreamOptions{}).Close()
}
