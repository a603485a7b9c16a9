package cdc_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/registry"
	api "github.com/wippy-cdc/runtime/api/service/cdc"
)

func TestAGapIsUnavailableAndTellsWhatToDo(t *testing.T) {
	t.Parallel()
	cause := errs.New(errs.Invalid, "transaction of 9 GiB exceeds the limit")
	gap := &api.GapError{
		Cause: api.GapTooLarge, After: api.Behind(4), Before: api.Behind(5), Generation: "6a", Err: cause,
		Source: registry.ID{Namespace: "app", Name: "cdc"},
	}
	for _, err := range []error{gap, fmt.Errorf("stream: %w", gap), &api.GapError{Cause: api.GapRetention}} {
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
		require.True(t, errs.Retryable(err))
	}
	require.ErrorIs(t, gap, cause)
	require.EqualError(t, gap, `cdc: source "app:cdc": changes were lost: transaction of 9 GiB exceeds the limit; resubscribe with `+
		`snapshot = true to begin anew; to go on without them, let a stream begin with after = err:details().before, or a consumer go on `+
		`there by cdc.reset`)
	require.ErrorContains(t, &api.GapError{Cause: api.GapRetention}, "changes were lost: retention; resubscribe")
	require.Equal(t, map[string]any{
		"reason": "gap", "cause": "too_large", "source": "app:cdc",
		"after": "6a-0000000000000004-7fffffff", "before": "6a-0000000000000005-7fffffff",
	}, errs.DetailsOf(fmt.Errorf("stream: %w", gap)))
	require.Nil(t, errs.DetailsOf(errors.New("other")))
	require.Nil(t, errs.DetailsOf(nil))
}
