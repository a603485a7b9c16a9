package registry_test

import (
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/env"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/api/unit"
	declarations "github.com/wippy-cdc/runtime/service/registry"
)

// TestEveryFieldOfEveryKind declares all fields that users can write, by the names that the reference gives them.
func TestEveryFieldOfEveryKind(t *testing.T) {
	unpack(t, []txtar.File{{Name: "p.lua", Data: []byte("return {}")}, {Name: "app.yaml", Data: []byte(`
namespace: app
entries:
  - name: sqlite
    kind: db.sql.sqlite
    file: ":memory:"
    foreign_keys: true
    busy_timeout: 250ms
    synchronous: full
    capture_memory: 1MiB
    max_transaction_bytes: 2GiB
    pool: {max_lifetime: 30m}
    options: {cache_size: "-8000"}
    allow: [files, schema]
    max_result_bytes: 1MiB
  - name: cdc
    kind: db.cdc.sqlite
    db_resource: sqlite
    tables: [main.users]
    snapshot: true
    status_interval: 1s
    log_bytes: 65536
    subscriptions: {max_subscriptions: 1, max_snapshot_subscriptions: 2, max_bytes: 3MB}
    durable: true
    ack_interval: 3s
    retention: {max_bytes: 2MiB, max_age: 2h}
    on_log_full: refuse
  - name: pg
    kind: db.cdc.postgres
    host: h
    port: 5433
    database: d
    username: u
    password: p
    options: {sslmode: require}
    slot_name: s
    publication: pub
    snapshot: true
    ack_interval: 4s
    snapshot_fetch_size: 10
    streaming: true
    failover: true
    standby_interval: 1s
    status_interval: 2s
    on_idle: discard
    log_bytes: 1MiB
  - name: pg2
    kind: db.cdc.postgres
    host_env: H
    port_env: P
    database_env: D
    username_env: U
    password_env: W
    slot_name: s
    tables: [a]
    temporary: true
  - name: script
    kind: process.lua
    source: file://p.lua
    method: go
    modules: [sql]
    imports: {helper: lib}
    meta: {comment: x}
  - {name: lib, kind: library.lua, source: "return {}", modules: [sql], imports: {}}
  - {name: host, kind: process.host, max_processes: 5}
  - {name: service, kind: process.service, process: script, host: host, input: {a: 1}, ready: true}
  - {name: variable, kind: env.variable, variable: V, default: d}
  - name: life
    kind: process.host
    lifecycle:
      auto_start: true
      start_timeout: 1s
      stop_timeout: 2s
      stable_threshold: 0
      requires: [host]
      restart: {initial_delay: 1ms, max_delay: 2ms, backoff_factor: 1, jitter: 0, max_attempts: 9}
`)}})
	state, err := declarations.NewLoader(kinds(), environ).Load(".")
	require.NoError(t, err)
	second, d := unit.Duration(time.Second), "d"
	for name, want := range map[string]registry.Config{
		"sqlite": &sqlapi.SQLiteConfig{
			File: ":memory:", ForeignKeys: true, BusyTimeout: unit.Duration(250 * time.Millisecond), Synchronous: "full",
			CaptureMemory: unit.MiB, MaxTransactionBytes: 2 * unit.GiB,
			Pool:    sqlapi.SQLitePoolConfig{MaxLifetime: unit.Duration(30 * time.Minute)},
			Options: map[string]string{"cache_size": "-8000"},
			Allow:   []string{"files", "schema"}, MaxResultBytes: unit.MiB,
		},
		"cdc": &api.SQLiteConfig{
			DBResource: id("sqlite"), Tables: []string{"main.users"}, Snapshot: true, StatusInterval: second,
			LogBytes:      64 * unit.KiB,
			Subscriptions: api.SubscriptionsConfig{MaxSubscriptions: 1, MaxSnapshotSubscriptions: 2, MaxBytes: 3e6},
			Durable:       true, AckInterval: 3 * second,
			Retention: api.RetentionConfig{MaxBytes: 2 * unit.MiB, MaxAge: unit.Duration(2 * time.Hour)},
			OnLogFull: api.OnLogFullRefuse,
		},
		"pg": &api.PostgresConfig{
			Host: "h", Port: 5433, Database: "d", Username: "u", Password: "p",
			Options: map[string]string{"sslmode": "require"}, SlotName: "s", Publication: "pub", Snapshot: true,
			AckInterval: 4 * second, SnapshotFetchSize: 10, Streaming: true, Failover: true, StandbyInterval: second, StatusInterval: 2 * second,
			OnIdle: "discard", LogBytes: unit.MiB,
		},
		"pg2": &api.PostgresConfig{
			HostEnv: "H", PortEnv: "P", DatabaseEnv: "D", UsernameEnv: "U", PasswordEnv: "W", SlotName: "s",
			Tables: []string{"a"}, Temporary: true, AckInterval: second, SnapshotFetchSize: 1000, StandbyInterval: 10 * second,
			StatusInterval: 30 * second, OnIdle: "hold", LogBytes: 64 * unit.MiB,
		},
		"script": &process.LuaConfig{Method: "go", Code: process.Code{
			Source: "file://p.lua", Modules: []string{"sql"}, Imports: map[string]registry.ID{"helper": id("lib")},
		}},
		"lib": &process.LibraryConfig{Code: process.Code{
			Source: "return {}", Modules: []string{"sql"}, Imports: map[string]registry.ID{},
		}},
		"host": &process.HostConfig{MaxProcesses: 5},
		"service": &process.ServiceConfig{
			Process: id("script"), Host: id("host"), Input: map[string]any{"a": int64(1)}, Ready: true,
		},
		"variable": &env.VariableConfig{Variable: "V", Default: &d},
	} {
		require.Equal(t, want, state.Entry(id(name)).Config, name)
	}
	life := state.Entry(id("life"))
	require.Equal(t, supervisor.Lifecycle{
		AutoStart: true, StartTimeout: second, StopTimeout: 2 * second, Requires: []string{"app:host"},
		Restart: supervisor.Restart{
			InitialDelay: unit.Duration(time.Millisecond), MaxDelay: unit.Duration(2 * time.Millisecond),
			BackoffFactor: 1, MaxAttempts: 9,
		},
	}, life.Lifecycle)
	require.True(t, life.Start)
	require.True(t, state.Entry(id("host")).Start, "it is required")
	require.Equal(t, []registry.ID{id("lib")}, state.Entry(id("script")).Requires)
}
