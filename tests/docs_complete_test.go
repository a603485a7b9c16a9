package tests_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/env"
	"github.com/wippy-cdc/runtime/api/inspect"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/boot"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
	"github.com/wippy-cdc/runtime/service/cdc/source"
	"github.com/wippy-cdc/runtime/service/metrics"
)

// document reads a page of docs/.
func document(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../docs", name))
	require.NoError(t, err)
	return string(content)
}

// inCode reports whether a word stands in text that is marked as code.
func inCode(text, word string) bool {
	return regexp.MustCompile("`[^`\n]*\\b" + word + "\\b[^`\n]*`").MatchString(text)
}

// fields lists the fields of a configuration as users write them.
func fields(config reflect.Type, prefix string) []string {
	var names []string
	for f := range config.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		inner := f.Type
		switch {
		case options == "inline":
			names = append(names, fields(inner, prefix)...)
		case inner.Kind() == reflect.Struct && inner != reflect.TypeFor[registry.ID]():
			names = append(names, fields(inner, prefix+name+".")...)
		default:
			names = append(names, prefix+name)
		}
	}
	return names
}

// Every field that an entry can have is in docs/yaml.md.
func TestEveryFieldIsDocumented(t *testing.T) {
	t.Parallel()
	text := document(t, "yaml.md")
	for _, config := range []reflect.Type{
		reflect.TypeFor[sqlapi.SQLiteConfig](), reflect.TypeFor[sqlapi.PostgresConfig](),
		reflect.TypeFor[api.SQLiteConfig](), reflect.TypeFor[api.PostgresConfig](), reflect.TypeFor[api.WebhookConfig](), reflect.TypeFor[api.JetStreamConfig](),
		reflect.TypeFor[api.KafkaConfig](),
		reflect.TypeFor[process.LuaConfig](), reflect.TypeFor[process.LibraryConfig](),
		reflect.TypeFor[process.HostConfig](), reflect.TypeFor[process.ServiceConfig](),
		reflect.TypeFor[env.VariableConfig](), reflect.TypeFor[supervisor.Lifecycle](),
	} {
		for _, field := range fields(config, "") {
			last := field[strings.LastIndex(field, ".")+1:]
			require.True(t, inCode(text, last), "docs/yaml.md does not name the field %s of %s", field, config)
		}
	}
}

func TestEveryMetricIsDocumented(t *testing.T) {
	t.Parallel()
	text := document(t, "operations.md")
	descs := make(chan *prometheus.Desc, 100)
	metrics.NewCollector(source.NewCatalog(), sink.NewCatalog(sink.Settings{})).Describe(descs)
	close(descs)
	require.NotEmpty(t, descs)
	for desc := range descs {
		name := regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(desc.String())
		require.True(t, inCode(text, name[1]), "docs/operations.md does not name %s", name[1])
	}
}

// Every field of an answer is in docs/http.md.
func TestEveryAnswerIsDocumented(t *testing.T) {
	t.Parallel()
	text := document(t, "http.md")
	seen := map[reflect.Type]bool{}
	var look func(of reflect.Type)
	look = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || of == reflect.TypeFor[time.Time]() || seen[of] {
			return
		}
		seen[of] = true
		for field := range of.Fields() {
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" {
				require.True(t, inCode(text, name), "docs/http.md does not name the field %s of %s", name, of)
			}
			look(field.Type)
		}
	}
	for _, answer := range []reflect.Type{
		reflect.TypeFor[inspect.Status](), reflect.TypeFor[inspect.Readiness](), reflect.TypeFor[inspect.Gap](), reflect.TypeFor[inspect.Position](),
	} {
		look(answer)
	}
	require.Greater(t, len(seen), 8)
}

// Every cause of a gap is explained in docs/lua.md, and docs/guarantees.md says when it comes.
func TestEveryCauseOfAGapIsDocumented(t *testing.T) {
	t.Parallel()
	code, err := os.ReadFile("../api/service/cdc/gap.go")
	require.NoError(t, err)
	causes := regexp.MustCompile(`\bGap\w+ GapCause = "(\w+)"`).FindAllStringSubmatch(string(code), -1)
	require.Greater(t, len(causes), 5)
	explained, promised := document(t, "lua.md"), document(t, "guarantees.md")
	for _, cause := range causes {
		row := regexp.MustCompile("(?m)^\\| `cause` \\|.*`" + cause[1] + "` \\(")
		require.True(t, row.MatchString(explained), "docs/lua.md does not explain the cause %s", cause[1])
		place := regexp.MustCompile("gap \\([^)]*`" + cause[1] + "`")
		require.True(t, place.MatchString(promised), "docs/guarantees.md does not say when a gap has the cause %s", cause[1])
	}
}

// listing is a script that returns what there is in each module.
const listing = `
namespace: app
entries:
  - {name: terminal, kind: terminal.host}
  - name: list
    kind: process.lua
    modules: [%s]
    source: |
      function main(...)
        local found = {}
        for _, name in ipairs({...}) do
          for key in pairs(require(name)) do found[#found + 1] = name .. "." .. key end
        end
        return found
      end
`

// Every function and constant of a module is in docs/lua.md or docs/testing.md.
func TestEveryFunctionOfLuaIsDocumented(t *testing.T) {
	t.Parallel()
	modules, err := filepath.Glob("../lua/modules/*/*.go")
	require.NoError(t, err)
	var names []string
	var args []any
	for _, file := range modules {
		if name := filepath.Base(filepath.Dir(file)); !slices.Contains(names, name) {
			names = append(names, name)
			args = append(args, name)
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "app.yaml"), fmt.Sprintf(listing, strings.Join(names, ", ")))
	app, err := boot.Load(boot.Settings{Dir: dir})
	require.NoError(t, err)
	exit, err := app.Execute(t.Context(), registry.ID{Namespace: "app", Name: "list"}, args)
	require.NoError(t, err)
	require.NoError(t, exit.Err)
	found, ok := exit.Value.([]any)
	require.True(t, ok)
	require.Greater(t, len(found), 50)
	text := document(t, "lua.md") + document(t, "testing.md")
	for _, name := range found {
		_, key, _ := strings.Cut(name.(string), ".")
		require.True(t, inCode(text, key), "neither docs/lua.md nor docs/testing.md names %s", name)
	}
}

// The files and folders that docs/architecture.md names are there.
func TestTheArchitectureIsThatOfTheCode(t *testing.T) {
	t.Parallel()
	paths := regexp.MustCompile("`((?:api|boot|cmd|examples|internal|lua|service|tests)/[\\w./]*)`").FindAllStringSubmatch(document(t, "architecture.md"), -1)
	require.Greater(t, len(paths), 20)
	for _, path := range paths {
		_, err := os.Stat(filepath.Join("..", path[1]))
		require.NoError(t, err)
	}
}
