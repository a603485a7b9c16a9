package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/internal/pgtest"
	cdcpostgres "github.com/wippy-cdc/runtime/service/cdc/postgres"
	"github.com/wippy-cdc/runtime/service/cdc/source"
)

// left lists the slots of the database, its publications and the rows of its checkpoints.
func (h *house) left() string {
	h.t.Helper()
	h.exec("CREATE TABLE IF NOT EXISTS wippy_cdc_offsets (slot text PRIMARY KEY, lsn pg_lsn NOT NULL, updated_at timestamptz NOT NULL DEFAULT now())")
	return h.Text(h.t, `SELECT concat_ws(' ', (SELECT 'slot' FROM pg_replication_slots WHERE database = current_database()),
		(SELECT string_agg(replace(pubname, current_database(), 'x'), ' ' ORDER BY pubname) FROM pg_publication),
		(SELECT 'checkpoint' FROM wippy_cdc_offsets WHERE slot = current_database()))`)
}

// used makes a source that has been ready and has taken something.
func (h *house) used(config *api.PostgresConfig) *subject {
	h.t.Helper()
	source := h.source(config)
	running := h.serve(source)
	s := h.subscribe(api.StreamOptions{})
	h.exec("INSERT INTO users VALUES ((SELECT count(*) FROM users), 'a')")
	take(h.t, s, 1)
	require.NoError(h.t, running.stop())
	return source
}

func TestReleaseSparesTheSlotOfAnotherDatabase(t *testing.T) {
	t.Parallel()
	h, other := newHouse(t), newHouse(t)
	require.NoError(t, other.serve(other.source(other.config("users"))).stop())
	c := h.config("users")
	c.SlotName = other.Name
	h.exec("CREATE PUBLICATION " + other.Name + "_pub FOR TABLE users")
	require.NoError(t, h.source(c).ReleaseUsed(t.Context()))
	require.NoError(t, h.source(c).ReleaseUnused(t.Context()))
	require.Equal(t, "slot x_pub checkpoint", other.left())
	require.Empty(t, h.left(), "the publication was made here")
}

func TestReleaseSparesTheSlotOfAnotherPlugin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.exec("SELECT pg_create_logical_replication_slot('" + h.Name + "', 'test_decoding')")
	require.NoError(t, h.source(h.config("users")).ReleaseUsed(t.Context()))
	require.Equal(t, "slot", h.left())
}

func TestReleaseSparesASlotThatAnotherProgramUses(t *testing.T) {
	t.Parallel()
	for _, reads := range []bool{true, false} {
		h := newHouse(t)
		used := h.used(h.config("users"))
		another := *h
		another.catalog = source.NewCatalog()
		another.serve(another.source(h.config("users")))
		if reads {
			another.subscribe(api.StreamOptions{})
			eventually(t, func() bool {
				return h.Text(t, "SELECT count(*) FROM pg_replication_slots WHERE active AND database = current_database()") == "1"
			}, "it reads")
		}
		err := used.ReleaseUsed(t.Context())
		require.ErrorContains(t, err, "is left on the server, because it is in use by")
		require.ErrorContains(t, err, "type SELECT pg_drop_replication_slot('"+h.Name+"')")
		require.Equal(t, "slot x_pub checkpoint", h.left())
	}
}

// Sources of the same app that hold their slots are not taken for another program.
func TestReleaseBesideASourceThatHolds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	source := h.used(h.config("users"))
	c := h.config("orders")
	c.SlotName += "_2"
	h.catalog.Remove(cdcID)
	second := cdcID
	second.Name = "second"
	h.catalog.Declare(cdcpostgres.New(second, c, h.settings()))
	h.serve(h.subject(second, c, h.settings()))
	require.NoError(t, source.ReleaseUsed(t.Context()))
	require.Equal(t, "slot x_2_pub", h.left())
}

func TestReleaseLeavesToSuccessorsWhatTheyGoOnWith(t *testing.T) {
	t.Parallel()
	h, elsewhere := newHouse(t), newHouse(t)
	source := h.used(h.config("users"))
	alias, foreign := h.config("orders"), elsewhere.config("users")
	alias.Host, foreign.SlotName = "localhost", h.Name
	for _, successor := range []*api.PostgresConfig{h.config("users"), alias} {
		require.NoError(t, source.ReleaseUsed(t.Context(), successor))
		require.Equal(t, "slot x_pub checkpoint", h.left())
	}
	named := h.config()
	require.NoError(t, source.ReleaseUsed(t.Context(), named))
	require.Equal(t, "slot everything checkpoint", h.left(), "the successor reads another publication")
	require.NoError(t, source.ReleaseUsed(t.Context(), foreign))
	require.Equal(t, "everything", h.left())
}

// A server that is away may be the one that the slot is on.
func TestReleaseAsksTheServerOfASuccessor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	source := h.used(h.config("users"))
	copied := pgtest.NewServer(t, nil)
	copied.Exec(t, "CREATE DATABASE "+h.Name)
	successor := h.config("users")
	successor.Host, successor.Port, successor.Username, successor.Password = copied.Address()
	require.NoError(t, source.ReleaseUsed(t.Context(), successor))
	require.Empty(t, h.left(), "it is another server")
	source = h.used(h.config("users"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	successor.Port = 1
	require.Error(t, source.ReleaseUsed(ctx, successor), "it is tried again")
	successor.Options = map[string]string{"sslmode": "nonsense"}
	require.ErrorContains(t, source.ReleaseUsed(t.Context(), successor), "find out whether another entry goes on with the slot: options: ")
	require.Equal(t, "slot x_pub checkpoint", h.left())
}

func TestReleaseDropsThePublicationThatASourceHadBefore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	named := h.config()
	h.used(h.config("users"))
	source := h.used(named)
	require.Equal(t, "slot everything x_pub checkpoint", h.left())
	require.NoError(t, source.ReleaseUsed(t.Context()))
	require.Equal(t, "everything", h.left())

	named.Publication = h.Name + "_pub"
	h.exec("CREATE PUBLICATION " + named.Publication + " FOR TABLE users")
	require.NoError(t, h.used(named).ReleaseUsed(t.Context()))
	require.Equal(t, "everything x_pub", h.left(), "one that the entry names is not its own")
}

func TestReleasingASourceThatWasNeverReady(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	source := h.used(h.config("users"))
	require.ErrorContains(t, source.ReleaseUnused(t.Context()), "is left on the server, because this app has not used it")
	require.Equal(t, "slot x_pub checkpoint", h.left())
	require.NoError(t, source.ReleaseUnused(t.Context(), h.config()), "it is for the successor to care")
	require.Equal(t, "slot everything x_pub checkpoint", h.left())
	h.exec("SELECT pg_drop_replication_slot('" + h.Name + "')")
	require.NoError(t, source.ReleaseUnused(t.Context()))
	require.Equal(t, "everything", h.left())
}

func TestReleasingALostSlotThatWasNeverReady(t *testing.T) {
	t.Parallel()
	h := in(t, pgtest.NewServer(t, map[string]string{"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}))
	source := h.used(h.config("users"))
	eventually(t, func() bool {
		h.exec("SELECT pg_switch_wal(); CREATE TABLE x AS SELECT 1; DROP TABLE x; CHECKPOINT")
		return h.Text(t, "SELECT wal_status FROM pg_replication_slots") == "lost"
	}, "the slot is lost")
	require.NoError(t, source.ReleaseUnused(t.Context()))
	require.Empty(t, h.left())
}
