package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

// Servers fail to decode this transaction before it has committed: catalogs miss what belongs to the columns.
func TestASourceGivesStreamingUpWhereTheServerFails(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.config()
	c.Streaming = true
	source, log := h.logged(c)
	running := h.serve(source)
	s := h.subscribe(api.StreamOptions{})
	require.True(t, h.info().Streaming)
	h.transact("SAVEPOINT a", "SAVEPOINT b", "ALTER TABLE users ADD lost int", bulk("users", 1, 1000), "ROLLBACK TO a",
		bulk("users", 1, 1000), "ALTER TABLE users ADD more int")
	err := h.faulted(running)
	require.ErrorContains(t, err, "the server has failed while it streamed, and is asked not to from now on")
	require.True(t, errs.Retryable(err))
	_, streamErr := s.Next(t.Context())
	require.Equal(t, err, streamErr)
	require.Contains(t, log.String(), "the source goes on as with streaming: false")

	h.serve(source)
	require.False(t, h.info().Streaming)
	for i, c := range take(t, h.subscribe(api.StreamOptions{}), 1000) {
		require.Equal(t, int64(i+1), c.After[0].Int64())
	}
}
