package registry_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	declarations "github.com/wippy-cdc/runtime/service/registry"
)

// recorder is a listener that notes what it is told and keeps what runs.
type recorder struct {
	calls   []string
	running map[registry.ID]bool
	fail    map[string]error // by call
	after   func(call string)
}

func (r *recorder) note(call string, id registry.ID) error {
	call += " " + id.Name
	r.calls = append(r.calls, call)
	if r.after != nil {
		r.after(call)
	}
	return r.fail[call]
}

func (r *recorder) Add(_ context.Context, entry *registry.Entry) error {
	call := "add"
	if entry.Start {
		call = "start"
	}
	err := r.note(call, entry.ID)
	if err == nil {
		r.running[entry.ID] = true
	}
	return err
}

func (r *recorder) Update(_ context.Context, entry *registry.Entry) error {
	return r.note("update", entry.ID)
}

func (r *recorder) Stop(ctx context.Context, id registry.ID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(r.running, id)
	return r.note("stop", id)
}

func (r *recorder) Delete(ctx context.Context, id registry.ID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	delete(r.running, id)
	return r.note("delete", id)
}

func (r *recorder) Applied(id registry.ID) bool { return r.running[id] }

func (r *recorder) take() []string {
	calls := r.calls
	r.calls = nil
	return calls
}

func applier() (*declarations.Applier, *recorder) {
	r := &recorder{running: make(map[registry.ID]bool), fail: make(map[string]error)}
	listeners := make(map[registry.Kind]registry.Listener)
	for _, kind := range kinds() {
		if kind.Name != "env.variable" {
			listeners[kind.Name] = r
		}
	}
	return declarations.NewApplier(listeners), r
}

// app declares a chain: web needs cdc, which needs db; other and idle stand alone.
const app = `
namespace: app
entries:
  - {name: web, kind: test.everything, ref: cdc, lifecycle: {auto_start: true}}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db}
  - {name: db, kind: db.sql.sqlite, file: a.db}
  - {name: other, kind: test.everything, lifecycle: {auto_start: true}}
  - {name: idle, kind: test.everything}
  - {name: variable, kind: env.variable, variable: X}
`

func TestStartsInOrderAndStopsInReverse(t *testing.T) {
	a, r := applier()
	require.NoError(t, a.Apply(t.Context(), mustLoad(t, app)))
	require.Equal(t, []string{"start db", "start cdc", "start web", "start other", "add idle"}, r.take())
	require.NoError(t, a.Apply(t.Context(), mustLoad(t, app)))
	require.Empty(t, r.take())
	require.NoError(t, a.Apply(t.Context(), &declarations.State{}))
	require.Equal(t, []string{"delete idle", "delete other", "delete web", "delete cdc", "delete db"}, r.take())
	require.NoError(t, a.Apply(t.Context(), &declarations.State{}))
	require.Empty(t, r.take())
}

func TestChangesRestartWhatDependsOnThem(t *testing.T) {
	for name, c := range map[string]struct {
		replace []string
		calls   []string
	}{
		"a comment": {[]string{"namespace", "# hello\nnamespace"}, nil},
		"a leaf":    {[]string{"name: other,", "name: other, text: x,"}, []string{"update other"}},
		"a root": {[]string{"a.db", "b.db"}, []string{
			"stop web", "stop cdc", "update db", "start cdc", "start web",
		}},
		"the middle": {[]string{"db_resource: db", "db_resource: db, snapshot: true"}, []string{
			"stop web", "update cdc", "start web",
		}},
		"a lifecycle": {[]string{"db_resource: db", "db_resource: db, lifecycle: {stop_timeout: 1s}"}, []string{
			"stop web", "update cdc", "start web",
		}},
		"a kind": {
			[]string{"{name: other, kind: test.everything,", "{name: other, kind: process.host,"},
			[]string{"delete other", "start other"},
		},
		"a new entry": {[]string{"entries:", "entries:\n  - {name: new, kind: test.everything}"}, []string{"add new"}},
		"a new name":  {[]string{"name: idle", "name: busy"}, []string{"delete idle", "add busy"}},
		"a new requirement": {[]string{"name: other,", "name: other, ref: idle,"}, []string{
			"stop other", "update idle", "start other", // idle is to run now
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a, r := applier()
			require.NoError(t, a.Apply(t.Context(), mustLoad(t, app)))
			r.take()
			changed := strings.NewReplacer(c.replace...).Replace(app)
			require.NotEqual(t, app, changed)
			require.NoError(t, a.Apply(t.Context(), mustLoad(t, changed)))
			require.Equal(t, c.calls, r.take())
		})
	}
}

func TestContentOfFilesIsPartOfAnEntry(t *testing.T) {
	unpack(t, []txtar.File{
		{Name: "app.yaml", Data: []byte("namespace: app\nentries: [{name: p, kind: process.lua, source: file://p.lua}]")},
		{Name: "p.lua", Data: []byte("return 1")},
	})
	loader := declarations.NewLoader(kinds(), nil)
	before, err := loader.Load(".")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile("p.lua", []byte("return 2"), 0o600))
	after, err := loader.Load(".")
	require.NoError(t, err)
	a, _ := applier()
	require.NoError(t, a.Apply(t.Context(), before))
	set := a.Plan(after)
	require.Empty(t, set.Ended)
	require.Len(t, set.Applied, 1)
	require.True(t, set.Applied[0].Update)
	require.NoError(t, a.Apply(t.Context(), after))
	require.Zero(t, a.Plan(after))
}

func TestFailuresStopOnlyWhatDependsOnThem(t *testing.T) {
	a, r := applier()
	boom := errs.New(errs.Unavailable, "boom")
	r.fail["start db"] = boom
	state := mustLoad(t, app)
	err := a.Apply(t.Context(), state)
	require.ErrorIs(t, err, boom)
	require.EqualError(t, err, "app.yaml:6: app:db: boom\n"+
		"app.yaml:5: app:cdc: not started: requires app:db, which failed: boom\n"+
		"app.yaml:4: app:web: not started: requires app:cdc, which requires app:db, which failed: boom")
	require.Equal(t, []string{"start db", "start other", "add idle"}, r.take())
	failed, ending := declarations.Apart(err)
	require.Empty(t, ending)
	require.Len(t, failed, 3)
	require.ErrorIs(t, failed["app:db"], boom)

	// The next time what has failed is tried again.
	delete(r.fail, "start db")
	require.NoError(t, a.Apply(t.Context(), state))
	require.Equal(t, []string{"start db", "start cdc", "start web"}, r.take())
	require.Len(t, r.running, 5)
}

func TestWhatIsNotStartedTellsEveryCauseOnce(t *testing.T) {
	a, r := applier()
	r.fail["start db"], r.fail["start other"] = errors.New("no disk"), errors.New("no luck")
	err := a.Apply(t.Context(), mustLoad(t, `
namespace: app
entries:
  - {name: db, kind: db.sql.sqlite, file: a.db}
  - {name: other, kind: test.everything}
  - {name: cdc, kind: db.cdc.sqlite, db_resource: db}
  - {name: web, kind: test.everything, lifecycle: {auto_start: true, requires: [cdc, other, db]}}
`))
	require.EqualError(t, err, "app.yaml:4: app:db: no disk\n"+
		"app.yaml:5: app:other: no luck\n"+
		"app.yaml:6: app:cdc: not started: requires app:db, which failed: no disk\n"+
		"app.yaml:7: app:web: not started: requires app:cdc, which requires app:db, which failed: no disk; "+
		"requires app:other, which failed: no luck")
	require.Equal(t, []string{"start db", "start other"}, r.take())
}

func TestFailedUpdateLeavesNothing(t *testing.T) {
	a, r := applier()
	require.NoError(t, a.Apply(t.Context(), mustLoad(t, app)))
	r.take()
	r.fail["update db"] = errors.New("boom")
	err := a.Apply(t.Context(), mustLoad(t, strings.ReplaceAll(app, "a.db", "b.db")))
	require.ErrorContains(t, err, "app:db: boom")
	require.Equal(t, []string{"stop web", "stop cdc", "update db", "stop db"}, r.take())
	require.Equal(t, map[registry.ID]bool{id("idle"): true, id("other"): true}, r.running)
}

// What was stopped for a replacement that never came is still told of its end, because it may keep something
// elsewhere; and it is started again once what it requires can be.
func TestEntriesThatWereNotStartedAgain(t *testing.T) {
	broken := strings.ReplaceAll(app, "a.db", "b.db")
	for name, c := range map[string]struct {
		next  string
		calls []string
	}{
		"cured":   {strings.ReplaceAll(app, "a.db", "c.db"), []string{"start db", "start cdc", "start web"}},
		"no cure": {broken, []string{"start db"}},
		"deleted": {"namespace: app\nentries:\n  - {name: db, kind: db.sql.sqlite, file: c.db}", []string{
			"delete idle", "delete other", "delete web", "delete cdc", "add db",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a, r := applier()
			require.NoError(t, a.Apply(t.Context(), mustLoad(t, app)))
			r.fail["update db"] = errors.New("boom")
			require.Error(t, a.Apply(t.Context(), mustLoad(t, broken)))
			r.take()
			if name == "no cure" {
				r.fail["start db"] = errors.New("boom")
			}
			err := a.Apply(t.Context(), mustLoad(t, c.next))
			require.Equal(t, name == "no cure", err != nil)
			require.Equal(t, c.calls, r.take())
		})
	}
}

func TestWhatHasFailedSinceIsStartedAgain(t *testing.T) {
	a, r := applier()
	state := mustLoad(t, app)
	require.NoError(t, a.Apply(t.Context(), state))
	r.take()
	delete(r.running, id("cdc"))
	require.Equal(t, []registry.Ended{{Entry: state.Entry(id("web"))}}, a.Plan(state).Ended)
	require.Empty(t, r.take(), "a plan changes nothing")
	require.NoError(t, a.Apply(t.Context(), state))
	require.Equal(t, []string{"stop web", "start cdc", "start web"}, r.take())
	require.NoError(t, a.Apply(t.Context(), state))
	require.Empty(t, r.take())
}

func TestDeclaredIsWhatIsAboutToRun(t *testing.T) {
	a, r := applier()
	require.Zero(t, a.Declared().Len())
	state := mustLoad(t, app)
	r.after = func(string) { require.Same(t, state, a.Declared()) }
	require.NoError(t, a.Apply(t.Context(), state))
	require.Same(t, state, a.Declared())
}

func TestEndingGoesOnAfterAFailure(t *testing.T) {
	a, r := applier()
	require.NoError(t, a.Apply(t.Context(), mustLoad(t, app)))
	r.take()
	r.fail["delete cdc"] = errors.New("stuck")
	err := a.Apply(t.Context(), &declarations.State{})
	require.EqualError(t, err, "app.yaml:5: app:cdc: stuck")
	failed, ending := declarations.Apart(err)
	require.Empty(t, failed)
	require.Len(t, ending, 1)
	require.Equal(t, id("cdc"), ending[0].ID)
	require.Len(t, r.take(), 5)
}

func TestApplyEndsWithItsContext(t *testing.T) {
	a, r := applier()
	ctx, cancel := context.WithCancelCause(t.Context())
	r.after = func(call string) {
		if call == "start cdc" {
			cancel(errors.New("interrupted"))
		}
	}
	require.EqualError(t, a.Apply(ctx, mustLoad(t, app)), "interrupted")
	require.Equal(t, []string{"start db", "start cdc"}, r.take())
	r.after = nil
	require.NoError(t, a.Apply(t.Context(), mustLoad(t, app)))
	require.Equal(t, []string{"start web", "start other", "add idle"}, r.take(), "the rest is made up for")
}

func TestAnEntryBesidesThoseThatAreDeclared(t *testing.T) {
	a, r := applier()
	state := mustLoad(t, app)
	more := state.With(&registry.Entry{ID: id("more"), Kind: "test.everything", Start: true})
	require.NoError(t, a.Apply(t.Context(), more))
	require.Equal(t, []string{"start db", "start cdc", "start web", "start other", "add idle", "start more"}, r.take())
	require.Nil(t, state.Entry(id("more")))
	r.fail["update more"] = errors.New("boom")
	changed := state.With(&registry.Entry{ID: id("more"), Kind: "test.everything"})
	require.EqualError(t, a.Apply(t.Context(), changed), "app:more: boom", "it stands in no file")
}

func TestDescribeNamesWhatChanges(t *testing.T) {
	a, _ := applier()
	before := mustLoad(t, app)
	require.NoError(t, a.Apply(t.Context(), before))
	after := mustLoad(t, strings.NewReplacer("a.db", "b.db", "name: idle", "name: busy").Replace(app))
	require.Equal(t, []any{
		slog.Any("added", []string{"app:busy"}), slog.Any("updated", []string{"app:db"}),
		slog.Any("restarted", []string{"app:cdc", "app:web"}), slog.Any("deleted", []string{"app:idle"}),
	}, declarations.Describe(before, a.Plan(after)))
	require.Empty(t, declarations.Describe(before, registry.ChangeSet{}))
}

func TestStartingAddsToWhatIsStarted(t *testing.T) {
	state := mustLoad(t, strings.ReplaceAll(app, "auto_start: true", "auto_start: false"))
	wanted := state.Starting(id("cdc"))
	started := func(s *declarations.State) []string {
		var all []string
		for entry := range s.Entries() {
			if entry.Start {
				all = append(all, entry.ID.Name)
			}
		}
		return all
	}
	require.Empty(t, started(state))
	require.Equal(t, []string{"db", "cdc"}, started(wanted))
	require.Equal(t, []string{"db", "cdc", "other"}, started(wanted.Starting(id("other"))))
	state = mustLoad(t, app)
	require.Equal(t, []string{"db", "cdc", "web", "other"}, started(state))
	require.Empty(t, started(state.Idle()))
	require.Equal(t, []string{"db"}, started(state.Idle().Starting(id("db"))))
	require.Equal(t, []string{"db", "cdc", "web", "other"}, started(state), "a state does not change")
}
