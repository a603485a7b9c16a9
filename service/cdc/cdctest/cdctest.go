// Package cdctest holds what every source has to do, whatever its engine. It uses a source through api/service/cdc alone.
package cdctest

import (
	"testing"

	"github.com/wippy-cdc/runtime/api/registry"
	"github.com/wippy-cdc/runtime/api/service/cdc"
)

// MaxSubscriptions is the limit that a subject's source must have.
const MaxSubscriptions = 3

// Subject is a source under test. Its database has the tables users and orders, each with the columns id, an integer and
// the primary key, and name, a text; both are empty and captured.
type Subject struct {
	Engine cdc.Engine
	ID     registry.ID
	// Start serves the source, waits until it runs, and returns what stops it.
	Start func() (stop func())
	// Transact runs statements in one transaction that commits.
	Transact func(statements ...string)
}

// Run runs the suite; each test gets a subject of its own.
func Run(t *testing.T, subject func(t *testing.T) *Subject) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, s *Subject){
		"order":     testOrder,
		"undone":    testUndone,
		"images":    testImages,
		"filters":   testFilters,
		"fan-out":   testFanOut,
		"positions": testPositions,
		"refusals":  testRefusals,
		"admission": testAdmission,
		"laggard":   testLaggard,
		"restart":   testRestart,
		"snapshot":  testSnapshot,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, subject(t))
		})
	}
}
