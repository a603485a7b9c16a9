package sqlite_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rule is something that capture must do, and the edit of the source that makes it not do it.
type rule struct{ name, file, text, instead string }

func rules() []rule {
	return []rule{
		{"a savepoint cuts the arena back", "capture/savepoint.c", "wippy_arena_cut(&c->arena, c->marks[n].offset);", ""},
		{"the sentinel is enlisted before the first write", "session.go", "what < writes || s.state.Idle()", "what < writes || true"},
		{"a commit counts when the statement has ended", "capture/capture.c", "c->committing = 1;", "wippy_seal(c);"},
		{"a script is split into statements", "conn.go", "if !engaged || isSingle(query) {", "if true {"},
		{"a table is resolved when its row is met", "session.go", "s.recorder.ForgetTables()", "false"},
		{"a prepared RETURNING is settled before its next use", "stmt.go", "if !s.returns ||", "if true ||"},
		{"RETURNING commits when its rows are closed", "stmt.go", "r.conn.session.after(r.what)", "_ = 0"},
		{"unreset statements that a rollback aborts count as a transaction", "capture/capture.go", "s&(Autocommit|Writing|Unreset)", "s&(Autocommit|Writing)"},
		{"the schema is compared around DDL", "session.go", "s.recordDDL(what)", "_ = 0"},
		{"a REAL column shows no integers", "decode.go", "makeReal(change.Before, s.reals)", "_ = 0"},
		{"virtual columns are left out", "columns.go", "if row[6] == hiddenVirtual {", "if false {"},
		{"columns hide the rowid", "columns.go", "strings.EqualFold(name, alias)", "false"},
		{"virtual columns hide the rowid", "columns.go", "names = append(names, name)", "if row[6] != hiddenVirtual { names = append(names, name) }"},
		{"a key with NULL is none", "../../../api/service/cdc/key.go", "!slices.ContainsFunc(c.Table.Key, isNull)", "isNull != nil"},
		{"a new key is told", "../../../api/service/cdc/key.go", "if !c.keyHasChanged() {", "if true {"},
		{"a key that may hold NULL and has no rowid beside it is none", "columns.go", "table.Key = nil", "_ = 0"},
		{"expressions are defaults in brackets", "defaults.go", `create("(" + s.defaults[column] + "\n)")`, "create(s.defaults[column])"},
		{"words are defaults without", "defaults.go", "create(s.defaults[column]) == nil", "false"},
		{"enlisting leaves total_changes() alone", "capture/savepoint.c", "sqlite3_total_changes64(c->db) - c->pretended", "sqlite3_total_changes64(c->db)"},
		{"tables that are created are recorded", "ddl.go", "s.recordCreated()", "_ = 0"},
		{"tables that are dropped are recorded", "ddl.go", "s.recordDropped()", "_ = 0"},
		{"the content of an index is no shadow table", "shadow.go", `suffix == "content" && !v.keepsContent()`, "false"},
		{"the savepoint sentinel is brought back", "session.go", "_ = s.recorder.Reinstall()", "_ = 0"},
		{"enlisting leaves changes() alone", "capture/savepoint.c", "c->enlist_rows = sqlite3_changes64(c->db);", "c->enlist_rows = 0;"},
	}
}

var divergedLine = regexp.MustCompile(`(\d+) of (\d+) scripts diverged`)

// The suite is worth something only if it fails when a rule is broken. With WIPPY_TEETH=n in the environment, n scripts
// are tried on each, else as many as it takes.
func TestTheSuiteHasTeeth(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the package once for each rule")
	}
	env := []string{"WIPPY_SEEDS=1000", "WIPPY_SEEDS_ENOUGH=1"}
	if n := os.Getenv("WIPPY_TEETH"); n != "" {
		env = []string{"WIPPY_SEEDS=" + n}
	}
	most := 0
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			output := runWeakened(t, r, env)
			found := divergedLine.FindStringSubmatch(output)
			require.NotNil(t, found, output)
			t.Logf("without this: %s", found[0])
			require.NotEqual(t, "0", found[1], "the suite does not notice that this is missing")
			tried, err := strconv.Atoi(found[2])
			require.NoError(t, err)
			most = max(most, tried)
		})
	}
	for seed := 1; seed <= most; seed++ {
		require.False(t, diverges(t, seed), "script %d diverges with all rules in force", seed)
	}
}

// builtWith returns the build tags of this program.
func builtWith(t *testing.T) string {
	t.Helper()
	info, ok := debug.ReadBuildInfo()
	require.True(t, ok)
	i := slices.IndexFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-tags" })
	require.GreaterOrEqual(t, i, 0, "a program without tags captures nothing")
	return info.Settings[i].Value
}

// runWeakened builds the suite with one rule taken away and runs it.
func runWeakened(t *testing.T, r rule, env []string) string {
	t.Helper()
	dir := t.TempDir()
	source, err := os.ReadFile(r.file)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(source), r.text), "%s: %s holds the text once", r.name, r.file)
	weakened, overlay := filepath.Join(dir, filepath.Base(r.file)), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(weakened, []byte(strings.Replace(string(source), r.text, r.instead, 1)), 0o600))
	original, err := filepath.Abs(r.file)
	require.NoError(t, err)
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{original: weakened}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))
	program := filepath.Join(dir, "weakened.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-tags", builtWith(t), "-overlay", overlay, "-o", program, ".")
	built, err := build.CombinedOutput()
	require.NoError(t, err, "%s: %s", r.name, built)
	run := exec.CommandContext(t.Context(), program, "-test.v", "-test.run", "^TestSeeds$")
	run.Env = append(run.Environ(), env...)
	output, _ := run.CombinedOutput() // a program that dies of it has not said how many
	return string(output)
}
