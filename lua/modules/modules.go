// Package modules is the table of the modules that scripts may require: each has a package of its own below.
package modules

import (
	resourceapi "github.com/wippy-cdc/runtime/api/resource"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/lua/engine"
	"github.com/wippy-cdc/runtime/lua/modules/base64"
	cdcmodule "github.com/wippy-cdc/runtime/lua/modules/cdc"
	"github.com/wippy-cdc/runtime/lua/modules/channel"
	errorsmodule "github.com/wippy-cdc/runtime/lua/modules/errors"
	"github.com/wippy-cdc/runtime/lua/modules/hex"
	iomodule "github.com/wippy-cdc/runtime/lua/modules/io"
	jsonmodule "github.com/wippy-cdc/runtime/lua/modules/json"
	"github.com/wippy-cdc/runtime/lua/modules/logger"
	processmodule "github.com/wippy-cdc/runtime/lua/modules/process"
	sqlmodule "github.com/wippy-cdc/runtime/lua/modules/sql"
	"github.com/wippy-cdc/runtime/lua/modules/test"
	timemodule "github.com/wippy-cdc/runtime/lua/modules/time"
)

// All returns the modules of an app with these sources and databases, whose changes encoder writes. All may be nil if no
// script runs.
func All(sources api.Engine, databases resourceapi.Directory, encoder api.Encoder) []engine.Module {
	return []engine.Module{
		base64.New(),
		cdcmodule.New(sources, encoder),
		channel.New(),
		errorsmodule.New(),
		hex.New(),
		iomodule.New(),
		jsonmodule.New(),
		logger.New(),
		processmodule.New(),
		sqlmodule.New(databases),
		test.New(),
		timemodule.New(),
	}
}
