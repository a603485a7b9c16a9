// Package modules is the table of the modules that scripts may require: each has a package of its own below.
package modules

import (
	resourceapi "github.com/wippy-cdc/runtime/api/resource"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/lua/engine"
	cdcmodule "github.com/wippy-cdc/runtime/lua/modules/cdc"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
	errorsmodule "github.com/wippy-cdc/runtime/lua/modules/errors"
	iomodule "github.com/wippy-cdc/runtime/lua/modules/io"
	jsonmodule "github.com/wippy-cdc/runtime/lua/modules/json"
	"github.com/wippy-cdc/runtime/lua/modules/logger"
	processmodule "github.com/wippy-cdc/runtime/lua/modules/process"
	sqlmodule "github.com/wippy-cdc/runtime/lua/modules/sql"
	"github.com/wippy-cdc/runtime/lua/modules/test"
	timemodule "github.com/wippy-cdc/runtime/lua/modules/time"
)

// All returns the modules of an app with these sources and databases. Both may be nil if no script runs.
func All(sources api.Engine, databases resourceapi.Directory) []engine.Module {
	return []engine.Module{
		cdcmodule.New(sources),
		channel.New(),
		errorsmodule.New(),
		iomodule.New(),
		jsonmodule.New(),
		logger.New(),
		processmodule.New(),
		sqlmodule.New(databases),
		test.New(),
		timemodule.New(),
	}
}
