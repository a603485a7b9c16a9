package boot_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/internal/pgtest"
)

// postgresApp is an app on a Postgres database, whose script main is body.
func postgresApp(t *testing.T, db *pgtest.Database, body string) *fixture {
	t.Helper()
	f := write(t, `namespace: app
entries:
  - {name: db, kind: db.sql.postgres, host_env: HOST, port_env: PORT, database: "${env:NAME}", username_env: USER, password_env: PASSWORD}
  - name: cdc
    kind: db.cdc.postgres
    db_resource: db
    slot_name: "${env:NAME}"
    tables: [users]
    standby_interval: 200ms
    lifecycle: {restart: {initial_delay: 50ms, max_delay: 100ms}}
  - name: main
    kind: process.lua
    modules: [sql, cdc, io, time]
    lifecycle: {requires: [cdc]}
    source: |
      local sql, cdc, io, time = require("sql"), require("cdc"), require("io"), require("time")
      function main()
`+body+`
      end
`)
	host, port, user, password := db.Address()
	f.settings.LookupEnv = func(name string) (string, bool) {
		v, ok := map[string]string{
			"HOST": host, "PORT": strconv.Itoa(port), "NAME": db.Name, "USER": user, "PASSWORD": password,
		}[name]
		return v, ok
	}
	return f
}

func TestScriptsReadWhatPostgresCommits(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(t, "CREATE TABLE users (id bigint PRIMARY KEY, name text, ok bool, data bytea)")
	f := postgresApp(t, db, `
        local db = assert(sql.get("app:db"))
        local changes = assert(cdc.stream("app:cdc", {tables = {"USERS"}}):channel())
        assert(db:execute("INSERT INTO users VALUES ($1, $2, $3, $4)", {1, "ada", true, sql.as.binary("\0\255")}))
        local c = changes:receive()
        io.print(c.op, c.relation, c.key.id, c.after.name, c.after.ok, #c.after.data, c.last, c.xid ~= nil, c.lsn > c.commit_lsn)
        local info = cdc.source("app:cdc")
        io.print(info.state, info.engine, info.publication == info.slot .. "_pub", info.capabilities.captures_external_writes)`)
	require.Equal(t, []string{
		"insert\tpublic.users\t1\tada\ttrue\t2\ttrue\ttrue\ttrue", "running\tpostgres\ttrue\ttrue",
	}, execute(t, f))
	require.NotContains(t, f.log.String()+f.stdout.String(), pgtest.Password)
	require.Equal(t, "1", db.Text(t, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", db.Name), "a stop keeps the slot")
}

func TestASourceWaitsForItsTables(t *testing.T) {
	db := pgtest.New(t)
	f := postgresApp(t, db, `
        local stream = assert(cdc.stream("app:cdc"))
        local _, err = stream:channel()
        io.print(err:kind(), err:message():find('table "users" does not exist: create it', 1, true) ~= nil)
        assert(sql.get("app:db"):execute("CREATE TABLE users (id int PRIMARY KEY)"))
        while cdc.source("app:cdc").state ~= "running" do time.sleep("10ms") end
        local changes = assert(cdc.stream("app:cdc"):channel())
        assert(sql.get("app:db"):execute("INSERT INTO users VALUES (1)"))
        io.print(changes:receive().after.id)`)
	require.Equal(t, []string{"UNAVAILABLE\ttrue", "1"}, execute(t, f))
	require.NotContains(t, strings.ToLower(f.log.String()), pgtest.Password)
}

// A slot outlives its source, but not the entry.
func TestReloadDropsTheSlotOfADeletedSource(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(t, "CREATE TABLE users (id int PRIMARY KEY)")
	host, port, user, password := db.Address()
	source := fmt.Sprintf("  - {name: cdc, kind: db.cdc.postgres, db_resource: db, slot_name: %s, tables: [users], lifecycle: {auto_start: true}}\n", db.Name)
	r := prepare(t, fmt.Sprintf(`namespace: app
entries:
  - {name: db, kind: db.sql.postgres, host: %s, port: %d, database: %s, username: %s, password: %s, lifecycle: {auto_start: true}}
`, host, port, db.Name, user, password)+source)
	r.run(t)
	left := func() string {
		return db.Text(t, "SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1) || ' ' || (SELECT count(*) FROM pg_publication)", db.Name)
	}
	r.log.wait(t, `msg="service is running" service=app:cdc`)
	r.change(t, "app.yaml", "tables: [users]", "tables: [users], streaming: true")
	r.hup(t, reloaded)
	require.Equal(t, "1 1", left())
	r.change(t, "app.yaml", "slot_name: "+db.Name, "slot_name: "+db.Name+"_2")
	r.hup(t, reloaded)
	require.Equal(t, "0 1", left(), "the former slot is dropped, the publication that is left is that of the new one")
	r.change(t, "app.yaml", "slot_name: "+db.Name+"_2", "slot_name: "+db.Name)
	r.hup(t, reloaded)
	require.Equal(t, "1 1", left())
	r.change(t, "app.yaml", strings.Replace(source, "tables: [users]", "tables: [users], streaming: true", 1), "")
	r.hup(t, reloaded)
	require.Equal(t, "0 0", left())
	r.log.unwarned(t)
}

// A sink on Postgres goes on where it was, and parks in the database of its source. That is no change, though the publication
// has all tables.
func TestASinkOfAPostgresSource(t *testing.T) {
	db := pgtest.New(t)
	db.Exec(t, "CREATE TABLE users (id int PRIMARY KEY, name text)")
	db.Exec(t, "CREATE PUBLICATION everything FOR ALL TABLES")
	got := &buffer{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "poison") {
			http.Error(w, "not this\x00", http.StatusUnprocessableEntity)
			return
		}
		_, _ = got.Write(append(body, '\n'))
	}))
	t.Cleanup(server.Close)
	host, port, user, password := db.Address()
	r := prepare(t, fmt.Sprintf(`namespace: app
entries:
  - {name: db, kind: db.sql.postgres, host: %s, port: %d, database: %s, username: %s, password: %s}
  - {name: cdc, kind: db.cdc.postgres, db_resource: db, slot_name: %s, publication: everything}
  - name: hook
    kind: cdc.sink.webhook
    source: cdc
    url: %s
    on_reject: park
    batch: {max_wait: 1ms}
    lifecycle: {auto_start: true}
`, host, port, db.Name, user, password, db.Name, server.URL))
	r.run(t)
	r.log.wait(t, `msg="service is running" service=app:hook`)
	db.Exec(t, "INSERT INTO users VALUES (1, 'first'), (2, 'poison'), (3, 'third')")
	got.wait(t, `"third"`)
	db.Exec(t, "UPDATE users SET name = 'behind' WHERE id = 2")
	db.Exec(t, "INSERT INTO users VALUES (4, 'fourth')")
	got.wait(t, `"fourth"`)
	const parked = "SELECT string_agg(key || ' ' || (change::json->>'op'), ', ' ORDER BY cursor) FROM wippy_cdc_parked WHERE sink = 'app:hook'"
	require.Equal(t, `public.users {"id":2} c, public.users {"id":2} u`, db.Text(t, parked))

	r.change(t, "app.yaml", "on_reject: park", "on_reject: stop")
	r.hup(t, "has changes of the sink (2)")
	r.change(t, "app.yaml", "on_reject: stop", "on_reject: park")
	r.hup(t, reloaded)
	db.Exec(t, "UPDATE users SET name = 'still behind' WHERE id = 2")
	require.Eventually(t, func() bool { return db.Text(t, "SELECT count(*) FROM wippy_cdc_parked") == "3" }, time.Minute, 10*time.Millisecond)
	db.Exec(t, "BEGIN; DELETE FROM wippy_cdc_parked; UPDATE users SET name = 'mended' WHERE id = 2; COMMIT")
	got.wait(t, `"mended"`)
	for _, name := range []string{"first", "third", "fourth", "mended"} {
		require.Equal(t, 1, strings.Count(got.String(), `"`+name+`"`), name)
	}
	require.NotContains(t, got.String(), "behind")
	require.NotContains(t, got.String(), "wippy_cdc_parked")
	require.NotContains(t, r.log.String(), pgtest.Password)
}
