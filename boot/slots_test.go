package boot_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/internal/pgtest"
)

// slotApp is an app with the database db and further entries; %s in them is the name of the database.
func slotApp(t *testing.T, db *pgtest.Database, entries string) *running {
	t.Helper()
	host, port, user, password := db.Address()
	return prepare(t, fmt.Sprintf(`namespace: app
entries:
  - {name: db, kind: db.sql.postgres, host: %s, port: %d, database: %s, username: %s, password: %s, lifecycle: {auto_start: true}}
`, host, port, db.Name, user, password)+strings.ReplaceAll(entries, "%s", db.Name))
}

const slotSource = "  - {name: cdc, kind: db.cdc.postgres, db_resource: db, slot_name: %s, tables: [users], lifecycle: {auto_start: true}}\n"

func slotDatabase(t *testing.T) *pgtest.Database {
	t.Helper()
	db := pgtest.New(t)
	db.Exec(t, "CREATE TABLE users (id int PRIMARY KEY)")
	return db
}

func (r *running) runSource(t *testing.T, name string) {
	t.Helper()
	r.run(t)
	r.log.wait(t, `msg="service is running" service=app:`+name)
}

// remains lists the slots of a database, by what follows its name, and its publications.
func remains(t *testing.T, db *pgtest.Database) string {
	t.Helper()
	left := db.Text(t, `SELECT concat_ws(' ', (SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots WHERE database = current_database()),
		(SELECT string_agg(pubname, ' ' ORDER BY pubname) FROM pg_publication))`)
	return strings.ReplaceAll(left, db.Name, "x")
}

// Two apps name the same slot by mistake, and the second one is given another.
func TestTheSlotOfAnotherAppStays(t *testing.T) {
	t.Parallel()
	for _, change := range [][]string{{"slot_name: %s", "slot_name: %s_2"}, {slotSource, ""}} {
		db := slotDatabase(t)
		first, second := slotApp(t, db, slotSource), slotApp(t, db, slotSource)
		first.runSource(t, "cdc")
		second.runSource(t, "cdc") // no stream is open in either, so nobody notices
		db.Exec(t, "INSERT INTO users VALUES (1)")
		second.change(t, "app.yaml", strings.ReplaceAll(change[0], "%s", db.Name), strings.ReplaceAll(change[1], "%s", db.Name))
		second.hup(t, reloaded)
		require.Contains(t, second.log.String(), "is left on the server, because it is in use by another program")
		require.Contains(t, second.log.String(), "type SELECT pg_drop_replication_slot('"+db.Name+"')")
		require.Equal(t, change[1] != "", strings.Contains(remains(t, db), "x_2"))
		require.Contains(t, remains(t, db), "x ")
		require.Contains(t, remains(t, db), "x_pub")
	}
}

// A slot that belongs to another database is none of the app's business, but the publication was made by it.
func TestTheSlotOfAnotherDatabaseStays(t *testing.T) {
	t.Parallel()
	db, other := slotDatabase(t), pgtest.New(t)
	other.Exec(t, "SELECT pg_create_logical_replication_slot('"+other.Name+"', 'pgoutput')")
	r := slotApp(t, db, strings.ReplaceAll(slotSource, "%s", other.Name))
	r.run(t)
	r.log.wait(t, "choose another slot_name")
	r.change(t, "app.yaml", "slot_name: "+other.Name, "slot_name: "+db.Name)
	r.hup(t, reloaded)
	require.Equal(t, "x", remains(t, other))
	require.Equal(t, "x x_pub", remains(t, db))
	r.log.unwarned(t)
}

// An entry that gets another name goes on where it was, whatever else is changed.
func TestARenamedEntryKeepsItsSlot(t *testing.T) {
	t.Parallel()
	db := slotDatabase(t)
	db.Exec(t, "CREATE PUBLICATION everything FOR ALL TABLES")
	r := slotApp(t, db, slotSource)
	r.runSource(t, "cdc")
	// The slot that is made anew would begin elsewhere.
	begins := func() string {
		return db.Text(t, "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = $1", db.Name)
	}
	began := begins()
	db.Exec(t, "INSERT INTO users VALUES (1)")
	r.change(t, "app.yaml", "name: cdc,", "name: feed,")
	r.hup(t, reloaded)
	require.Equal(t, began, begins())
	require.Equal(t, "x everything x_pub", remains(t, db))
	r.change(t, "app.yaml", "name: feed,", "name: cdc,", "tables: [users]", "publication: everything")
	r.hup(t, reloaded)
	require.Equal(t, began, begins())
	require.Equal(t, "x everything", remains(t, db), "nobody reads the publication that was its own")
	r.change(t, "app.yaml", "publication: everything", "tables: [users]")
	r.hup(t, reloaded)
	require.Equal(t, "x everything x_pub", remains(t, db))
	r.change(t, "app.yaml", "tables: [users]", "publication: everything")
	r.hup(t, reloaded)
	require.Equal(t, began, begins())
	require.Equal(t, "x everything", remains(t, db))
	r.log.unwarned(t)
}

// An entry has failed for good, and is deleted.
func TestDeletingASourceThatHasFailed(t *testing.T) {
	t.Parallel()
	db := slotDatabase(t)
	db.Exec(t, "SELECT pg_create_logical_replication_slot('"+db.Name+"', 'pgoutput')")
	source := strings.ReplaceAll(strings.Replace(slotSource, "tables: [users]", "publication: nobody", 1), "%s", db.Name)
	r := slotApp(t, db, source)
	r.run(t)
	r.log.wait(t, "does not exist: type CREATE PUBLICATION")
	r.change(t, "app.yaml", source, "")
	r.hup(t, reloaded)
	require.Equal(t, "x", remains(t, db), "nobody knows whose it is")
	require.Contains(t, r.log.String(), "is left on the server, because this app has not used it since it was started")
	require.Contains(t, r.log.String(), "type SELECT pg_drop_replication_slot('"+db.Name+"')")
}

// What the app has used is its own, also if the entry has failed since.
func TestDeletingASourceThatHasFailedSince(t *testing.T) {
	t.Parallel()
	db := slotDatabase(t)
	r := slotApp(t, db, slotSource)
	r.runSource(t, "cdc")
	r.change(t, "app.yaml", "tables: [users]", "publication: nobody")
	r.hup(t, reloaded)
	r.log.wait(t, "does not exist: type CREATE PUBLICATION")
	r.change(t, "app.yaml", strings.ReplaceAll(strings.Replace(slotSource, "tables: [users]", "publication: nobody", 1), "%s", db.Name), "")
	r.hup(t, reloaded)
	require.Empty(t, remains(t, db))
	r.log.unwarned(t)
}

// An address can be changed in several places; what counts is whether the slot is another one.
func TestASlotThatAnEntryMovesAwayFrom(t *testing.T) {
	t.Parallel()
	twins := strings.Replace(slotSource, "db_resource: db,", "host_env: HOST, port_env: PORT, database_env: ONE, username_env: USER, password_env: PASSWORD,", 1)
	for name, c := range map[string]struct {
		source string
		// from and to are in the entry, or that of the database.
		from, to string
		stays    bool
	}{
		"the database of db_resource":  {slotSource, "database: %s,", "database: %o,", false},
		"another way to write it":      {slotSource, "db_resource: db,", "host_env: HOST, port_env: PORT, database_env: ONE, username_env: USER, password_env: PASSWORD,", true},
		"the variable of the database": {twins, "database_env: ONE,", "database_env: OTHER,", false},
		"the variable of the host":     {twins, "host_env: HOST,", "host_env: ALIAS,", true},
		"a name of the server":         {slotSource, "host: 127.0.0.1,", "host: localhost,", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, other := slotDatabase(t), slotDatabase(t)
			r := slotApp(t, db, c.source)
			host, port, user, password := db.Address()
			r.settings.LookupEnv = func(name string) (string, bool) {
				v, ok := map[string]string{
					"HOST": host, "PORT": strconv.Itoa(port), "ONE": db.Name, "OTHER": other.Name, "USER": user, "PASSWORD": password, "ALIAS": "localhost",
				}[name]
				return v, ok
			}
			r.runSource(t, "cdc")
			named := strings.NewReplacer("%s", db.Name, "%o", other.Name)
			began := db.Text(t, "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = $1", db.Name)
			db.Exec(t, "INSERT INTO users VALUES (1)")
			r.change(t, "app.yaml", named.Replace(c.from), named.Replace(c.to))
			r.hup(t, reloaded)
			r.log.wait(t, `msg="service is running" service=app:cdc`)
			if c.stays {
				require.Equal(t, "x x_pub", remains(t, db))
				require.Equal(t, began, db.Text(t, "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = $1", db.Name))
			} else {
				require.Empty(t, remains(t, db))
				require.Equal(t, db.Name+" "+db.Name+"_pub", remains(t, other))
			}
			r.log.unwarned(t)
			require.NotContains(t, r.log.String(), pgtest.Password)
		})
	}
}
