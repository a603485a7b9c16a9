package boot

import (
	"github.com/wippy-cdc/runtime/api/process"
	api "github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/service/registry"
)

// terminalOf returns the host on which commands run: the first terminal.host that is started anyway, else the first
// that the app declares, else one of its own (false).
func terminalOf(state *registry.State) (host *api.Entry, declared bool) {
	for entry := range state.Entries() {
		if entry.Kind == process.KindTerminal && (host == nil || (entry.Start && !host.Start)) {
			host = entry
		}
	}
	if host != nil {
		return host, true
	}
	return &api.Entry{
		ID: api.ID{Namespace: "wippy", Name: "terminal"}, Kind: process.KindTerminal,
		Config: new(process.HostConfig), Lifecycle: supervisor.DefaultLifecycle(), Start: true,
	}, false
}
