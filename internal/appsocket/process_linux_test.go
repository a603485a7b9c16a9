package appsocket_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/internal/appsocket"
)

// What an app tells is the number that it has for itself; in a container that is another process here.
func TestTheProcessOfASocketIsThatOfThisSide(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := appsocket.Process(t.Context(), dir, 1)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	l, err := appsocket.Listen(t.Context(), dir)
	require.NoError(t, err)
	pid, err := appsocket.Process(t.Context(), dir, 1)
	require.NoError(t, err)
	require.Equal(t, os.Getpid(), pid)
	require.NoError(t, l.Close())
}
