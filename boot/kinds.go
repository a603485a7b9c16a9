package boot

import (
	"github.com/wippy-cdc/runtime/api/env"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/engine"
	wippyjetstream "github.com/wippy-cdc/runtime/service/cdc/sink/jetstream"
	"github.com/wippy-cdc/runtime/service/cdc/sink/kafka"
	"github.com/wippy-cdc/runtime/service/cdc/sink/webhook"
	declarations "github.com/wippy-cdc/runtime/service/registry"
)

// kind is one row of the kind table.
type kind struct {
	// read says how entries are read.
	read declarations.Kind
	// listen makes the listener that turns entries into running things; nil if entries only configure others.
	listen func(*runtime) registry.Listener
}

// kinds is the table of everything that an app can declare. The checker is used while declarations are read.
func kinds(c *engine.Checker) []kind {
	return []kind{
		{declarations.KindOf[env.VariableConfig](env.KindVariable, nil), nil},
		{declarations.KindOf[sqlapi.SQLiteConfig](sqlapi.KindSQLite, nil), (*runtime).sqliteDatabases},
		{declarations.KindOf[sqlapi.PostgresConfig](sqlapi.KindPostgres, nil), (*runtime).postgresDatabases},
		{declarations.KindOf[api.SQLiteConfig](api.KindSQLite, nil), (*runtime).sqliteSources},
		{declarations.KindOf[api.PostgresConfig](api.KindPostgres, nil), (*runtime).postgresSources},
		{declarations.KindOf[api.WebhookConfig](api.KindWebhook, nil), func(r *runtime) registry.Listener { return sinks(r, webhook.Kind) }},
		{declarations.KindOf[api.JetStreamConfig](api.KindJetStream, nil), func(r *runtime) registry.Listener { return sinks(r, wippyjetstream.Kind) }},
		{declarations.KindOf[api.KafkaConfig](api.KindKafka, nil), func(r *runtime) registry.Listener { return sinks(r, kafka.Kind) }},
		{declarations.KindOf[process.LuaConfig](process.KindLua, c.Process), func(r *runtime) registry.Listener { return r.engine.Processes() }},
		{declarations.KindOf[process.LibraryConfig](process.KindLibrary, c.Library), func(r *runtime) registry.Listener { return r.engine.Libraries() }},
		{declarations.KindOf[process.HostConfig](process.KindHost, nil), func(r *runtime) registry.Listener { return r.hosts(nil) }},
		{declarations.KindOf[process.HostConfig](process.KindTerminal, nil), func(r *runtime) registry.Listener { return r.hosts(r.terminal) }},
		{declarations.KindOf[process.ServiceConfig](process.KindService, nil), (*runtime).processServices},
	}
}
