package cdc

import (
	lua "github.com/yuin/gopher-lua"

	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/lua/engine"
)

// infoTable returns a source's description as scripts see it. Texts that are empty, and tables if the source captures
// all, are absent.
func infoTable(L *lua.LState, info *api.SourceInfo) *lua.LTable {
	t := L.CreateTable(0, 22)
	for _, field := range []struct{ name, text string }{
		{"id", info.ID.String()},
		{"kind", string(info.Kind)},
		{"name", info.ID.Name},
		{"state", string(info.State)},
		{"generation", info.Generation},
		{"engine", info.Engine},
		{"db_resource", info.DBResource.String()},
		{"slot", info.Slot},
		{"publication", info.Publication},
		{"lsn", info.LSN},
	} {
		if field.text != "" {
			t.RawSetString(field.name, lua.LString(field.text))
		}
	}
	t.RawSetString("epoch", lua.LNumber(info.Epoch))
	t.RawSetString("snapshot", lua.LBool(info.Snapshot))
	t.RawSetString("streaming", lua.LBool(info.Streaming))
	t.RawSetString("failover", lua.LBool(info.Failover))
	t.RawSetString("temporary", lua.LBool(info.Temporary))
	t.RawSetString("faulted", lua.LBool(info.State == api.StateFaulted))
	t.RawSetString("error", engine.ErrorValue(L, info.Err))
	t.RawSetString("checkpoint_error", engine.ErrorValue(L, info.CheckpointErr))
	if info.Tables != nil {
		t.RawSetString("tables", words(L, info.Tables))
	}
	if len(info.Consumers) > 0 {
		t.RawSetString("consumers", consumersTable(L, info.Consumers))
	}
	t.RawSetString("admission", admissionTable(L, info.Admission))
	t.RawSetString("capabilities", capabilitiesTable(L, info.Capabilities))
	return t
}

func words(L *lua.LState, list []string) *lua.LTable {
	t := L.CreateTable(len(list), 0)
	for _, word := range list {
		t.Append(lua.LString(word))
	}
	return t
}

func admissionTable(L *lua.LState, a api.Admission) *lua.LTable {
	t := L.CreateTable(0, 4)
	t.RawSetString("active", lua.LNumber(a.Active))
	t.RawSetString("snapshots", lua.LNumber(a.Snapshots))
	t.RawSetString("reserved_bytes", engine.Integer(a.ReservedBytes))
	t.RawSetString("rejected", engine.Integer(a.Rejected))
	return t
}

func capabilitiesTable(L *lua.LState, c api.Capabilities) *lua.LTable {
	t := L.CreateTable(0, 6)
	t.RawSetString("snapshot", lua.LBool(c.Snapshot))
	t.RawSetString("capture_resume", lua.LBool(c.CaptureResume))
	t.RawSetString("replayable", lua.LBool(c.Replayable))
	t.RawSetString("captures_external_writes", lua.LBool(c.CapturesExternalWrites))
	t.RawSetString("before_images", lua.LBool(c.BeforeImages))
	t.RawSetString("coalesced", lua.LBool(c.Coalesced))
	return t
}
