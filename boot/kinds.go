package boot

import (
	"github.com/wippy-cdc/runtime/api/env"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/lua/engine"
	declarations "github.com/wippy-cdc/runtime/service/registry"
)

// kind is one row of the kind table.
type kind struct {
	// read says how entries are read, check what is wrong with their scripts; it may be nil.
	read  declarations.Kind
	check func(*engine.Checker, *registry.Entry) error
	// listen makes the listener that turns entries into running things; nil if entries only configure others.
	listen func(*runtime) registry.Listener
}

// kinds is the table of everything that an app can declare.
func kinds() []kind {
	return []kind{
		{read: config[env.VariableConfig](env.KindVariable)},
		{read: config[sqlapi.SQLiteConfig](sqlapi.KindSQLite), listen: (*runtime).sqliteDatabases},
		{read: config[sqlapi.PostgresConfig](sqlapi.KindPostgres), listen: (*runtime).postgresDatabases},
		{read: config[api.SQLiteConfig](api.KindSQLite), listen: (*runtime).sqliteSources},
		{read: config[api.PostgresConfig](api.KindPostgres), listen: (*runtime).postgresSources},
		{read: script[process.LuaConfig](process.KindLua), check: (*engine.Checker).Process, listen: (*runtime).processes},
		{read: script[process.LibraryConfig](process.KindLibrary), check: (*engine.Checker).Library, listen: (*runtime).libraries},
		{read: config[process.HostConfig](process.KindHost), listen: (*runtime).hosts},
		{read: config[process.HostConfig](process.KindTerminal), listen: (*runtime).terminals},
		{read: config[process.ServiceConfig](process.KindService), listen: (*runtime).processServices},
	}
}

// pointer is a configuration type whose methods have pointer receivers.
type pointer[C any] interface {
	*C
	registry.Config
}

func config[C any, P pointer[C]](name registry.Kind) declarations.Kind {
	return declarations.Kind{Name: name, New: func() registry.Config { return P(new(C)) }}
}

// script is the kind of an entry whose code may be in a file of its own.
func script[C any, P pointer[C]](name registry.Kind) declarations.Kind {
	kind := config[C, P](name)
	kind.Files = func(c registry.Config) map[string]string {
		if code, ok := c.(interface{ File() string }); ok && code.File() != "" {
			return map[string]string{"source": code.File()}
		}
		return nil
	}
	return kind
}
