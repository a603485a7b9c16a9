package source_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

const missing = "selected tables do not exist, or the source does not capture them"

// A name with a typing error looks like that of a table that is created later.
func TestSelectedTablesThatDoNotExistAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.info.Tables = []string{"users", "main.pair", "gone"}
		h.catalog.Declare(h.engine)
		h.prepared = func(s *session) { s.tables = []string{"main.users", "main.Pair"} }
		served := h.serve()
		require.Equal(t, 1, h.said.count(missing))
		require.Equal(t, 1, h.said.count(`tables=[gone]`))
		require.NoError(t, served.stop())
	})
}

func TestTablesOfAStreamThatDoNotExistAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.info.Tables = nil
		h.catalog.Declare(h.engine)
		h.prepared = func(s *session) { s.tables = []string{"main.users", "main.orders"} }
		served := h.serve()
		for range 2 {
			h.subscribe(api.StreamOptions{Tables: []string{"USERS", "main.orders"}})
			synctest.Wait()
			require.Zero(t, h.said.count(missing))
		}
		for range 3 {
			h.subscribe(api.StreamOptions{Tables: []string{"users", "ordres", "main.user"}})
			synctest.Wait()
		}
		require.Equal(t, 1, h.said.count(missing), "once in a run")
		require.Equal(t, 1, h.said.count(`tables="[ordres; did you mean orders? main.user; did you mean main.users?]"`), h.said.text.String())
		require.NoError(t, served.stop())
	})
}

func TestASourceGoesOnThatCannotLookForTables(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		h.prepared = func(s *session) { s.untold = errs.New(errs.Unavailable, "locked") }
		served := h.serve()
		h.subscribe(api.StreamOptions{Tables: []string{"users"}})
		synctest.Wait()
		require.Zero(t, h.said.count(missing))
		require.Equal(t, api.StateRunning, h.sourceInfo().State)
		require.NoError(t, served.stop())
	})
}
