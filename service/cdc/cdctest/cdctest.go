// Package cdctest holds what every source has to do, whatever its engine. It uses a source through api/service/cdc
// alone.
package cdctest

import (
	"testing"

	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
	"github.com/wippy-cdc/runtime/api/unit"
)

// MaxTransaction is how large a transaction of a subject may be: a larger one commits, but is not captured.
const MaxTransaction = unit.MiB

// Entry is what the entry of a subject's source has to say.
type Entry struct {
	Tables        []string
	Snapshot      bool
	LogBytes      unit.Size
	Subscriptions api.SubscriptionsConfig
}

// Engine is what the suite asks of an engine.
type Engine interface {
	api.Engine
	api.Meter
}

// Subject is a source under test. Its database has the tables users and orders, each with the columns id, an integer
// and the primary key, and name, a text; both are empty and captured.
type Subject struct {
	Engine Engine
	ID     registry.ID
	// Start serves the source, waits until it runs, and returns what stops it and waits for its end.
	Start func() (stop func())
	// Reload replaces the entry of the source, which does not run, by one that keeps less in memory.
	Reload func()
	// Transact runs statements in one transaction that commits.
	Transact func(statements ...string)
	// Checkpoint returns what the table wippy_cdc_offsets says of the source, and false if it says nothing.
	Checkpoint func() (Checkpoint, bool)
	// Kill takes away what the source captures from while a stream reads, as an outage does, and returns what Serve
	// then returns; Mend gives it back.
	Kill func() error
	Mend func()
}

// Checkpoint is what a source remembers over its runs.
type Checkpoint struct {
	LSN          string
	Bootstrapped bool
}

// Run runs the suite; each test gets a subject of its own.
func Run(t *testing.T, subject func(t *testing.T, entry Entry) *Subject) {
	t.Helper()
	small := func(e *Entry) { e.LogBytes = 256 * unit.KiB }
	for name, c := range map[string]struct {
		test  func(t *testing.T, s *Subject)
		entry func(*Entry)
	}{
		"order":               {test: testOrder},
		"undone":              {test: testUndone},
		"images":              {test: testImages},
		"filters":             {test: testFilters},
		"fan-out":             {test: testFanOut},
		"positions":           {test: testPositions},
		"refusals":            {test: testRefusals},
		"admission":           {test: testAdmission, entry: func(e *Entry) { e.Subscriptions.MaxSubscriptions = maxSubscriptions }},
		"info":                {test: testInfo},
		"metrics":             {test: testMetrics},
		"laggard":             {test: testLaggard},
		"gap":                 {test: testGap},
		"gap is told once":    {test: testGapIsToldOnce},
		"restart":             {test: testRestart},
		"outage":              {test: testOutage},
		"checkpoint":          {test: testCheckpoint},
		"snapshot":            {test: testSnapshot},
		"bootstrap":           {test: testBootstrap, entry: func(e *Entry) { e.Snapshot = true }},
		"snapshot info":       {test: testSnapshotInfo},
		"snapshot of laggard": {test: testSnapshotOfALaggard, entry: small},
		"consumer resumes":    {test: testConsumerResumes},
		"consumer behind":     {test: testConsumerBehindOthers},
		"consumer restart":    {test: testConsumerRestart},
		"consumer reload":     {test: testConsumerReload},
		"consumer snapshot":   {test: testConsumerSnapshot},
		"consumer of nothing": {test: testConsumerEmptySnapshot},
		"one of a name":       {test: testOneStreamOfAConsumer},
		"markers":             {test: testMarkers},
		"forget":              {test: testForget},
		"reset":               {test: testReset},
		"streams":             {test: testStreams},
		"acks":                {test: testAcks},
		"after":               {test: testAfter},
		"after within":        {test: testAfterWithin},
		"no consumers":        {test: testNoConsumers},
		"consumer gap":        {test: testGapOfAConsumer},
		"snapshot is ended":   {test: testSnapshotThatIsEnded, entry: small},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entry := Entry{
				Tables: []string{"users", "orders"}, LogBytes: api.DefaultLogBytes,
				Subscriptions: api.SubscriptionsConfig{MaxBytes: 1 << 40},
			}
			if c.entry != nil {
				c.entry(&entry)
			}
			c.test(t, subject(t, entry))
		})
	}
}
