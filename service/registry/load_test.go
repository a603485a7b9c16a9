package registry_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/process"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	sqlapi "github.com/wippy-cdc/runtime/api/service/sql"
	"github.com/wippy-cdc/runtime/api/supervisor"
	"github.com/wippy-cdc/runtime/api/unit"
	declarations "github.com/wippy-cdc/runtime/service/registry"
)

func TestEveryTypeIsDecoded(t *testing.T) {
	state := mustLoad(t, `
version: "1.0"
namespace: app
entries:
  - name: all
    kind: test.everything
    meta: {comment: hello, order: 3, tags: [a, 1.5, true, null]}
    text: 2020-01-01
    flag: true
    count: 0x10
    ratio: 2
    maybe: -5
    list: [{name: a, size: 1_000}, {}]
    table: {x: {name: y}}
    ref: other
    refs: [app:other, other]
    any: {n: 1, f: 1.5, s: "1", l: [], z: ~}
    inside: in
    untold: u
  - name: other
    kind: test.everything
    list:
    table:
    maybe: ~
`)
	entry := state.Entry(id("all"))
	five := -5
	require.Equal(t, &everything{
		Text: "2020-01-01", Flag: true, Small: 7, Count: 16, Ratio: 2, Maybe: &five,
		List: []nested{{"a", 1000}, {}}, Table: map[string]nested{"x": {Name: "y"}},
		Ref: id("other"), Refs: []registry.ID{id("other"), id("other")},
		Any:    map[string]any{"n": int64(1), "f": 1.5, "s": "1", "l": []any{}, "z": nil},
		Inline: Inline{"in"}, Untold: "u",
	}, entry.Config)
	require.Equal(t, map[string]any{
		"comment": "hello", "order": int64(3), "tags": []any{"a", 1.5, true, nil},
	}, entry.Meta)
	require.Equal(t, []registry.ID{id("other")}, entry.Requires)
	require.Equal(t, registry.Position{File: "app.yaml", Line: 5}, entry.Position)
	require.Equal(t, ".", entry.Dir)
	require.Equal(t, supervisor.DefaultLifecycle(), entry.Lifecycle)
	require.Equal(t, &everything{Text: "default", Small: 7}, state.Entry(id("other")).Config)
	require.Nil(t, state.Entry(id("nobody")))
	require.Equal(t, 2, state.Len())
}

func TestTheExampleOfTheContract(t *testing.T) {
	unpack(t, []txtar.File{
		{Name: "src/_index.yaml", Data: []byte(`
version: "1.0"
namespace: app
entries:
  - name: cdc
    kind: db.cdc.sqlite
    db_resource: app:db
    tables: [users, orders]
    log_bytes: 1GiB
    status_interval: 1m30s
    lifecycle: {auto_start: true}
  - name: db
    kind: db.sql.sqlite
    file: ./data/app.db
    options: {cache_size: "-8000"}
  - name: watcher
    kind: process.lua
    source: file://lua/watcher.lua
    modules: [sql]
  - name: processes
    kind: process.host
  - name: watcher.service
    kind: process.service
    process: app:watcher
    host: app:processes
    input: [1, two]
    lifecycle: {auto_start: true, requires: [cdc], restart: {max_attempts: 3}}
`)},
		{Name: "src/lua/watcher.lua", Data: []byte("return {}")},
		{Name: "src/lua/unrelated.yaml", Data: []byte("just: data")},
		{Name: "src/empty.yaml", Data: []byte("# nothing\n")},
		{Name: "ignored.yaml", Data: []byte("namespace: app\nentries: [{name: x, kind: nope}]")},
	})
	state, err := declarations.NewLoader(kinds(), nil).Load(".")
	require.NoError(t, err)
	require.Equal(t, []string{"db", "cdc", "watcher", "processes", "watcher.service"}, names(state))

	source := state.Entry(id("cdc")).Config.(*api.SQLiteConfig)
	require.Equal(t, id("db"), source.DBResource)
	require.Equal(t, unit.GiB, source.LogBytes)
	require.Equal(t, unit.Duration(90*time.Second), source.StatusInterval)
	require.Equal(t, map[string]string{"cache_size": "-8000"}, state.Entry(id("db")).Config.(*sqlapi.SQLiteConfig).Options)
	require.Equal(t, "src", state.Entry(id("watcher")).Dir)

	service := state.Entry(id("watcher.service"))
	require.Equal(t, []any{int64(1), "two"}, service.Config.(*process.ServiceConfig).Input)
	require.Equal(t, []registry.ID{id("watcher"), id("processes"), id("cdc")}, service.Requires)
	require.Equal(t, []string{"app:cdc"}, service.Lifecycle.Requires)
	require.Equal(t, 3, service.Lifecycle.Restart.MaxAttempts)
	require.Equal(t, unit.Duration(time.Second), service.Lifecycle.Restart.InitialDelay)
}

func TestEnvironmentIsSubstituted(t *testing.T) {
	state := mustLoad(t, `
namespace: app
entries:
  - {name: secret, kind: env.variable, variable: SECRET}
  - {name: target, kind: env.variable, variable: TARGET, default: app:d}
  - name: b
    kind: test.everything
    text: ${env:PORT}
    count: ${env:PORT}
    flag: ${env:FLAG|true}
    ratio: ${env:RATIO|1.5}
    ref: ${env:app:target}
    list: [{name: "a-${env:PORT}-${env:unset|x|y}-$${env:PORT}-${other}-$"}]
    any: ["${env:PORT}", "${env:EMPTY}", "${env:secret}"]
    lifecycle: {requires: ["${env:target}"], stop_timeout: "${env:T|7s}"}
  - name: d
    kind: test.everything
    any: ${env:PORT}
    untold: $${x}
`)
	entry := state.Entry(id("b"))
	config := entry.Config.(*everything)
	require.Equal(t, "5432", config.Text)
	require.Equal(t, uint(5432), config.Count)
	require.True(t, config.Flag)
	require.InDelta(t, 1.5, config.Ratio, 0)
	require.Equal(t, id("d"), config.Ref)
	require.Equal(t, "a-5432-x|y-${env:PORT}-${other}-$", config.List[0].Name)
	require.Equal(t, []any{"5432", "", `hunter2 "quoted"`}, config.Any, "what stands in quotes stays text")
	require.Equal(t, []registry.ID{id("d")}, entry.Requires)
	require.Equal(t, unit.Duration(7*time.Second), entry.Lifecycle.StopTimeout)
	require.Equal(t, int64(5432), state.Entry(id("d")).Config.(*everything).Any)
	require.Equal(t, "${x}", state.Entry(id("d")).Config.(*everything).Untold)
}

func TestMergesGiveWayToWhatIsWritten(t *testing.T) {
	state := mustLoad(t, `
namespace: app
entries:
  - name: a
    kind: test.everything
    lifecycle: &life {auto_start: true, stop_timeout: 1s, restart: {max_attempts: 5}}
  - name: b
    kind: test.everything
    lifecycle:
      <<: *life
      stop_timeout: 2s
  - {name: c, kind: test.everything, lifecycle: *life}
`)
	b, c := state.Entry(id("b")).Lifecycle, state.Entry(id("c")).Lifecycle
	require.True(t, b.AutoStart)
	require.Equal(t, unit.Duration(2*time.Second), b.StopTimeout)
	require.Equal(t, 5, b.Restart.MaxAttempts)
	require.Equal(t, unit.Duration(time.Second), c.StopTimeout)
}

func TestExpandingAliasesIsBounded(t *testing.T) {
	var yaml strings.Builder
	yaml.WriteString("namespace: app\nentries:\n  - name: a\n    kind: test.everything\n    any:\n      x0: &x0 [1, 2]\n")
	for i := range 30 {
		n, m := string(rune('a'+i%26))+string(rune('a'+i/26)), "x0"
		if i > 0 {
			m = string(rune('a'+(i-1)%26)) + string(rune('a'+(i-1)/26))
		}
		yaml.WriteString("      " + n + ": &" + n + " [*" + m + ", *" + m + "]\n")
	}
	_, err := load(t, yaml.String())
	require.ErrorContains(t, err, "has more than 50000 values")

	_, err = load(t, "namespace: app\nentries:\n  - name: a\n    kind: test.everything\n    any: &x [*x]\n")
	require.ErrorContains(t, err, "nested deeper than 100 levels")
}

func TestDirectories(t *testing.T) {
	loader := declarations.NewLoader(kinds(), environ)
	dir := t.TempDir()
	file := filepath.Join(dir, "app.yaml")

	_, err := loader.Load(filepath.Join(dir, "nowhere"))
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.ErrorContains(t, err, "nowhere\": it does not exist")

	_, err = loader.Load(dir)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.EqualError(t, err, `registry: read "`+dir+`": there is no YAML file with namespace and entries in it; is this the directory of an app?`)

	require.NoError(t, os.WriteFile(file, []byte("namespace: app\nentries: [{name: a, kind: test.everything}]"), 0o600))
	_, err = loader.Load(file)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.ErrorContains(t, err, "it is not a directory")

	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	state, err := loader.Load(link)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(link, "app.yaml"), state.Entry(id("a")).Position.File)
}

func TestFilesThatDeclareNothingAreNamed(t *testing.T) {
	unpack(t, []txtar.File{
		{Name: "src/_index.yaml", Data: []byte("\n")},
		{Name: "src/a.yaml", Data: []byte("namespace: app\nentires: []\n")},
		{Name: "src/b.yml", Data: []byte("entries: []\n")},
		{Name: "src/c.yml", Data: []byte("# all is commented out\n---\n")},
		{Name: "src/readme.md"},
	})
	_, err := declarations.NewLoader(kinds(), environ).Load(".")
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.EqualError(t, err, `registry: read "src": there is no YAML file with namespace and entries in it `+
		`(src/_index.yaml is empty, src/a.yaml has no entries, src/b.yml has no namespace, src/c.yml is empty); `+
		`is this the directory of an app?`)

	for _, name := range []string{"d", "e", "f"} {
		require.NoError(t, os.WriteFile("src/"+name+".yaml", nil, 0o600))
	}
	_, err = declarations.NewLoader(kinds(), environ).Load(".")
	require.ErrorContains(t, err, "src/d.yaml is empty, and 2 more)")
}

func TestAFileIsTheSameWhateverItsName(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.Mkdir("data", 0o700))
	require.NoError(t, os.Symlink("data", "link"))
	dir, err := os.Getwd()
	require.NoError(t, err)
	for _, file := range []string{dir + "/data/new.db", "link/new.db", dir + "/link/../data/new.db"} {
		require.NoError(t, os.WriteFile("app.yaml", []byte("namespace: app\nentries:\n"+
			"  - {name: a, kind: db.sql.sqlite, file: data/new.db}\n  - {name: b, kind: db.sql.sqlite, file: "+file+"}\n"), 0o600))
		for _, appDir := range []string{".", dir, "data/.."} {
			_, err := declarations.NewLoader(kinds(), environ).Load(appDir)
			require.ErrorContains(t, err, "app:b: file: is the file of app:a (", file)
		}
	}
}

func TestUnreadableFileIsAProblem(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink(filepath.Join(dir, "gone"), filepath.Join(dir, "dangling.yaml")))
	_, err := declarations.NewLoader(kinds(), environ).Load(dir)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.ErrorContains(t, err, "dangling.yaml")
}

// A pipe would be waited for, and a device has no end.
func TestWhatIsNoFileIsNotRead(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("app.yaml", []byte("namespace: app\nentries:\n"+
		"  - {name: a, kind: process.lua, source: file://pipe}\n  - {name: b, kind: process.lua, source: file:///../zero}\n"+
		"  - {name: c, kind: process.lua, source: file://zero}\n"), 0o600))
	require.NoError(t, syscall.Mkfifo("pipe", 0o600))
	require.NoError(t, syscall.Mkfifo("pipe.yaml", 0o600))
	require.NoError(t, os.Symlink("/dev/zero", "zero"))
	require.NoError(t, os.Symlink("zero", "zero.yml"))
	_, err := declarations.NewLoader(kinds(), environ).Load(".")
	require.EqualError(t, err, `app.yaml:3: app:a: source: "pipe" cannot be read: it is a named pipe, not a file
app.yaml:4: app:b: source: "/../zero" is an absolute path: paths are relative to the YAML file, write file://zero if it is beside it
app.yaml:5: app:c: source: "zero" cannot be read: it is a device, not a file
pipe.yaml: cannot be read: it is a named pipe, not a file
zero.yml: cannot be read: it is a device, not a file`)
}

// Options are texts, but what is written without quotes is meant as it is written.
func TestOptionsNeedNoQuotes(t *testing.T) {
	state := mustLoad(t, `
namespace: app
entries:
  - {name: a, kind: db.sql.sqlite, file: a.db}
  - {name: b, kind: db.sql.sqlite, file: a.db, options: {query_only: true, cache_size: -8000, x: 007, y: 1.50, z: "q", v: "${env:PORT}", w: 2020-01-01}}
`)
	config := state.Entry(id("b")).Config.(*sqlapi.SQLiteConfig)
	require.Equal(t, map[string]string{
		"query_only": "true", "cache_size": "-8000", "x": "007", "y": "1.50", "z": "q", "v": "5432", "w": "2020-01-01",
	}, config.Options)
}
