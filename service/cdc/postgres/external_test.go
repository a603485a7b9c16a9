package postgres_test

import (
	"iter"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	cdcpostgres "github.com/wippy-cdc/runtime/service/cdc/postgres"
	"github.com/wippy-cdc/runtime/service/cdc/source"
)

// app is what an app declares, and what it knows of its slots.
type app struct {
	*house
	entries []*registry.Entry
	slots   *cdcpostgres.Slots
}

func newApp(t *testing.T) *app {
	t.Helper()
	a := &app{house: newHouse(t)}
	a.slots = cdcpostgres.NewSlots(func() iter.Seq[*registry.Entry] { return slices.Values(a.entries) }, func(name string) (string, bool) {
		return map[string]string{"DATABASE": a.Name}[name], name == "DATABASE"
	})
	return a
}

// engine makes the engine of an entry, which is declared from then on.
func (a *app) engine(name string, config *api.PostgresConfig) *cdcpostgres.Engine {
	id := registry.ID{Namespace: "app", Name: name}
	a.entries = append(a.entries, &registry.Entry{ID: id, Kind: api.KindPostgres, Config: config})
	settings := a.settings()
	settings.Slots = a.slots
	return cdcpostgres.New(id, config, settings)
}

// use serves the source of an engine for a moment.
func (a *app) use(engine *cdcpostgres.Engine) {
	a.t.Helper()
	a.catalog.Declare(engine)
	require.NoError(a.t, a.serve(&subject{source.New(engine, a.catalog, a.settings().Logger), engine}).stop())
	a.catalog.Remove(engine.Info().ID)
}

// Only what the app has used since it was started is its own, and what another entry goes on with is that entry's.
func TestExternalStateIsReleased(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	first := a.engine("first", a.config("users"))
	a.use(first)
	restarted := newApp(t)
	restarted.house = a.house
	unused := restarted.engine("first", a.config("users"))
	restarted.entries = nil
	require.ErrorContains(t, unused.External().Release(t.Context()), "is left on the server, because this app has not used it")

	second := a.engine("second", a.config("orders"))
	require.Equal(t, first.External().Place(), second.External().Place())
	a.entries = a.entries[1:]
	require.NoError(t, first.External().Release(t.Context()))
	require.Equal(t, "slot x_pub checkpoint", a.left(), "the second goes on with it")
	broken := a.config("users")
	broken.Database, broken.DatabaseEnv = "", "NOWHERE"
	a.engine("broken", broken)
	require.ErrorContains(t, second.External().Release(t.Context()), "it may be that of app:broken, whose server is not known")

	a.entries = nil
	require.NoError(t, second.External().Release(t.Context()))
	require.Empty(t, a.left())
	a.exec("SELECT pg_create_logical_replication_slot('" + a.Name + "', 'pgoutput')")
	require.ErrorContains(t, second.External().Release(t.Context()), "this app has not used it", "it is another of the same name")
}

// What counts is where an address leads to, not how it is written.
func TestPlacesOfExternalState(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	plain := a.engine("plain", a.config("users")).External().Place()
	byVariable := a.config("users")
	byVariable.Database, byVariable.DatabaseEnv = "", "DATABASE"
	require.Equal(t, plain, a.engine("variable", byVariable).External().Place())
	named := a.config()
	require.NotEqual(t, plain, a.engine("named", named).External().Place(), "it has no publication of its own")

	db := registry.ID{Namespace: "app", Name: "db"}
	byResource := a.config("users")
	address := *byResource.Address()
	byResource.DBResource, byResource.Host, byResource.Port, byResource.Database = db, "", 0, ""
	byResource.Username, byResource.Password = "", ""
	require.Nil(t, a.engine("early", byResource).External(), "the database is not declared")
	entry := &registry.Entry{ID: db, Kind: sqlapi.KindPostgres, Config: &sqlapi.PostgresConfig{PostgresAddress: address}}
	a.entries = append(a.entries, entry)
	external := a.engine("resource", byResource).External()
	require.Equal(t, plain, external.Place())
	a.use(a.engine("user", a.config("users")))
	entry.Config = new(sqlapi.SQLiteConfig)
	require.Nil(t, a.engine("late", byResource).External(), "it is no Postgres database")
	a.entries = nil
	require.NoError(t, external.Release(t.Context()), "the address is that of before")
	require.Equal(t, "everything", a.left())

	without := cdcpostgres.New(cdcID, a.config("users"), a.settings())
	require.Nil(t, without.External(), "nothing tells whose the slot is")
}
