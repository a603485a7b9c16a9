// Package sinktest holds what every destination of sinks has to do. It runs a sink on a durable source, and looks at what
// arrives.
package sinktest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/service/cdc/sink"
)

// Destination is one under test.
type Destination interface {
	// Kind returns that of sinks that deliver to it.
	Kind(id registry.ID, config *api.SinkConfig) sink.Kind
	// Received returns everything that has arrived and was confirmed, in the order of arrival, as JSON in the format debezium.
	Received(t *testing.T) []string
	// Down makes it unreachable until Up is called.
	Down(t *testing.T)
	Up(t *testing.T)
	// Hold makes it take requests and answer none, until Release is called.
	Hold(t *testing.T)
	Release(t *testing.T)
	// Limit makes it reject what is larger than 32 KiB, or not any more.
	Limit(t *testing.T, on bool)
}

// Properties says what destinations differ in.
type Properties struct {
	// Once says that nothing arrives twice, however the sink or the destination ends.
	Once bool
	// Ordered says that changes of different keys arrive in order as well.
	Ordered bool
}

// Run runs the suite; each test gets a destination of its own.
func Run(t *testing.T, properties Properties, destination func(t *testing.T) Destination) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *House, Properties){
		"delivers":        testDelivers,
		"restart":         testRestart,
		"away at start":   testAwayAtStart,
		"away under load": testAwayUnderLoad,
		"hangs":           testHangs,
		"rejects":         testRejects,
		"rejects a row":   testRejectsInSnapshot,
		"parks":           testParks,
		"parked by key":   testParkedByKey,
		"parked anew":     testParkedAnew,
		"parked, odd":     testParkedOddNames,
		"unparks":         testUnparks,
		"parked, stop":    testStopsBehindParked,
		"gives up":        testGivesUp,
		"stops under way": testStopsUnderWay,
		"snapshot":        testSnapshot,
		"gap":             testGap,
		"gap, ahead":      testGapAhead,
		"gap, anew":       testGapAnew,
		"schema":          testSchema,
		"selection":       testSelection,
		"large":           testLarge,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, NewHouse(t, destination(t)), properties)
		})
	}
}

// event is the part of what arrives that the suite looks at.
type event struct {
	Op            string
	Before, After *struct {
		ID   int
		Name string
	}
	Source struct {
		Cursor string
		Table  string
	}
}

// events decodes what has arrived.
func (h *House) events() []event {
	h.t.Helper()
	received := h.destination.Received(h.t)
	all := make([]event, len(received))
	for i, text := range received {
		decoder := json.NewDecoder(strings.NewReader(text))
		require.NoError(h.t, decoder.Decode(&all[i]), text)
	}
	return all
}

// rows returns the IDs of rows that were inserted, or were in a snapshot, without repetitions: what a reader makes of what
// arrives that knows the greatest cursor by now. Without an order among keys it is each row's own.
func (h *House) rows(p Properties) []int {
	h.t.Helper()
	var ids []int
	newest, seen := "", make(map[string]bool)
	for _, e := range h.events() {
		if e.After == nil || e.Op != "c" && e.Op != "r" {
			continue
		}
		if p.Ordered && e.Source.Cursor <= newest || seen[e.Source.Cursor] {
			require.False(h.t, p.Once, "%+v has arrived twice", e)
			require.True(h.t, seen[e.Source.Cursor], "%+v has arrived behind %s", e, newest)
			continue
		}
		newest = max(newest, e.Source.Cursor)
		seen[e.Source.Cursor] = true
		ids = append(ids, e.After.ID)
	}
	return ids
}

// arrivals counts the rows that have arrived.
func (h *House) arrivals() int {
	h.t.Helper()
	seen := make(map[int]bool)
	for _, e := range h.events() {
		if e.After != nil {
			seen[e.After.ID] = true
		}
	}
	return len(seen)
}

// upTo lists the numbers from 1 to n.
func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i + 1
	}
	return all
}

// arrived waits until everything was delivered, and checks that all rows up to the newest have arrived.
func (h *House) arrived(p Properties) {
	h.t.Helper()
	h.eventually(func() bool { return h.arrivals() >= h.next-1 }, "everything arrives")
	h.drained()
	want, got := upTo(h.next-1), h.rows(p)
	if p.Ordered {
		require.Equal(h.t, want, got)
	} else {
		require.ElementsMatch(h.t, want, got)
	}
}
