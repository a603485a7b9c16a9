package registry_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wippy-cdc/runtime/api/registry"
	declarations "github.com/wippy-cdc/runtime/service/registry"
)

// TestPlansAreOrdered applies random sequences of states: every entry must start after what it requires and stop
// before it, and what runs in the end must be what is declared.
func TestPlansAreOrdered(t *testing.T) {
	unpack(t, nil)
	loader := declarations.NewLoader(kinds(), nil)
	rapid.Check(t, func(rt *rapid.T) {
		r := &orderChecker{rt: rt, running: make(map[registry.ID]*registry.Entry)}
		a := declarations.NewApplier(map[registry.Kind]registry.Listener{"test.everything": r})
		for range rapid.IntRange(1, 5).Draw(rt, "states") {
			require.NoError(rt, os.WriteFile("app.yaml", []byte(randomApp(rt)), 0o600))
			state, err := loader.Load(".")
			require.NoError(rt, err)
			require.NoError(rt, a.Apply(t.Context(), state))
			require.ElementsMatch(rt, slices.Collect(maps.Keys(r.running)), ids(state))
			for entry := range state.Entries() {
				require.Equal(rt, entry.Config, r.running[entry.ID].Config)
			}
		}
		require.NoError(rt, a.Apply(t.Context(), &declarations.State{}))
		require.Empty(rt, r.running)
	})
}

// TestPlansRecoverFromFailures lets entries fail at random: those that run must always have what they require, and once
// nothing fails any more all that is declared runs, and nothing else is kept.
func TestPlansRecoverFromFailures(t *testing.T) {
	unpack(t, nil)
	loader := declarations.NewLoader(kinds(), nil)
	rapid.Check(t, func(rt *rapid.T) {
		r := &failing{orderChecker: orderChecker{rt: rt, running: make(map[registry.ID]*registry.Entry)}, kept: make(map[registry.ID]bool)}
		a := declarations.NewApplier(map[registry.Kind]registry.Listener{"test.everything": r})
		var state *declarations.State
		for range rapid.IntRange(1, 6).Draw(rt, "states") {
			require.NoError(rt, os.WriteFile("app.yaml", []byte(randomApp(rt)), 0o600))
			var err error
			state, err = loader.Load(".")
			require.NoError(rt, err)
			r.chance = rapid.IntRange(0, 3).Draw(rt, "chance")
			if err = a.Apply(t.Context(), state); err == nil {
				require.ElementsMatch(rt, slices.Collect(maps.Keys(r.running)), ids(state))
			}
			for _, id := range rapid.SliceOf(rapid.SampledFrom(ids(state))).Draw(rt, "failed since") {
				delete(r.running, id)
			}
		}
		r.chance = 0
		require.NoError(rt, a.Apply(t.Context(), state))
		require.ElementsMatch(rt, slices.Collect(maps.Keys(r.running)), ids(state))
		require.ElementsMatch(rt, slices.Collect(maps.Keys(r.kept)), ids(state), "what is gone is told so")
		require.NoError(rt, a.Apply(t.Context(), &declarations.State{}))
		require.Empty(rt, r.running)
		require.Empty(rt, r.kept)
	})
}

// failing is an orderChecker that fails now and then. Entries keep something until they are deleted.
type failing struct {
	orderChecker

	chance int
	kept   map[registry.ID]bool
}

func (f *failing) fails() error {
	if f.chance > 0 && rapid.IntRange(0, 9).Draw(f.rt, "fails") < f.chance {
		return errors.New("failed")
	}
	return nil
}

func (f *failing) Add(ctx context.Context, entry *registry.Entry) error {
	if err := f.fails(); err != nil {
		return err
	}
	f.kept[entry.ID] = true
	return f.orderChecker.Add(ctx, entry)
}

func (f *failing) Update(ctx context.Context, entry *registry.Entry) error {
	if err := f.fails(); err != nil {
		return err
	}
	return f.orderChecker.Update(ctx, entry)
}

func (f *failing) Delete(ctx context.Context, id registry.ID) error {
	delete(f.kept, id)
	return f.orderChecker.Delete(ctx, id)
}

func ids(state *declarations.State) []registry.ID {
	var all []registry.ID
	for entry := range state.Entries() {
		all = append(all, entry.ID)
	}
	return all
}

// randomApp declares some of the entries a to h, each requiring some of those that come before it.
func randomApp(rt *rapid.T) string {
	var yaml strings.Builder
	yaml.WriteString("namespace: app\nentries:\n")
	present := []string{"none"}
	yaml.WriteString("  - {name: none, kind: test.everything}\n")
	order := rapid.Permutation([]string{"a", "b", "c", "d", "e", "f", "g", "h"}).Draw(rt, "order")
	for _, name := range order[:rapid.IntRange(1, len(order)).Draw(rt, "entries")] {
		refs := rapid.SliceOfDistinct(rapid.SampledFrom(present), rapid.ID[string]).Draw(rt, "refs")
		text := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "text")
		yaml.WriteString("  - {name: " + name + ", kind: test.everything, text: " + text +
			", refs: [" + strings.Join(refs, ", ") + "]}\n")
		present = append(present, name)
	}
	return yaml.String()
}

// orderChecker is a listener that fails the test when the order is wrong.
type orderChecker struct {
	rt      *rapid.T
	running map[registry.ID]*registry.Entry
}

func (o *orderChecker) Add(_ context.Context, entry *registry.Entry) error {
	require.NotContains(o.rt, o.running, entry.ID)
	return o.put(entry)
}

func (o *orderChecker) Update(_ context.Context, entry *registry.Entry) error {
	require.Contains(o.rt, o.running, entry.ID)
	o.noDependents(entry.ID)
	return o.put(entry)
}

func (o *orderChecker) put(entry *registry.Entry) error {
	for _, required := range entry.Requires {
		require.Contains(o.rt, o.running, required, "%s starts before %s", entry.ID, required)
	}
	o.running[entry.ID] = entry
	return nil
}

func (o *orderChecker) Stop(ctx context.Context, id registry.ID) error { return o.Delete(ctx, id) }

func (o *orderChecker) Delete(_ context.Context, id registry.ID) error {
	o.noDependents(id)
	delete(o.running, id)
	return nil
}

func (o *orderChecker) Applied(id registry.ID) bool { return o.running[id] != nil }

func (o *orderChecker) noDependents(id registry.ID) {
	for _, other := range o.running {
		require.NotContains(o.rt, other.Requires, id, "%s ends before %s", id, other.ID)
	}
}
