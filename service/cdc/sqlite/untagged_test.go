//go:build !sqlite_preupdate_hook

package sqlite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
)

func TestSourceNamesTheTagThatTheProgramWasBuiltWithout(t *testing.T) {
	h := newHouse(t)
	err := h.refusal(config())
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	require.ErrorContains(t, err, "sqlite_preupdate_hook")
	require.ErrorContains(t, err, "make build-wippy-local")
}
