package registry_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	declarations "github.com/wippy-cdc/runtime/service/registry"
)

// graph draws the references of n entries, e0 to en, to each other.
func graph(rt *rapid.T) [][]int {
	n := rapid.IntRange(1, 8).Draw(rt, "entries")
	refs := make([][]int, n)
	for i := range refs {
		refs[i] = rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, min(n, 3), rapid.ID[int]).Draw(rt, "refs")
	}
	return refs
}

// isCyclic removes entries whose references are all removed until none is left, or none can be.
func isCyclic(refs [][]int) bool {
	removed := make([]bool, len(refs))
	for progress := true; progress; {
		progress = false
		for i, targets := range refs {
			if !removed[i] && !slices.ContainsFunc(targets, func(j int) bool { return !removed[j] }) {
				removed[i], progress = true, true
			}
		}
	}
	return slices.Contains(removed, false)
}

func declare(refs [][]int) string {
	var yaml strings.Builder
	yaml.WriteString("namespace: app\nentries:\n")
	for i, targets := range refs {
		names := make([]string, len(targets))
		for k, j := range targets {
			names[k] = fmt.Sprintf("e%d", j)
		}
		fmt.Fprintf(&yaml, "  - {name: e%d, kind: test.everything, refs: [%s]}\n", i, strings.Join(names, ", "))
	}
	return yaml.String()
}

// TestCyclesAreFoundAndNothingElse compares with a simpler algorithm on random graphs. A cycle that is reported must
// be one; entries without cycles must be in order.
func TestCyclesAreFoundAndNothingElse(t *testing.T) {
	unpack(t, nil)
	loader := declarations.NewLoader(kinds(), environ)
	rapid.Check(t, func(rt *rapid.T) {
		refs := graph(rt)
		require.NoError(rt, os.WriteFile("app.yaml", []byte(declare(refs)), 0o600))
		state, err := loader.Load(".")
		if !isCyclic(refs) {
			require.NoError(rt, err)
			seen := make(map[registry.ID]bool)
			for entry := range state.Entries() {
				for _, required := range entry.Requires {
					require.True(rt, seen[required], "%s comes before %s", entry.ID, required)
				}
				seen[entry.ID] = true
			}
			require.Len(rt, seen, len(refs))
			return
		}
		problems, ok := errors.AsType[*declarations.Problems](err)
		require.True(rt, ok, "%v", err)
		for _, problem := range problems.List {
			path, ok := strings.CutPrefix(problem.Text, "requires itself: ")
			require.True(rt, ok, problem.Text)
			requireCycle(rt, strings.Split(path, " -> "), refs)
		}
	})
}

func requireCycle(rt *rapid.T, path []string, refs [][]int) {
	require.Equal(rt, path[0], path[len(path)-1])
	for k := range len(path) - 1 {
		var from, to int
		_, err := fmt.Sscanf(path[k]+" "+path[k+1], "app:e%d app:e%d", &from, &to)
		require.NoError(rt, err)
		require.Contains(rt, refs[from], to)
	}
}

// TestStartSetIsClosed checks on random graphs that exactly what is wanted starts: the roots and all they require.
func TestStartSetIsClosed(t *testing.T) {
	unpack(t, nil)
	loader := declarations.NewLoader(kinds(), environ)
	rapid.Check(t, func(rt *rapid.T) {
		refs := graph(rt)
		for i := range refs { // references to later entries only, so that there is no cycle
			refs[i] = slices.DeleteFunc(refs[i], func(j int) bool { return j <= i })
		}
		require.NoError(rt, os.WriteFile("app.yaml", []byte(declare(refs)), 0o600))
		state, err := loader.Load(".")
		require.NoError(rt, err)
		roots := rapid.SliceOfDistinct(rapid.IntRange(0, len(refs)-1), rapid.ID[int]).Draw(rt, "roots")

		want := make(map[string]bool)
		var visit func(i int)
		visit = func(i int) {
			want[fmt.Sprintf("e%d", i)] = true
			for _, j := range refs[i] {
				visit(j)
			}
		}
		var ids []registry.ID
		for _, i := range roots {
			visit(i)
			ids = append(ids, id(fmt.Sprintf("e%d", i)))
		}
		for entry := range state.Starting(ids...).Entries() {
			require.Equal(rt, want[entry.ID.Name], entry.Start, entry.ID)
		}
		for entry := range state.Entries() {
			require.False(rt, entry.Start, "the state itself is not changed")
		}
	})
}

// mutations are pieces of YAML that the next test puts in random places.
func mutations() []string {
	return []string{
		"", " ", "\n", "- ", ": ", "{", "}", "[", "]", "&a ", "*a", "<<: *a", "!!int ", "!x ", "|\n", "'", "\"", "#", "~",
		"${env:", "${env:PORT}", "${env:SECRET}", "$${", "null", "true", "1e400", "-1", "0x", "app:", "a b", "\t", "\x00", "é", "---\n",
		"name", "kind", "lifecycle", "meta", "refs", "list",
	}
}

// TestNoInputIsTooStrange damages a good file in random places: reading it must either work or end in problems that
// lie within the file and show no secret.
func TestNoInputIsTooStrange(t *testing.T) {
	const good = `version: "1.0"
namespace: app
entries:
  - name: a
    kind: test.everything
    text: &a hello
    list: [{name: x, size: 1}]
    table: {k: {name: *a}}
    refs: [b, app:b]
    any: {deep: [1, {two: "${env:SECRET}"}]}
    lifecycle: {auto_start: true, requires: [b], stop_timeout: 3s}
  - name: b
    kind: db.sql.sqlite
    file: ${env:SECRET}
    meta: {command: {name: x}}
`
	unpack(t, nil)
	loader := declarations.NewLoader(kinds(), environ)
	rapid.Check(t, func(rt *rapid.T) {
		text := good
		for range rapid.IntRange(0, 4).Draw(rt, "mutations") {
			from := rapid.IntRange(0, len(text)).Draw(rt, "from")
			to := min(len(text), from+rapid.SampledFrom([]int{0, 0, 1, 3, 10}).Draw(rt, "cut"))
			text = text[:from] + rapid.SampledFrom(mutations()).Draw(rt, "piece") + text[to:]
		}
		require.NoError(rt, os.WriteFile("app.yaml", []byte(text), 0o600))
		state, err := loader.Load(".")
		if err == nil {
			require.NotNil(rt, state)
			return
		}
		require.NotContains(rt, err.Error(), "hunter2")
		require.Contains(rt, []errs.Kind{errs.Invalid, errs.NotFound}, errs.KindOf(err))
		problems, ok := errors.AsType[*declarations.Problems](err)
		require.Equal(rt, errs.KindOf(err) == errs.Invalid, ok)
		if ok {
			for _, problem := range problems.List {
				require.Equal(rt, "app.yaml", problem.Position.File)
				require.LessOrEqual(rt, problem.Position.Line, strings.Count(text, "\n")+2)
				require.NotEmpty(rt, problem.Text)
			}
		}
	})
}

// TestTextSurvivesQuoting checks that any text, its ${ escaped, comes back as it was.
func TestTextSurvivesQuoting(t *testing.T) {
	unpack(t, nil)
	loader := declarations.NewLoader(kinds(), environ)
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("ab:{}$ env|PORT5'#é~.-"))).Draw(rt, "text")
		// A $ before ${ would be taken for the escape.
		if strings.Contains(text, "$${") || text == "" {
			rt.Skip("not what this is about")
		}
		escaped := strings.ReplaceAll(strings.ReplaceAll(text, "${", "$${"), "'", "''")
		yaml := "namespace: app\nentries: [{name: a, kind: test.everything, text: '" + escaped + "'}]"
		require.NoError(rt, os.WriteFile("app.yaml", []byte(yaml), 0o600))
		state, err := loader.Load(".")
		require.NoError(rt, err)
		require.Equal(rt, text, state.Entry(id("a")).Config.(*everything).Text)
	})
}
