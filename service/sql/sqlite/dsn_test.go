package sqlite_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/unit"
	"github.com/wippy-cdc/runtime/service/sql/sqlite"
)

func TestNamesOfDatabasesAsGoProgramsWriteThem(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]sqlapi.SQLiteConfig{
		"app.db":                       {File: "app.db"},
		"/a/b c.db":                    {File: "/a/b c.db"},
		":memory:":                     {File: ":memory:"},
		"file::memory:":                {File: ":memory:"},
		"file:a%20b.db":                {File: "a b.db"},
		"file:///a/b.db":               {File: "/a/b.db"},
		"file://localhost/a/b.db":      {File: "/a/b.db"},
		"app.db?_fk=1&_timeout=250":    {File: "app.db", ForeignKeys: true, BusyTimeout: unit.Duration(250 * time.Millisecond)},
		"app.db?_foreign_keys=off":     {File: "app.db"},
		"app.db?_sync=2":               {File: "app.db", Synchronous: "full"},
		"app.db?_synchronous=EXTRA":    {File: "app.db", Synchronous: "extra"},
		"app.db?_journal=DELETE&_rt=1": {File: "app.db", Options: map[string]string{"journal_mode": "DELETE", "recursive_triggers": "1"}},
		"app.db?_pragma=busy_timeout(7000)&_pragma=Cache_Size%3D-8000&_pragma=foreign_keys(yes)": {
			File: "app.db", BusyTimeout: unit.Duration(7 * time.Second), ForeignKeys: true, Options: map[string]string{"cache_size": "-8000"},
		},
	} {
		var cfg sqlapi.SQLiteConfig
		require.NoError(t, sqlite.ParseDSN(name, &cfg, new(sqlite.Program)), name)
		require.Equal(t, want, cfg, name)
	}
	var program sqlite.Program
	require.NoError(t, sqlite.ParseDSN("app.db?_loc=auto&_txlock=immediate", new(sqlapi.SQLiteConfig), &program))
	require.Equal(t, []string{"auto", "immediate"}, []string{program.Location, program.TxLock})
}

func TestParametersThatSayNothingHere(t *testing.T) {
	t.Parallel()
	const removeIt = ": a database that is captured does not take this parameter: remove it"
	for name, want := range map[string]string{
		"app.db?cache=shared":        `sqlite: database "app.db?cache=shared": cache` + removeIt,
		"app.db?mode=ro":             "mode" + removeIt,
		"app.db?_mutex=no":           "_mutex" + removeIt,
		"app.db?_auth_user=boss":     "_auth_user" + removeIt,
		"app.db?_timeout=5s":         `_timeout: "5s" is not a number of milliseconds`,
		"app.db?_fk=perhaps":         `_fk: "perhaps" is neither on nor off`,
		"app.db?_pragma=synchronous": `_pragma: "synchronous" is not a pragma: write _pragma=name(value)`,
		"app.db?_loc=%zz":            "invalid URL escape",
		"file:%zz":                   "invalid URL escape",
	} {
		err := sqlite.ParseDSN(name, new(sqlapi.SQLiteConfig), new(sqlite.Program))
		require.ErrorContains(t, err, want)
		require.Equal(t, errs.Invalid, errs.KindOf(err))
	}
}
