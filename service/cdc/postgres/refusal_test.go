package postgres_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/pgtest"
	"github.com/wippy-cdc/runtime/service/cdc/source"
)

func TestWhatASourceRefuses(t *testing.T) {
	h := newHouse(t)
	h.Role(t, h.Name+"_plain", "open-sesame", "")
	h.exec("SELECT pg_create_physical_replication_slot('" + h.Name + "_physical')")
	h.exec("SELECT pg_create_logical_replication_slot('" + h.Name + "_other', 'test_decoding')")
	defer h.exec("SELECT pg_drop_replication_slot('" + h.Name + "_physical')")
	for name, c := range map[string]struct {
		change func(c *api.PostgresConfig)
		kind   errs.Kind
		again  bool
		text   string
	}{
		"password":    {func(c *api.PostgresConfig) { c.Password = "wrong-" + pgtest.Password }, errs.PermissionDenied, true, "password authentication failed"},
		"host":        {func(c *api.PostgresConfig) { c.Host = "no-such-host.invalid" }, errs.Unavailable, true, "no-such-host.invalid"},
		"port":        {func(c *api.PostgresConfig) { c.Port = 1 }, errs.Unavailable, true, "connection refused"},
		"database":    {func(c *api.PostgresConfig) { c.Database = "nowhere" }, errs.NotFound, true, `database "nowhere" does not exist`},
		"sslmode":     {func(c *api.PostgresConfig) { c.Options = map[string]string{"sslmode": "x"} }, errs.Invalid, false, "sslmode"},
		"publication": {func(c *api.PostgresConfig) { c.Publication, c.Tables = "none", nil }, errs.Invalid, false, `publication "none" does not exist: type CREATE PUBLICATION "none" FOR TABLE`},
		"table":       {func(c *api.PostgresConfig) { c.Tables = []string{"nothing"} }, errs.Unavailable, true, `table "nothing" does not exist: create it`},
		"role":        {func(c *api.PostgresConfig) { c.Username, c.Password = h.Name+"_plain", "open-sesame" }, errs.PermissionDenied, false, `may not replicate: type ALTER ROLE "` + h.Name + `_plain" REPLICATION as a superuser`},
		"physical":    {func(c *api.PostgresConfig) { c.SlotName = h.Name + "_physical" }, errs.Invalid, false, "is not one of pgoutput: choose another slot_name"},
		"plug-in":     {func(c *api.PostgresConfig) { c.SlotName = h.Name + "_other" }, errs.Invalid, false, "is not one of pgoutput"},
	} {
		t.Run(name, func(t *testing.T) {
			config := h.config("users")
			config.SlotName = h.Name + "_" + "refused"
			c.change(config)
			err := h.refusal(config)
			require.ErrorContains(t, err, c.text)
			require.ErrorContains(t, err, `cdc: source "app:cdc": `)
			require.Equal(t, c.kind, errs.KindOf(err), err)
			require.Equal(t, c.again, errs.Retryable(err), err)
			require.NotContains(t, err.Error(), "open-sesame")
			require.Equal(t, api.StateFaulted, h.info().State)
			require.EqualError(t, err, `cdc: source "app:cdc": `+h.info().Err.Error(), "as on SQLite")
			_, err = h.catalog.Subscribe(t.Context(), cdcID, api.StreamOptions{})
			require.Equal(t, errs.Unavailable, errs.KindOf(err))
		})
	}
}

func TestSlotsThatFailOver(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	require.NoError(t, h.serve(h.source(c)).stop())
	c.Failover = true
	if h.Text(t, "SHOW server_version_num") < "170000" {
		require.ErrorContains(t, h.refusal(c), "slots fail over from version 17 on: remove the field failover", "with a slot")
		h.exec("SELECT pg_drop_replication_slot('" + h.Name + "')")
		require.ErrorContains(t, h.refusal(c), "slots fail over from version 17 on: remove the field failover")
		return
	}
	for range 2 { // a slot that exists, and a new one
		running := h.serve(h.source(c))
		require.Equal(t, "true", h.Text(t, "SELECT failover FROM pg_replication_slots WHERE slot_name = '"+h.Name+"'"))
		s := h.subscribe(api.StreamOptions{})
		h.exec("INSERT INTO users VALUES ((SELECT count(*) FROM users), 'a')")
		take(t, s, 1)
		require.NoError(t, running.stop())
		h.exec("SELECT pg_drop_replication_slot('" + h.Name + "')")
	}
}

func TestServersThatAreNotPrepared(t *testing.T) {
	t.Parallel()
	h := in(t, pgtest.NewServer(t, map[string]string{"wal_level": "replica"}))
	require.ErrorContains(t, h.refusal(h.config("users")), "wal_level is replica: set wal_level = logical in postgresql.conf")
	full := in(t, pgtest.NewServer(t, map[string]string{"max_replication_slots": "1"}))
	full.exec("SELECT pg_create_logical_replication_slot('taken', 'pgoutput')")
	err := full.refusal(full.config("users"))
	require.ErrorContains(t, err, "max_replication_slots is 1, and all are in use: raise it and restart the server, or free one")
	require.True(t, errs.Retryable(err))
}

func TestAnOrdinaryRoleWithReplicationWillDo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	role := h.Name + "_worker"
	h.Role(t, role, "open-sesame", "REPLICATION")
	h.exec("GRANT ALL ON SCHEMA public TO " + role + "; GRANT CREATE ON DATABASE " + h.Name + " TO " + role + "; ALTER TABLE users OWNER TO " + role)
	c := h.config("users")
	c.Username, c.Password = role, "open-sesame"
	h.serve(h.source(c))
	s := h.subscribe(api.StreamOptions{})
	h.exec("INSERT INTO users VALUES (1, 'a')")
	take(t, s, 1)
	denied := h.config("orders")
	denied.Username, denied.Password, denied.SlotName = role, "open-sesame", h.Name+"_2"
	other := in2(h)
	err := other.refusal(denied)
	require.Equal(t, errs.PermissionDenied, errs.KindOf(err))
	require.ErrorContains(t, err, "the role must own the tables")
}

// in2 returns a second house for sources on the database of h.
func in2(h *house) *house {
	other := *h
	other.catalog = source.NewCatalog()
	return &other
}

func TestASlotThatIsInUse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config("users")
	h.serve(h.source(c))
	s := h.subscribe(api.StreamOptions{})
	h.exec("INSERT INTO users VALUES (1, 'a')")
	take(t, s, 1)

	other := in2(h)
	second := other.serve(other.source(c))
	other.subscribe(api.StreamOptions{})
	err := <-second.ended
	require.Regexp(t, `^cdc: source "app:cdc": slot ".*" is in use by process \d+ of the server \(wippy from 127.0.0.1.*\): stop it, or choose another slot_name$`, err)
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	h.exec("INSERT INTO users VALUES (2, 'b')")
	take(t, s, 1)
}

func TestAnInvalidatedSlotFailsForGood(t *testing.T) {
	t.Parallel()
	h := in(t, pgtest.NewServer(t, map[string]string{"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}))
	c := h.config("users")
	source := h.source(c)
	require.NoError(t, h.serve(source).stop())
	for range 4 {
		h.exec("SELECT pg_switch_wal(); CREATE TABLE x AS SELECT 1; DROP TABLE x; CHECKPOINT")
	}
	require.Equal(t, "lost", h.Text(t, "SELECT wal_status FROM pg_replication_slots"))
	err := h.refusal(c)
	require.ErrorContains(t, err, "is lost: the server has removed WAL that it needs")
	require.ErrorContains(t, err, "type SELECT pg_drop_replication_slot('"+h.Name+"')")
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.False(t, errs.Retryable(err))
}

func TestASlotThatWasNotReadForTooLong(t *testing.T) {
	t.Parallel()
	if pgtest.New(t).Text(t, "SHOW server_version_num") < "180000" {
		t.Skip("servers give such slots up from version 18 on")
	}
	h := in(t, pgtest.NewServer(t, map[string]string{"idle_replication_slot_timeout": "1s"}))
	c := h.config("users")
	require.NoError(t, h.serve(h.source(c)).stop())
	h.exec("SELECT pg_sleep(1.5); CHECKPOINT")
	require.ErrorContains(t, h.refusal(c), "is lost: it was not read for as long as idle_replication_slot_timeout allows")
}

func TestDeletingASourceLeavesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	source := h.source(h.config("users"))
	running := h.serve(source)
	s := h.subscribe(api.StreamOptions{})
	h.exec("INSERT INTO users VALUES (1, 'a')")
	take(t, s, 1)
	left := func() string {
		return h.Text(t, `SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) || ' ' ||
			(SELECT count(*) FROM pg_publication) || ' ' || (SELECT count(*) FROM wippy_cdc_offsets)`)
	}
	require.NoError(t, running.stop())
	require.Equal(t, "1 1 1", left())
	require.NoError(t, source.ReleaseUsed(t.Context()))
	require.Equal(t, "0 0 0", left())
	require.NoError(t, source.ReleaseUsed(t.Context()), "it is idempotent")

	foreign := h.config()
	require.NoError(t, h.serve(h.source(foreign)).stop())
	require.NoError(t, h.subject(cdcID, foreign, h.settings()).ReleaseUsed(context.WithoutCancel(t.Context())))
	require.Equal(t, "0 1 0", left(), "the publication is not its own")
}

func TestTheTablesOfAPublicationFollowTheEntry(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	require.NoError(t, h.serve(h.source(h.config("users"))).stop())
	h.serve(h.source(h.config("orders")))
	s := h.subscribe(api.StreamOptions{})
	h.exec("INSERT INTO users VALUES (1, 'a'); INSERT INTO orders VALUES (1, 'b')")
	require.Equal(t, []string{"0 insert orders -> 1 b !"}, lines(take(t, s, 1)))
	require.Equal(t, "orders", h.Text(t, "SELECT string_agg(tablename, ',') FROM pg_publication_tables"))
}
