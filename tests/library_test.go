package tests_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Go program that reads changes imports neither the registry, nor Lua, nor the supervisor, nor any driver but
// SQLite's.
func TestAGoProgramDoesNotImportTheRuntime(t *testing.T) {
	t.Parallel()
	const module = "github.com/wippy-cdc/runtime/"
	allowed := []string{
		module + "api/", module + "internal/suggest", module + "internal/tempfile", module + "service/cdc/consumer", module + "service/cdc/log", module + "service/cdc/source",
		module + "service/cdc/sqlite", module + "service/cdc/stream", module + "service/sql/sqlite", "github.com/mattn/go-sqlite3", "golang.org/x/sys/unix",
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-tags", "sqlite_preupdate_hook", "-deps",
		"-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./service/cdc/sqlite")
	list.Dir = ".."
	output, err := list.Output()
	require.NoError(t, err)
	imported := strings.Fields(string(output))
	require.Contains(t, imported, module+"service/cdc/sqlite")
	for _, path := range imported {
		require.True(t, slices.ContainsFunc(allowed, func(prefix string) bool { return strings.HasPrefix(path, prefix) }), "it imports %s", path)
	}
}
