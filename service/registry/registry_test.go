package registry_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wippy-cdc/runtime/api/env"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/internal/printable"
	declarations "github.com/wippy-cdc/runtime/service/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everything has a field of each type that a configuration may have.
type everything struct {
	Text    string            `yaml:"text"`
	Flag    bool              `yaml:"flag"`
	Small   int8              `yaml:"small"`
	Count   uint              `yaml:"count"`
	Ratio   float64           `yaml:"ratio"`
	Maybe   *int              `yaml:"maybe"`
	List    []nested          `yaml:"list"`
	Table   map[string]nested `yaml:"table"`
	Ref     registry.ID       `yaml:"ref"`
	Refs    []registry.ID     `yaml:"refs" ref:"test.everything"`
	Any     any               `yaml:"any"`
	Inline  `yaml:",inline"`
	Skipped string `yaml:"-"`
	Untold  string
}

type nested struct {
	Name string `yaml:"name"`
	Size int    `yaml:"size"`
}

// Inline is a part of everything.
type Inline struct {
	Inside string `yaml:"inside"`
}

func (c *everything) SetDefaults() { c.Text, c.Small = "default", 7 }

func (c *everything) Validate() error {
	var p registry.Problems
	if c.Text == "" {
		p.Addf("text", "must not be empty")
	}
	for i, element := range c.List {
		if element.Size < 0 {
			p.Addf("list["+strconv.Itoa(i)+"].size", "%d is negative", element.Size)
		}
	}
	if c.Text == "odd" {
		return errors.Join(p.Err(), errors.New("the whole entry is odd"))
	}
	return p.Err()
}

func kinds() []declarations.Kind {
	check := func(entry *registry.Entry) error {
		var p registry.Problems
		for i, module := range entry.Config.(*process.LuaConfig).Modules {
			if module != "sql" {
				p.Addf("modules["+strconv.Itoa(i)+"]", "there is no module %q", module)
			}
		}
		return p.Err()
	}
	return []declarations.Kind{
		declarations.KindOf[everything]("test.everything", nil),
		declarations.KindOf[env.VariableConfig](env.KindVariable, nil),
		declarations.KindOf[sqlapi.SQLiteConfig](sqlapi.KindSQLite, nil),
		declarations.KindOf[api.SQLiteConfig](api.KindSQLite, nil),
		declarations.KindOf[api.PostgresConfig](api.KindPostgres, nil),
		declarations.KindOf[process.LuaConfig](process.KindLua, check),
		declarations.KindOf[process.LibraryConfig](process.KindLibrary, nil),
		declarations.KindOf[process.HostConfig](process.KindHost, nil),
		declarations.KindOf[process.ServiceConfig](process.KindService, nil),
	}
}

// environ is the environment of all tests.
func environ(name string) (string, bool) {
	value, ok := map[string]string{
		"PORT": "5432", "SECRET": "hunter2 \"quoted\"", "SHORT": "x", "NEAR": "fulll", "EMPTY": "", "KIND": "full", "DB": "main-db",
	}[name]
	return value, ok
}

// unpack writes the files of an archive into a directory and makes it the current one.
func unpack(t *testing.T, files []txtar.File) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, f.Data, 0o644))
	}
	t.Chdir(dir)
}

func load(t *testing.T, yaml string) (*declarations.State, error) {
	t.Helper()
	unpack(t, []txtar.File{{Name: "app.yaml", Data: []byte(yaml)}})
	return declarations.NewLoader(kinds(), environ).Load(".")
}

func mustLoad(t *testing.T, yaml string) *declarations.State {
	t.Helper()
	state, err := load(t, yaml)
	require.NoError(t, err)
	return state
}

func id(name string) registry.ID { return registry.ID{Namespace: "app", Name: name} }

func names(state *declarations.State) []string {
	var all []string
	for entry := range state.Entries() {
		all = append(all, entry.ID.Name)
	}
	return all
}

// TestProblems loads each archive in testdata and compares what is wrong with it to its file "want". Set
// UPDATE_GOLDEN=1 to write what is found.
func TestProblems(t *testing.T) {
	paths, err := filepath.Glob("testdata/problems/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		path, err := filepath.Abs(path)
		require.NoError(t, err)
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			require.NoError(t, err)
			last := &archive.Files[len(archive.Files)-1]
			require.Equal(t, "want", last.Name, "the last file is what is expected")
			unpack(t, archive.Files[:len(archive.Files)-1])

			_, err = declarations.NewLoader(kinds(), environ).Load(".")
			require.Error(t, err)
			got := err.Error() + "\n"
			require.NotContains(t, got, "hunter2")
			require.NotContains(t, got, "8675309")
			require.True(t, printable.Prints(strings.ReplaceAll(got, "\n", "")))
			if os.Getenv("UPDATE_GOLDEN") != "" {
				last.Data = []byte(got)
				require.NoError(t, os.WriteFile(path, txtar.Format(archive), 0o644))
			}
			require.Equal(t, string(last.Data), got)
		})
	}
}

func TestProblemsAreOrderedAndTyped(t *testing.T) {
	_, err := load(t, `
namespace: app
entries:
  - {name: b, kind: nope}
  - {name: a, kind: test.everything, text: ""}
`)
	problems, ok := errors.AsType[*declarations.Problems](err)
	require.True(t, ok)
	require.Len(t, problems.List, 2)
	require.Equal(t, declarations.Problem{
		Position: registry.Position{File: "app.yaml", Line: 5}, ID: id("a"), Field: "text", Text: "must not be empty",
	}, problems.List[1])
	require.True(t, slices.IsSortedFunc(problems.List, func(a, b declarations.Problem) int {
		return a.Position.Line - b.Position.Line
	}))
}
